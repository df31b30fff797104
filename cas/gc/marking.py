"""Marking: from refs through commits, trees and manifests to every chunk that is still needed.

What was visited is told by the marks themselves, so no set of ids grows with the store. Only an
object that is in the mirror and in no pack, as after a loss, is remembered by its id. Chunks wait
until there are many (`wanted`).

Synchronous; runs in worker threads. Every object is read from the index's mirror and verified.
"""

from collections.abc import Callable, Iterable

from ...ids import ObjectId
from ..formats.links import objects_of
from ..formats.manifest import decode_manifest, decode_page
from ..formats.objects import ObjectType, object_type
from ..index.index import Index
from ..objects import Objects
from .marks import Marks
from .wanted import Wanted


def no_checkpoint() -> None:
    """For callers that cannot be cancelled."""


class Marking:
    """Marks everything that roots reach. `checkpoint` is called often and may raise."""

    def __init__(
        self,
        index: Index,
        objects: Objects,
        marks: Marks,
        checkpoint: Callable[[], None] = no_checkpoint,
    ) -> None:
        self._index = index
        self._objects = objects
        self._marks = marks
        self._checkpoint = checkpoint
        self._chunks = Wanted()
        self._homeless: set[bytes] = set()
        self.missing = False
        """Whether a chunk of a file that was reached has no place."""

    def reach(self, roots: Iterable[ObjectId], *, lenient: bool = False) -> None:
        """Mark what the objects `roots` reach, and themselves.

        IndexDamagedError or ChunkDamagedError where an object cannot be read; with `lenient` one
        that is gone is passed over, as what an earlier collection took.
        """
        stack: list[ObjectId] = []
        for root in roots:
            stack += self._visit([root])
            while stack:
                self._checkpoint()
                id_ = stack.pop()
                if lenient and self._index.object(id_) is None:
                    continue
                stack += self._visit(self._children(self._objects.raw(id_)))
        self._flush()
        self._chunks.clear()

    def forget(self) -> None:
        """Take all marks away, to begin anew."""
        self._marks.forget()
        self._homeless.clear()
        self._chunks.clear()

    def is_needed(self, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the objects `ids` that were reached."""
        ids = set(ids)
        return self._marks.is_marked(ids) | (ids & self._homeless)

    def _visit(self, ids: Iterable[ObjectId]) -> list[ObjectId]:
        """Mark objects; those that were not marked before."""
        marked = self._marks.mark(ids)
        homeless = [id_ for id_ in marked.nowhere if id_ not in self._homeless]
        self._homeless.update(homeless)
        return [ObjectId(id_) for id_ in (*marked.new, *homeless)]

    def _children(self, data: bytes) -> list[ObjectId]:
        """The objects that one names; the chunks that it names are taken note of."""
        type_ = object_type(data)
        if type_ is ObjectType.MANIFEST:
            manifest = decode_manifest(data)
            self._take(manifest.inline)
            return list(manifest.objects)
        if type_ is ObjectType.MANIFEST_PAGE:
            self._take(decode_page(data))
            return []
        return objects_of(data)

    def _take(self, entries: bytes) -> None:
        while entries:
            entries = entries[self._chunks.take(entries) :]
            if entries:
                self._flush()

    def _flush(self) -> None:
        for ids in self._chunks.drain():
            self._checkpoint()
            self.missing |= not self._marks.mark_chunks(ids)
