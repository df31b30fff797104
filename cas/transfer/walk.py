"""What a run of commits consists of, as far as the other store may lack it.

Of a commit only what differs from its first parent is walked: what is alike came with that one, or
is there. Synchronous, for worker threads; one step at a time, so memory is a commit's object ids
and one batch of chunks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import DataLostError
from ...ids import ObjectId
from ..formats.manifest import ChunkRef, Manifest, decode_entries, decode_page
from ..index.index import Index
from ..objects import Objects
from ..verify.reach import Reach, Reached

BATCH: Final = 4096
"""Chunks that are looked up together."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks of files, in file order; the same may come again."""

    refs: list[ChunkRef]


@dataclass(frozen=True, slots=True)
class Walked:
    """A commit was walked: ids of its objects end to end (32 bytes each), each before those that it
    names; and how many files of how many bytes these are."""

    commit: ObjectId
    objects: bytes
    files: int
    size: int


Step = Chunks | Walked


class Walk:
    """Walks commits of one repository, which messages call `name`."""

    def __init__(self, index: Index, objects: Objects, name: str) -> None:
        self._reach = Reach(index, objects)
        self._objects = objects
        self._name = name

    def steps(self, commits: Iterable[ObjectId]) -> Iterator[Step]:
        """The chunks of each commit, then the commit; parents must come before it.

        DataLostError where an object cannot be read.
        """
        batch: list[ChunkRef] = []
        for commit in commits:
            objects, files, size = bytearray(commit), 0, 0
            for reached in self._reached(commit):
                objects += b"".join(reached.objects)
                if reached.manifest is not None:
                    files, size = files + 1, size + reached.manifest.size
                    for refs in self._entries(reached.manifest):
                        batch += refs
                        if len(batch) >= BATCH:
                            yield Chunks(batch)
                            batch = []
            if batch:
                yield Chunks(batch)
                batch = []
            yield Walked(commit, bytes(objects), files, size)

    def _reached(self, id_: ObjectId) -> Iterator[Reached]:
        commit = self._objects.commit(id_)
        other = self._objects.commit(commit.parents[0]).tree if commit.parents else None
        if commit.tree == other:
            return
        name = f"{self._name}@{id_.hex()[:12]}"
        for reached in self._reach.below(name, commit.tree, other):
            if reached.broken:
                raise DataLostError(
                    f"{reached.name} cannot be read: its objects are gone or damaged; run "
                    "`modelfloat verify --repair`"
                )
            yield reached

    def _entries(self, manifest: Manifest) -> Iterator[list[ChunkRef]]:
        if manifest.inline:
            yield decode_entries(manifest.inline)
        for page in manifest.pages:
            yield decode_entries(decode_page(self._objects.raw(page.id)))
