"""How far ahead of a stream its file is worth loading: as far as it will surely read, or nearly so.

* A stream that began with the file reads on: to the file's end. While it reads what stands before
  the tensors, nobody knows what comes next: many read only that.
* One that began elsewhere reads as much again as it has read. What it loads in vain is then at
  most what it read; and less than that where others in this file were about as long each, which
  is how ranges are read at random.
* One that enters a tensor at its beginning reads the tensor, and not beyond; until it has come
  through a few, for then it goes through them in file order.
* Where another stream has begun it is not needed: that was read.

Pure.
"""

from dataclasses import dataclass
from typing import Final

from .streams import Stream, Streams
from .tensormap import PAGE, TensorMap

LIKE: Final = 3
"""Streams that came before, by which the length of one is guessed."""
LONG: Final = 4 << 20
"""Bytes that a stream has read, at least, for others to stop where it began."""
CROSSED: Final = 2
"""Tensors that a stream has come through, from when on it goes through them in order."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Up to which offset to load; `moving` says that it grows with each read."""

    end: int
    moving: bool = False


def enter(stream: Stream, offset: int, size: int, tensors: TensorMap, file: int) -> None:
    """Note in which region of a file of `file` bytes a stream is, that just read so many bytes."""
    if stream.tensor_end == 0:
        begun = tensors.begun_by(offset, size)
        stream.entered = begun is not None
        stream.tensor_end = tensors.at(offset if begun is None else begun, file).end
    if stream.position > stream.tensor_end:
        stream.tensor_end = tensors.at(stream.position - 1, file).end
        stream.entered = False  # it went on into this one, and may end anywhere
        stream.crossed += 1


def reach_of(stream: Stream, streams: Streams, tensors: TensorMap | None, size: int) -> Reach:
    """How far ahead of `stream` a file of `size` bytes is worth loading."""
    first = None if tensors is None else tensors.first
    if stream.start >= PAGE:
        found = _from_within(stream, streams, tensors is not None)
    elif first is not None and stream.position <= first:
        found = Reach(first)
    else:
        found = Reach(size)
    barrier = _barrier(stream, streams, size)
    return found if found.end < barrier else Reach(barrier)


def _from_within(stream: Stream, streams: Streams, tensors: bool) -> Reach:
    usual = _usual_run(stream, streams)
    if usual is None:
        free = Reach(stream.position + stream.run, moving=True)
    elif stream.run <= usual:
        free = Reach(stream.start + stream.skipped + usual)
    else:
        free = Reach(stream.position + stream.run - usual, moving=True)
    if not tensors or (stream.crossed >= CROSSED and free.end > stream.tensor_end):
        return free
    if stream.entered or free.end > stream.tensor_end:
        return Reach(stream.tensor_end)
    return free


def _usual_run(stream: Stream, streams: Streams) -> int | None:
    """What those read, at least, that had ended when this one began; None where nothing tells."""
    ended = [s for s in streams if s.last < stream.begun and s.start >= PAGE]
    runs = [other.run for other in sorted(ended, key=lambda s: s.last)[-LIKE:]]
    return min(runs) if runs else None


def _barrier(stream: Stream, streams: Streams, size: int) -> int:
    long = (s.began for s in streams if s is not stream and s.length >= LONG)
    return min((start for start in long if start >= stream.position), default=size)
