"""Orphans: shards on the backends that nothing names, as a crash or a moved shard leaves them.

Found by listing every shard of the store, while others add; deleted by who is alone with the store,
if they are orphans still. A pack that was never recorded gets a tombstone before its shards go: a
record of it may turn up later, on a backend that is away, and must not bring it back.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.keys import parse_shard_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, KeyNotFoundError
from ...ids import Key, PackId
from ..capacity import shard_size
from ..formats.journal import PackDeleted
from ..index.index import Index
from ..index.records import PackRecord
from ..journal.journal import Journal
from ..lease.lease import Fence, unfenced
from ..packs.members import Member
from ..packs.pool import Pool
from .condemning import each

MOST: Final = 100_000
"""Orphans that one collection deletes; the next one takes the others."""

BATCH: Final = 1000
"""Shards that are looked up at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Orphan:
    """A shard that nothing names; `index` is its place in its pack, `size` its bytes."""

    member: Member
    key: Key
    pack: PackId
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class Orphans:
    """Finds and deletes the orphans of a store that are at least `grace` seconds old.

    `fence` is called before what cannot be taken back.
    """

    index: Index
    pool: Pool
    grace: float
    fence: Fence = unfenced

    async def find(self) -> list[Orphan]:
        """All orphans on backends that are up, at most MOST."""
        found: list[Orphan] = []
        for member in self.pool.members.writable():
            try:
                async with aclosing(self._on(member)) as orphans:
                    async for orphan in orphans:
                        found.append(orphan)
                        if len(found) == MOST:
                            return found
            except BackendError as error:
                self.pool.members.note_failure(member, error)
                log.warning("%s", error)
        return found

    async def delete(self, journal: Journal, orphans: Sequence[Orphan]) -> list[Orphan]:
        """Delete those that are orphans still; which were deleted."""
        still = await trio.to_thread.run_sync(self._sift, orphans)
        unknown = await trio.to_thread.run_sync(self._unknown, still)
        if unknown:
            self.fence()
            await journal.append([PackDeleted(pack) for pack in unknown])
        deleted: list[Orphan] = []

        async def delete(orphan: Orphan) -> None:
            if not await self._is_spare(orphan):
                return
            self.fence()
            try:
                await RetryBackend(orphan.member.backend).delete(orphan.key)
            except BackendError as error:
                self.pool.members.note_failure(orphan.member, error)
                log.warning("%s; the next gc tries again", error)
            else:
                deleted.append(orphan)

        await each(delete, still)
        return deleted

    async def _on(self, member: Member) -> AsyncGenerator[Orphan]:
        async with aclosing(self._shards(member)) as listing:
            async for shards in listing:
                for orphan in await trio.to_thread.run_sync(self._sift, shards):
                    if await self._is_old(orphan):
                        yield orphan

    async def _shards(self, member: Member) -> AsyncGenerator[list[Orphan]]:
        """All shards on a backend, orphans or not, BATCH at a time."""
        batch: list[Orphan] = []
        async with aclosing(member.backend.list("packs/")) as listing:
            async for listed in listing:
                parsed = parse_shard_key(listed.key)
                if parsed is None:
                    continue
                pack, index, _, _ = parsed
                batch.append(Orphan(member, listed.key, pack, index, listed.size))
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        yield batch

    def _sift(self, shards: Sequence[Orphan]) -> list[Orphan]:
        return [shard for shard in shards if self._is_orphan(shard)]

    def _unknown(self, orphans: Sequence[Orphan]) -> list[PackId]:
        packs = sorted({orphan.pack for orphan in orphans})
        return [pack for pack in packs if self.index.pack_of_id(pack) is None]

    def _is_orphan(self, orphan: Orphan) -> bool:
        """Whether no pack has that shard there; one that moved must be sound where it is now."""
        pack = self.index.pack_of_id(orphan.pack)
        if pack is None:
            return True
        if orphan.index >= pack.n or self.pool.key(pack, orphan.index) != orphan.key:
            return False
        elsewhere = pack.backends[orphan.index] != orphan.member.id
        return elsewhere and self.pool.usable(pack, orphan.index)

    async def _is_spare(self, orphan: Orphan) -> bool:
        """Whether the shard lies where the index has it, if anywhere: else this one may be all
        that is left of it."""
        pack = await trio.to_thread.run_sync(self.index.pack_of_id, orphan.pack)
        if pack is None:
            return True
        holder = self.pool.holder(pack, orphan.index)
        if holder is None:
            return False
        if not await self._has(holder, pack, orphan.index):
            return False
        return not self.pool.members.cipher.encrypted or await self._stands_without(holder, pack)

    async def _stands_without(self, holder: Member, pack: PackRecord) -> bool:
        """Whether a pack can be read with all lost that one backend says it has. That a shard was
        moved there takes no key to record: the backend may have forged it."""
        found = 0
        for index in range(pack.n):
            other = self.pool.holder(pack, index)
            if other is not None and other is not holder:
                found += await self._has(other, pack, index)
            if found >= pack.k:
                return True
        log.info("pack %s lies on %s too much: orphans stay", pack.id.hex(), holder.name)
        return False

    async def _has(self, member: Member, pack: PackRecord, index: int) -> bool:
        try:
            there = await member.backend.head(self.pool.key(pack, index))
        except BackendError as error:
            self.pool.members.note_failure(member, error)
            log.warning("%s; what may be a shard too many of its pack stays", error)
            return False
        return there == shard_size(pack, index)

    async def _is_old(self, orphan: Orphan) -> bool:
        if not self.grace:
            return True
        try:
            return await orphan.member.backend.age(orphan.key) >= self.grace
        except KeyNotFoundError:
            return False
