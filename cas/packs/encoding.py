"""Chunks and objects encoded, ready for a pack. Runs in worker threads."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from ...backends.base import Buffer
from ...ids import ChunkId, ObjectId
from ..chunking.regions import ElementType
from ..codecs.effort import Effort
from ..codecs.registry import choose
from ..index.records import Location
from .builder import NewChunk

SHARE: Final = 1 << 20
"""Bytes for which a thread is worth its while: less takes no longer than waking one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One chunk of a file as it was cut; `place` is where it is stored, None if it is not."""

    id: ChunkId
    data: memoryview
    element: ElementType
    place: Location | None


def encode_chunks(cuts: Sequence[Cut], effort: Effort = Effort.BALANCED) -> list[NewChunk]:
    """Chunks of files, each with the codec that suits it and the effort."""
    chunks = []
    for cut in cuts:
        codec, encoded = choose(cut.data, cut.element, effort)
        chunks.append(NewChunk(cut.id, encoded, len(cut.data), codec, cut.element))
    return chunks


def shares(cuts: Sequence[Cut], most: int) -> list[Sequence[Cut]]:
    """The chunks in order, in runs of about as many bytes: one for each SHARE, `most` at most."""
    ends = list(accumulate(len(cut.data) for cut in cuts))
    total = ends[-1] if ends else 0
    count = max(1, min(most, total // SHARE))
    borders = [bisect_right(ends, total * number // count) for number in range(count)]
    parts = [cuts[low:high] for low, high in pairwise([*borders, len(cuts)])]
    return [part for part in parts if part]


def encode_objects(objects: dict[ObjectId, bytes]) -> list[NewChunk]:
    """Objects as chunks, in the order of the dictionary."""
    chunks = []
    for id_, data in objects.items():
        encoded: Buffer
        codec, encoded = choose(memoryview(data), ElementType.BYTES)
        chunks.append(NewChunk(ChunkId(id_), encoded, len(data), codec, ElementType.BYTES))
    return chunks
