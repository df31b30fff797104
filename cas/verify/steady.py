"""Packs that are well, told so at the speed of reading: each shard is read once, in pieces.

First all footers: they must be there, be this pack's, and agree. Then every block is hashed, and
every chunk, while the bytes are still in the processor's cache. At the first doubt the pack is
given back to be looked at closely (`cas.verify.check`), which holds it in memory as a whole.

Memory: STREAMS pieces, whatever the pack's size, and what a chunk has in two shards.
"""

import logging
import os
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

import trio
from blake3 import blake3

from ...errors import (
    BackendError,
    FormatError,
    ShardDamagedError,
    one_failure,
)
from ...ids import Key
from ..buffers import BufferPool
from ..formats.chunktable import MAX_STORED, PackedChunk
from ..formats.shard import BLOCK, Footer, PackInfo, encode_tail, join_tails
from ..index.records import PackRecord, ShardState
from ..packs.members import Member
from ..packs.pool import Pool
from ..packs.scrutiny import agreed, footer_of
from ..packs.verifying import ChunkOpener
from ..progress import Progress
from .glance import Glance
from .report import VerifyReport
from .shardread import absent
from .throttle import Throttle

PIECE: Final = 4 << 20
"""Bytes read at once: whole blocks, and few enough to be in cache still when they are hashed."""
STREAMS: Final = min(16, (os.cpu_count() or 1) + 1)
"""Shards that are read at once."""

log = logging.getLogger(__name__)


class Steady:
    """Looks whether packs are well."""

    def __init__(
        self, pool: Pool, report: VerifyReport, progress: Progress, throttle: Throttle
    ) -> None:
        self._pool = pool
        self._report = report
        self._progress = progress
        self._throttle = throttle
        self._buffers = BufferPool(MAX_STORED + PIECE, STREAMS)
        self._streams = trio.Semaphore(STREAMS)
        self._cpus = trio.CapacityLimiter(max(2, os.cpu_count() or 1))

    async def look(self, pack: PackRecord, glance: Glance) -> PackInfo | None:
        """What the pack's footers say, if all of it is as they say; None where anything is not."""
        if any(state is not ShardState.GOOD for state in pack.states):
            return None
        if any(absent(self._pool, pack, index) is not None for index in range(pack.n)):
            return None
        try:
            with one_failure():
                info = await self._info(pack, glance)
                sound = info is not None and await self._all_match(pack, info)
        except (BackendError, ShardDamagedError, FormatError) as error:
            log.info("pack %s: %s", pack.id.hex(), error)
            return None
        return info if sound else None

    async def _info(self, pack: PackRecord, glance: Glance) -> PackInfo | None:
        await glance.look()
        if not all(map(glance.is_long_enough, range(pack.n))):
            return None
        tails: dict[int, bytes] = {}

        async def read(index: int) -> None:
            tails[index] = await glance.tail(index)

        async with trio.open_nursery() as nursery:
            for index in range(pack.n):
                nursery.start_soon(read, index)
        return await trio.to_thread.run_sync(self._agreed, pack, tails)

    def _agreed(self, pack: PackRecord, tails: dict[int, bytes]) -> PackInfo | None:
        members = self._pool.members
        footers: dict[int, Footer] = {
            index: footer_of(members, pack, index, tail, "a shard") for index, tail in tails.items()
        }
        versions = agreed(footers)
        info = join_tails(versions) if len(versions) == 1 else None
        if info is None:
            return None
        table = info.table
        same = all(encode_tail(info, index, table) == tail for index, tail in tails.items())
        return info if same else None

    async def _all_match(self, pack: PackRecord, info: PackInfo) -> bool:
        parts = Parts(info, ChunkOpener.of(self._pool.members.cipher, info.pack))
        wrong: list[int] = []

        async def match(index: int) -> None:
            async with self._streams:
                if not wrong and not await self._matches(pack, index, info, parts):
                    wrong.append(index)

        async with trio.open_nursery() as nursery:
            for index in range(pack.n):
                nursery.start_soon(match, index)
        return not wrong and await trio.to_thread.run_sync(parts.all_verify)

    async def _matches(self, pack: PackRecord, index: int, info: PackInfo, parts: "Parts") -> bool:
        member, key = self._where(pack, index)
        buffer = self._buffers.take()
        stream = _Stream(info, index, parts)
        for start in range(0, pack.shard, PIECE):
            size = min(PIECE, pack.shard - start)
            await self._throttle.take(size)
            await member.backend.get_into(key, start, buffer[MAX_STORED : MAX_STORED + size])
            self._report.bytes_read += size
            self._progress.advance(size, f"pack {pack.id.hex()[:8]}")
            if not await trio.to_thread.run_sync(stream.take, buffer, size, limiter=self._cpus):
                return False
        return True

    def _where(self, pack: PackRecord, index: int) -> tuple[Member, Key]:
        member = self._pool.holder(pack, index)
        if member is None:
            raise ShardDamagedError(f"shard {index} of pack {pack.id.hex()} is nowhere")
        return member, self._pool.key(pack, index)


@dataclass(slots=True)
class Parts:
    """Chunks that lie in several shards: what each shard has of them, by slot and shard."""

    info: PackInfo
    opener: ChunkOpener
    held: dict[int, dict[int, bytes]] = field(default_factory=dict)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [chunk.offset for chunk in self.info.chunks]

    def slots_in(self, shard: int) -> range:
        """The slots of all chunks that have bytes in a data shard: they lie end to end."""
        if not self.starts:
            return range(0)  # they cannot be read: the key is not there
        low, high = shard * self.info.shard, (shard + 1) * self.info.shard
        first = max(bisect_right(self.starts, low) - 1, 0)
        chunk = self.info.chunks[first]
        return range(first + (chunk.offset + chunk.stored <= low), bisect_left(self.starts, high))

    def keep(self, slot: int, shard: int, data: memoryview) -> None:
        """Keep a shard's part of a chunk."""
        self.held.setdefault(slot, {})[shard] = bytes(data)

    def all_verify(self) -> bool:
        """Whether all chunks in several shards verify, once all parts are there."""
        return all(
            self.opener.verifies(
                self.info.chunks[slot], slot, memoryview(b"".join(parts[i] for i in sorted(parts)))
            )
            for slot, parts in self.held.items()
        )


class _Stream:
    """One shard's bytes in order, piece by piece: blocks and chunks that end are compared."""

    def __init__(self, info: PackInfo, index: int, parts: Parts) -> None:
        self._info = info
        self._index = index
        self._parts = parts
        self._base = index * info.shard
        self._at = 0
        # Copies hold the same chunks: they are looked at in the first.
        is_data = index < info.k
        self._slots = iter(parts.slots_in(index) if is_data else range(0))
        self._next = next(self._slots, None)

    def take(self, buffer: memoryview, size: int) -> bool:
        """The next `size` bytes, behind room for the rest of a chunk; False where they are wrong.

        What of a chunk has not ended is left in front of where the next piece goes.
        """
        expected = self._info.blocks[self._index]
        for start in range(0, size, BLOCK):
            block = self._at // BLOCK
            data = buffer[MAX_STORED + start : MAX_STORED + min(start + BLOCK, size)]
            if blake3(data).digest() != expected[32 * block : 32 * block + 32]:
                return False
            self._at += len(data)
            # The buffer's index of the shard's byte 0.
            if not self._chunks(buffer, MAX_STORED + start + len(data) - self._at):
                return False
        self._carry(buffer, MAX_STORED + size - self._at)
        return True

    def _chunks(self, buffer: memoryview, zero: int) -> bool:
        """Compare the chunks that have ended by now."""
        while self._next is not None:
            chunk = self._info.chunks[self._next]
            low, high = self._span(chunk)
            if high > self._at:
                return True
            data = buffer[zero + low : zero + high]
            if len(data) < chunk.stored:
                self._parts.keep(self._next, self._index, data)
            elif not self._parts.opener.verifies(chunk, self._next, data):
                return False
            self._next = next(self._slots, None)
        return True

    def _carry(self, buffer: memoryview, zero: int) -> None:
        if self._next is None:
            return
        low, _ = self._span(self._info.chunks[self._next])
        begun = self._at - low
        if begun > 0:
            buffer[MAX_STORED - begun : MAX_STORED] = buffer[zero + low : zero + self._at]

    def _span(self, chunk: PackedChunk) -> tuple[int, int]:
        """Where in this shard a chunk's bytes are."""
        low = max(chunk.offset - self._base, 0)
        high = min(chunk.offset + chunk.stored - self._base, self._info.shard)
        return low, high
