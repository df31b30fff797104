"""Which chunks the other store lacks. Synchronous, for worker threads."""

from collections.abc import Sequence
from dataclasses import dataclass

from ...ids import ChunkId
from ..add.known import Known
from ..formats.chunktable import Kind
from ..formats.manifest import ChunkRef
from .counterparts import Counterparts


@dataclass(frozen=True, slots=True)
class Selected:
    """Chunks that are to be sent, each once, with the id that each has there, None where that is
    `unknown` before it is read."""

    refs: list[ChunkRef]
    theirs: list[ChunkId | None]

    @property
    def unknown(self) -> list[ChunkRef]:
        """Those that may be there already."""
        return [ref for ref, id_ in zip(self.refs, self.theirs, strict=True) if id_ is None]


class Selection:
    """Looks chunks up in the other store, of which `known` tells what may be relied on."""

    def __init__(self, known: Known, counterparts: Counterparts) -> None:
        self._known = known
        self._counterparts = counterparts

    def named(self, refs: Sequence[ChunkRef]) -> Selected:
        """All of these chunks, each once."""
        once = list({ref.id: ref for ref in refs}.values())
        found = self._counterparts.find([ref.id for ref in once])
        return Selected(once, [None if id_ is None else ChunkId(id_) for id_ in found])

    def lacking(self, named: Selected) -> Selected:
        """Those of them that are not there, as far as that is known."""
        there = self.there([id_ for id_ in named.theirs if id_ is not None])
        pairs = zip(named.refs, named.theirs, strict=True)
        left = [(ref, id_) for ref, id_ in pairs if id_ is None or id_ not in there]
        return Selected([ref for ref, _ in left], [id_ for _, id_ in left])

    def there(self, ids: Sequence[ChunkId]) -> set[ChunkId]:
        """Those of chunks that are stored there, well enough to be relied on."""
        places = self._known.chunks(ids, Kind.DATA)
        return {id_ for id_, place in zip(ids, places, strict=True) if place is not None}
