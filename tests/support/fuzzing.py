"""A small mutation fuzzer: seeds, changes to them that know of lengths and numbers, a watchdog.

Deterministic: the same target and the same number of inputs are the same inputs. What a target's
`mend` does (recomputing checksums and lengths) is what lets a changed input reach deep code.
"""

import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

NUMBERS = [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 127, 128, 255, 1 << 10, (1 << 16) - 1, 1 << 16]
NUMBERS += [1 << 20, (1 << 20) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1]
NUMBERS += [1 << 63, (1 << 64) - 1]
LONGEST = 1 << 20
"""Bytes that an input grows to at most."""
PATIENCE = 20
"""Seconds after which one input counts as a hang: a watchdog, a thousand times what any takes."""
MEMORY = 512 << 20
"""Bytes by which a whole run may raise the peak of this process: a guard against bombs."""


@dataclass(frozen=True)
class Target:
    """One decoder: what feeds it, valid inputs, the errors it may raise, how inputs are mended."""

    feed: Callable[[bytes], object]
    seeds: Sequence[bytes]
    allowed: tuple[type[Exception], ...] = ()
    mend: Callable[[bytes], bytes] = bytes
    words: Sequence[bytes] = ()
    inputs: Sequence[bytes] = ()

    @property
    def all(self) -> Sequence[bytes]:
        """What is changed: seeds, which are valid, and `inputs`, which need not be."""
        return [*self.seeds, *self.inputs]


class HangError(Exception):
    """One input took for ever."""


def fuzz(target: Target, inputs: int, seconds: float, seed: int = 0) -> int:
    """Feed at least `inputs` inputs, and more for so many seconds; how many it were.

    AssertionError with the input in hex where an error comes out that the target does not allow,
    where one takes for ever, or where memory does not stay bounded.
    """
    chance = random.Random(f"{seed}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    end = time.monotonic() + seconds
    done = 0
    for data in target.seeds:
        target.feed(data)  # A seed is valid: nothing may come out.
    while done < inputs or time.monotonic() < end:
        _feed(target, _input(target, chance))
        done += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    assert grown < MEMORY, f"the peak of memory rose by {grown:,} bytes"
    return done


def _input(target: Target, chance: random.Random) -> bytes:
    data = chance.choice(target.all)
    if chance.random() < 0.02:
        data = chance.randbytes(chance.randrange(300))
    for _ in range(1 + min(int(chance.expovariate(0.6)), 12)):
        data = _change(data, target, chance)
    return target.mend(data[:LONGEST]) if chance.random() < 0.8 else data[:LONGEST]


def _change(data: bytes, target: Target, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    end = min(len(data), at + 1 + int(chance.expovariate(0.1)))
    match chance.randrange(8 if target.words else 7):
        case 0:  # one bit
            return (
                data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
                if (at < len(data))
                else data
            )
        case 1 | 2:  # a number that decides something
            size = chance.choice((1, 2, 4, 8))
            near = chance.choice(NUMBERS) + chance.choice((0, 0, -1, 1))
            number = (near % (1 << 8 * size)).to_bytes(size, chance.choice(("little", "big")))
            return data[:at] + number + data[at + size :]
        case 3:  # less
            return data[:at] + data[end:]
        case 4:  # the same again
            return data[:end] + data[at:end] * chance.randrange(1, 40) + data[end:]
        case 5:  # another end
            other = chance.choice(target.all)
            return data[:at] + other[chance.randrange(len(other) + 1) :]
        case 6:  # any bytes
            return data[:at] + chance.randbytes(end - at) + data[end:]
    return data[:at] + chance.choice(target.words) + data[at:]


def _feed(target: Target, data: bytes) -> None:
    try:
        with _watched():
            target.feed(data)
    except target.allowed:
        pass
    except (Exception, HangError) as error:
        raise AssertionError(f"{type(error).__name__}: {error}\ninput: {data.hex()}") from error


@contextmanager
def _watched() -> Iterator[None]:
    def hang(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"nothing after {PATIENCE} s")

    former = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
