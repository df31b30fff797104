"""Shards written again: where they were, or where the pack's other shards leave room for them.

A shard that was made again is byte for byte what it was.
"""

import logging
from collections.abc import Sequence

from ...backends.base import Buffer
from ...backends.retry import RetryBackend
from ...errors import BackendError
from ...ids import BackendId
from ..capacity import shard_size
from ..formats.journal import ShardPlaced
from ..index.index import Index
from ..index.records import PackRecord
from ..journal.journal import Journal
from ..packs.members import Member
from ..packs.placement import Candidate, Crowding, Move, crowding, limits, misplaced, place
from ..packs.pool import Pool
from .throttle import Throttle

NO_PLACE = "no place for it: add a backend"

log = logging.getLogger(__name__)


class Repairer:
    """Writes shards of packs, no faster than `throttle` lets it, and records where they were
    placed. `written` counts their bytes."""

    def __init__(self, index: Index, pool: Pool, journal: Journal, throttle: Throttle) -> None:
        self._index = index
        self._pool = pool
        self._journal = journal
        self._throttle = throttle
        self.written = 0

    async def write(
        self, pack: PackRecord, index: int, parts: Sequence[Buffer], move: Move | None
    ) -> str:
        """Store one shard, which is `parts` end to end, again; "" if that was done, else why not.

        Without a `move` it goes where it was, if that is up and takes it.
        """
        home = self._pool.holder(pack, index)
        target = self._pool.members.get(move.to) if move is not None else home
        reason = NO_PLACE
        if target is not None and target.health.writable and target.health.decided is None:
            reason = await self._put(pack, index, parts, target)
        if reason and move is None:
            refused = frozenset() if home is None else frozenset({home.id})
            target = new_place(self._pool, self._index.pack(pack.number) or pack, index, refused)
            if target is not None:
                reason = await self._put(pack, index, parts, target)
        if not reason and home is not None and home is not target:
            await self._delete(pack, index, home)
        return reason

    async def _put(
        self, pack: PackRecord, index: int, parts: Sequence[Buffer], member: Member
    ) -> str:
        key, size = self._pool.key(pack, index), sum(len(part) for part in parts)
        await self._throttle.take(size)
        try:
            await RetryBackend(member.backend).put(key, parts)
        except BackendError as error:
            return self._failed(pack, index, member, error)
        moves = member.id != pack.backends[index]
        if moves and (reason := await self._place(pack, index, member, size)):
            return reason
        member.used += size
        self.written += size
        return ""

    async def _place(self, pack: PackRecord, index: int, member: Member, size: int) -> str:
        """Record where a shard is now; "" if that was done, else why not.

        It has to be there: it is deleted elsewhere because of this one, and who moved it away
        from here a moment ago may have deleted it only now.
        """
        async with self._journal.placing(pack.id):
            try:
                there = await RetryBackend(member.backend).head(self._pool.key(pack, index))
            except BackendError as error:
                return self._failed(pack, index, member, error)
            if there != size:
                return f"cannot be written: of {size:,} bytes {there:,} are on {member.name}"
            # What fails here is the journal, for good: more copies would be of no use.
            await self._journal.append([ShardPlaced(pack.id, index, member.id)])
        return ""

    def _failed(self, pack: PackRecord, index: int, member: Member, error: BackendError) -> str:
        self._pool.members.note_failure(member, error, writing=True)
        log.warning("shard %d of pack %s: %s", index, pack.id.hex(), error)
        return f"cannot be written: {error}"

    async def _delete(self, pack: PackRecord, index: int, former: Member) -> None:
        """Remove a shard from where it was, best effort, unless another has moved it back there."""
        async with self._journal.placing(pack.id):
            now = self._index.pack(pack.number)
            back = now is not None and now.backends[index] == former.id
            if back or not former.health.writable:
                return
            try:
                await former.backend.delete(self._pool.key(pack, index))
            except BackendError as error:
                log.info("%s; the moved shard stays behind", error)


def new_place(
    pool: Pool, pack: PackRecord, index: int, refused: frozenset[BackendId] = frozenset()
) -> Member | None:
    """Where the pack's other shards leave room for shard `index`; None where nowhere."""
    taken = [c for i, c in enumerate(where(pool, pack)) if c is not None and i != index]
    taking = pool.members.taking(shard_size(pack, index))
    free = [member.candidate for member in taking if member.id not in refused]
    places = place(pack.id, free, 1, taken, limits_of(pool, pack))
    return pool.members.get(places[0]) if places else None


def where(pool: Pool, pack: PackRecord) -> list[Candidate | None]:
    """Where each shard of a pack is, None for what is on no member."""
    holders = [pool.holder(pack, index) for index in range(pack.n)]
    return [None if member is None else member.candidate for member in holders]


def limits_of(pool: Pool, pack: PackRecord) -> Crowding:
    """How crowded the pack may lie, as all members allow."""
    return limits(pack.m, pack.n, [member.candidate for member in pool.members.wanted()])


def crowded_shards(pool: Pool, pack: PackRecord) -> dict[int, Move]:
    """Shards that lie closer together than the backends that are up and have room make
    necessary."""
    size = shard_size(pack, pack.n - 1)
    taking = {member.id: member.candidate for member in pool.members.taking(size)}
    places = place(pack.id, list(taking.values()), pack.n, most=limits_of(pool, pack))
    if len(places) < pack.n:
        return {}
    return misplaced(
        pack.id, where(pool, pack), list(taking.values()), crowding(taking[id_] for id_ in places)
    )
