"""Deleting packs: condemned, then tombstones in the journal, then the index, then the shards.

The caller holds the store alone, and has just marked what the refs reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import trio

from ...ids import PackId
from ..formats.journal import PackDeleted
from ..index.index import Index
from ..index.records import PackRecord
from ..journal.journal import Journal
from ..lease.lease import Fence, unfenced
from ..packs.members import Members
from .condemning import condemn, condemned, execute, pardon, sentence

TOMBSTONES: Final = 20_000
"""Most tombstones in one journal record: each makes the index read all of its rows once."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Deletes packs of one store; `copies` is m+1, and `fence` is called before what cannot be
    taken back."""

    index: Index
    members: Members
    copies: int
    fence: Fence = unfenced

    async def condemn(self, packs: Sequence[PackRecord]) -> None:
        """Announce that packs are to be deleted."""
        await condemn(self.members, [sentence(self.members, pack) for pack in packs], self.copies)

    async def pardon(self) -> None:
        """Take back what was announced, and not deleted yet: the records take room."""
        found = await condemned(self.members)
        known, _ = await trio.to_thread.run_sync(self._sort, list(found))
        await pardon(self.members, *known, fence=self.fence)

    async def delete(self, journal: Journal, packs: Sequence[PackRecord]) -> int:
        """Delete packs that were condemned; the number of those with shards that stay for now."""
        waiting = iter(packs)
        left = 0
        while batch := list(islice(waiting, TOMBSTONES)):
            await self._bury(journal, [pack.id for pack in batch])
            left += await execute(
                self.members, [sentence(self.members, pack) for pack in batch], self.fence
            )
        return left

    async def finish(self, journal: Journal, *, beside: bool) -> int:
        """Delete what earlier collections began to; the number of packs of which a shard stays.

        A condemned pack that the index still knows is pardoned: this collection will judge anew.
        One that no record deleted gets a tombstone: a record that stores it may turn up later. With
        others at work `beside` us it is left: it may be what they are storing, and any backend can
        claim that it is condemned.
        """
        found = await condemned(self.members)
        known, unsaid = await trio.to_thread.run_sync(self._sort, list(found))
        await pardon(self.members, *known, fence=self.fence)
        for pack in known:
            del found[pack]
        left = [found.pop(pack) for pack in unsaid] if beside else []
        if not beside:
            await self._bury(journal, unsaid)
        return len(left) + await execute(self.members, found.values(), self.fence)

    def _sort(self, packs: Sequence[PackId]) -> tuple[list[PackId], list[PackId]]:
        """Packs that the index has, and those of which it knows nothing, not even their end."""
        known = [pack for pack in packs if self.index.pack_of_id(pack) is not None]
        gone = {*known, *(pack for pack in packs if self.index.is_deleted(pack))}
        return known, [pack for pack in packs if pack not in gone]

    async def _bury(self, journal: Journal, packs: Sequence[PackId]) -> None:
        waiting = iter(packs)
        while batch := list(islice(waiting, TOMBSTONES)):
            self.fence()
            await journal.append([PackDeleted(pack) for pack in batch])
