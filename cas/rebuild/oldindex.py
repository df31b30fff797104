"""The index that a rebuild replaces, and what it tells where records are lost."""

import contextlib
import logging
from collections.abc import Callable, Iterator

from ...errors import IndexDamagedError, ModelFloatError
from ...ids import ObjectId, StoreId, WriterId
from ..index.index import Index
from .draft import Draft
from .journalwalk import Gap

log = logging.getLogger(__name__)


class OldIndex:
    """What an index tells for as long as it can be read; nothing where it is None."""

    def __init__(self, index: Index | None) -> None:
        self._index = index

    @property
    def object(self) -> Callable[[ObjectId], bytes | None] | None:
        """What looks objects up in its mirror; None where that cannot be read."""
        return None if self._index is None else self._index.object

    def numbers(self) -> dict[WriterId, int]:
        """The number of the last record that it knows of each writer."""
        if self._index is None:
            return {}
        try:
            return {writer: self._index.writer(writer)[0] for writer in self._index.writers()}
        except IndexDamagedError as error:
            self._fail(error)
            return {}

    def still_open(self, gaps: list[Gap], draft: Draft) -> list[Gap]:
        """The gaps that it does not know to be made good; `draft` notes those that are."""
        if self._index is None:
            return gaps
        found = []
        try:
            for gap in gaps:
                numbers = range(gap.first, gap.last + 1)
                if all(self._index.is_made_good(gap.writer, seq) for seq in numbers):
                    draft.note_made_good((gap.writer, seq) for seq in numbers)
                else:
                    found.append(gap)
        except IndexDamagedError as error:
            self._fail(error)
            return gaps
        return found

    def is_unsure(self, gap: Gap) -> bool:
        """Whether the records of a gap may have made refs that nothing else tells of."""
        if self._index is None:
            return True
        try:
            told = [g for g in self._index.gaps() if g.writer == gap.writer and g.first <= gap.last]
            told = [g for g in told if g.last >= gap.first]
            last = max([self._index.writer(gap.writer)[0], *(g.last for g in told)])
            behind = range(max(gap.first, last + 1), gap.last + 1)
            # What a repair wrote anew, without having known it, had never been acknowledged.
            return any(g.open for g in told) or not all(
                self._index.is_made_good(gap.writer, seq) for seq in behind
            )
        except IndexDamagedError as error:
            self._fail(error)
            return True

    def tell(self, draft: Draft) -> None:
        """Have `draft` take over the ref changes and tombstones that it knows."""
        if self._index is None:
            return
        try:
            for change in self._index.reflog():
                draft.take([change], 0)
            for pack in self._index.deleted():
                draft.note_deleted(pack)
        except IndexDamagedError as error:
            self._fail(error)

    def _fail(self, error: IndexDamagedError) -> None:
        log.warning("the old index is no help: %s", error)
        self._index = None


@contextlib.contextmanager
def old_index(path: str, store: StoreId) -> Iterator[OldIndex]:
    """The index that is there, where it can be read and is this store's."""
    with contextlib.ExitStack() as stack:
        index: Index | None = None
        try:
            index = stack.enter_context(contextlib.closing(Index.open(path)))
            if index.store != store:
                index = None
        except ModelFloatError as error:
            log.info("%s", error)
            index = None
        yield OldIndex(index)
