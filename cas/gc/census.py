"""What a collection knows of every pack: how much of it is needed, and so which packs go.

Marked is everything that the refs reach, that refs reached which were removed or moved within the
grace period, and the files that are open on mounts; the latter two only for the time being.

Synchronous, for worker threads.
"""

import logging
from collections.abc import Iterable, Sequence

import trio
import trio.from_thread

from ...erasure.scheme import Scheme
from ..formats.journal import NO_ID
from ..index.index import Index
from ..index.records import PackRecord
from ..objects import Objects
from ..packs.pool import Pool
from .collected import FindInUse, InUse, Kept
from .marking import Marking
from .marks import Marks
from .rewriting import Copied
from .selection import Selection
from .standing import Standing

log = logging.getLogger(__name__)


class Census:
    """The marks of one collection, nothing being marked yet; packs are named by their rows.

    `grace` is seconds, `since_ns` when it began; `find_in_use` tells what is open on mounts.
    """

    def __init__(
        self,
        index: Index,
        objects: Objects,
        pool: Pool,
        scheme: Scheme,
        grace: float,
        since_ns: int,
        find_in_use: FindInUse,
    ) -> None:
        self._index = index
        self._grace = grace
        self._since_ns = since_ns
        self._find_in_use = find_in_use
        self._standing = Standing(pool)
        self.marks = Marks(index, self._standing.ranking)
        self.marking = Marking(index, objects, self.marks, trio.from_thread.check_cancelled)
        self.selection = Selection(index, pool, self.marks, scheme, grace)

    def mark(self) -> None:
        """Mark what the refs reach, and reached."""
        self.marking.reach(head.commit for head in self._index.refs())
        changes = self._index.reflog(self._since_ns) if self._grace else iter(())
        former = (id_ for change in changes for id_ in (change.old, change.new) if id_ != NO_ID)
        with self.marks.for_now():
            self.marking.reach(former, lenient=True)

    def mark_more(self) -> None:
        """Mark what the refs have come to reach since; all of it where what was marked may not be
        the best any more."""
        if not self.marks.check():
            self.marking.forget()
        self.mark()

    def mark_in_use(self) -> list[Kept]:
        """Mark what is open on mounts; the files for which alone something is kept."""
        return [
            Kept(used.name, used.who, size)
            for used in self._find_in_use()
            if (size := self._mark_open(used))
        ]

    def _mark_open(self, used: InUse) -> int:
        before = self.marks.bytes.copy()
        with self.marks.for_now():
            self.marking.reach([used.manifest], lenient=True)
        return self.marks.stored_since(before)

    def selected(self) -> tuple[list[int], list[int], list[int]]:
        """Rows of dead, sparse and small packs."""
        sparse = self.selection.sparse()
        return self.selection.dead(), sparse, self.selection.small(sparse)

    def judge(self, rows: Sequence[int]) -> tuple[dict[int, PackRecord], list[PackRecord]]:
        """Which of the condemned packs in `rows` are dead, by row, and which are not."""
        # A file may have been opened since it was marked: who has one is asked as late as can be.
        self.mark_in_use()
        dead = set(self.selection.dead())
        packs: dict[int, PackRecord] = {}
        spared: list[PackRecord] = []
        for row in rows:
            pack = self.selection.record(row)
            if pack is not None and row in dead:
                packs[row] = pack
            elif pack is not None:
                spared.append(pack)
        return packs, spared

    def keep_safer(self, copies: Sequence[Copied]) -> None:
        """Have those packs stay that are safer than what they were copied to."""
        for copied in copies:
            old = self.selection.record(copied.victim.row)
            made = [self._index.pack_of_id(pack) for pack in copied.into]
            if old is None or all(new and self._standing.replaces(new, old) for new in made):
                continue
            self.selection.keep(copied.victim.row)
            log.warning("pack %s stays: what it was copied to would survive less", old.id.hex())

    def records(self, rows: Sequence[int]) -> list[PackRecord]:
        """The packs in `rows` that are there."""
        found = map(self.selection.record, rows)
        return [pack for pack in found if pack is not None]

    def stored_in(self, rows: Iterable[int]) -> int:
        """Bytes with parity of packs."""
        return sum(int(self.marks.packs["stored"][row]) for row in rows)

    def needed_of(self, rows: Sequence[int]) -> int:
        """Bytes with parity that what is needed of packs takes."""
        return self.stored_in(rows) - sum(map(self.marks.unmarked, rows))
