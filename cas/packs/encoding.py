"""Chunks and objects encoded, ready for a pack. Runs in worker threads."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...backends.base import Buffer
from ...ids import ChunkId, ObjectId
from ..chunking.regions import ElementType
from ..codecs.effort import Effort
from ..codecs.registry import choose
from ..index.records import Location
from .builder import NewChunk


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


def encode_objects(objects: dict[ObjectId, bytes]) -> list[NewChunk]:
    """Objects as chunks, in the order of the dictionary."""
    chunks = []
    for id_, data in objects.items():
        encoded: Buffer
        codec, encoded = choose(memoryview(data), ElementType.BYTES)
        chunks.append(NewChunk(ChunkId(id_), encoded, len(data), codec, ElementType.BYTES))
    return chunks
