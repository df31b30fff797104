"""Shards read for a close look at a pack: k of them where others are lost, and what is in doubt.

What is lost is made again from any k shards, and those are read once, whole. Whether a shard is
lost is told by its size alone, which costs no bytes. Shards that were not needed for that are not
read here, but for their footers; a check that means to read everything gets to them as if the pack
had not been checked.

Concurrency: packs side by side, as many as PackRoom has memory for; all reads of one pack at once.
"""

import contextlib
from collections.abc import AsyncIterator, Container, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import trio

from ...errors import BackendError, FormatError, ShardDamagedError
from ...ids import BackendId
from ..capacity import shard_size
from ..index.records import PackRecord, ShardState
from ..packs.decodings import Budget
from ..packs.pool import Pool
from ..packs.scrutiny import agreed, footer_of
from ..progress import Progress
from .glance import Glance
from .judgement import Found, Judgement, judge
from .movereport import MoveReport
from .report import VerifyReport
from .shardbuffers import ShardBuffers
from .shardread import read_shard
from .throttle import Throttle

NO_SIZES: Final[Mapping[int, int]] = MappingProxyType({})
SHARE: Final = 2
"""One part in so many of the memory budget may be packs that are held as a whole."""


class PackRoom:
    """Memory for whole packs: those held at once are charged to `budget`; one always may be."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._given = trio.Condition()

    @contextlib.asynccontextmanager
    async def holding(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes, once others have given enough back."""
        async with self._given:
            while self._held and self._held + size > self._budget.limit // SHARE:
                await self._given.wait()
            self._held += size
        self._budget.charge(size)
        try:
            yield
        finally:
            self._budget.give(size)
            self._held -= size
            with trio.CancelScope(shield=True):
                async with self._given:
                    self._given.notify_all()


class PackReads:
    """Reads the shards of packs, and counts what was read. `doubts` are backends not believed."""

    def __init__(
        self,
        pool: Pool,
        report: VerifyReport | MoveReport,
        progress: Progress,
        throttle: Throttle,
        doubts: Container[BackendId] = frozenset(),
    ) -> None:
        self._pool = pool
        self._report = report
        self._progress = progress
        self._throttle = throttle
        self._doubts = doubts
        self._buffers = ShardBuffers()

    async def one(self, pack: PackRecord, index: int) -> Found:
        """One shard."""
        return (await self._read(pack, [index]))[index]

    async def fewest(
        self, pack: PackRecord, glance: Glance, but: frozenset[int] = frozenset()
    ) -> list[Found]:
        """Of a pack that lost shards, k of the others and what is in doubt; all of any other pack.

        Those left out are `unread`. Those in `but` count as lost.
        """
        await glance.look()
        lost = dict(glance.lost)
        lost |= {i: Found(None, b"", pack.states[i], "not sound") for i in but if i not in lost}
        others = [index for index in range(pack.n) if index not in lost]
        if not lost or len(others) < pack.k:
            return await self.rest(pack, [_UNREAD] * pack.n)
        ranked = sorted(others, key=lambda index: self._rank(pack, index))
        # Of one that something is known against it must be told what; footers cost little.
        doubted = [i for i in ranked[pack.k :] if not await self._is_believed(pack, glance, i)]
        chosen = [*ranked[: pack.k], *doubted]
        left = {i: Found(None, b"", pack.states[i]) for i in others if i not in chosen}
        known = lost | left
        found = await self._read(pack, chosen, glance.sizes)
        return [known[i] if i in known else found[i] for i in range(pack.n)]

    async def rest(self, pack: PackRecord, found: Sequence[Found]) -> list[Found]:
        """The shards that were left out as well."""
        more = await self._read(pack, [i for i, shard in enumerate(found) if shard.unread])
        return [more.get(index, shard) for index, shard in enumerate(found)]

    async def some(self, pack: PackRecord, indexes: Sequence[int]) -> dict[int, Found]:
        """Those shards, and no others."""
        return await self._read(pack, indexes)

    async def _is_believed(self, pack: PackRecord, glance: Glance, index: int) -> bool:
        """Whether nothing is known against a shard or where it lies, and its footer is its own:
        that is no state of a shard, and would stay as it is."""
        if pack.states[index] is not ShardState.GOOD or not glance.is_long_enough(index):
            return False
        if pack.backends[index] in self._doubts:
            return False
        try:
            tail = await glance.tail(index)
            footer_of(self._pool.members, pack, index, tail, "a shard")
        except (BackendError, ShardDamagedError, FormatError):
            return False
        return True

    def _rank(self, pack: PackRecord, index: int) -> tuple[bool, bool, bool]:
        """Sound ones first, then quick ones; of equals data shards, which need no decoding."""
        member = self._pool.holder(pack, index)
        slow = member is not None and member.latency.demoted
        sound = pack.states[index] is ShardState.GOOD and pack.backends[index] not in self._doubts
        return not sound, slow, index >= pack.k

    async def judge(self, found: Sequence[Found]) -> Judgement | None:
        """What the shards that were read are; see `judgement.judge`."""
        return await trio.to_thread.run_sync(self._judged, found)

    def _judged(self, found: Sequence[Found]) -> Judgement | None:
        versions = agreed({i: f.footer for i, f in enumerate(found) if f.footer is not None})
        return judge(found, versions, self._buffers.take, self._pool.members.cipher)

    async def _read(
        self, pack: PackRecord, indexes: Sequence[int], sizes: Mapping[int, int] = NO_SIZES
    ) -> dict[int, Found]:
        found: dict[int, Found] = {}

        async def read(index: int) -> None:
            await self._throttle.take(shard_size(pack, index))
            found[index] = shard = await read_shard(
                self._pool, pack, index, sizes.get(index), self._buffers
            )
            if shard.payload is not None:
                size = len(shard.payload)
                self._report.bytes_read += size
                self._progress.total += size
                self._progress.advance(size, f"pack {pack.id.hex()[:8]}")

        async with trio.open_nursery() as nursery:
            for index in indexes:
                nursery.start_soon(read, index)
        return found


_UNREAD: Final = Found(None, b"", ShardState.GOOD)
