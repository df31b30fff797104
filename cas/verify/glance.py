"""What a pack's shards tell without their payloads: whether they are there, how long, their tails.

Each question is asked once, whoever looks: a check in passing first, then one that looks closely.
On a network many small requests cost as much as the bytes of a shard.
"""

import trio

from ...errors import BackendError, KeyNotFoundError, ShardDamagedError
from ..capacity import shard_size
from ..index.records import PackRecord, ShardState
from ..packs.pool import Pool
from .judgement import Found
from .shardread import absent


class Glance:
    """The shards of one pack. `lost` are those that are not there, or shorter than their payload,
    and why; `sizes` has the bytes of the others. One that is known to be damaged is in neither: it
    has to be read.
    """

    def __init__(self, pool: Pool, pack: PackRecord) -> None:
        self.lost: dict[int, Found] = {}
        self.sizes: dict[int, int] = {}
        self._tails: dict[int, bytes] = {}
        self._pool = pool
        self._pack = pack
        self._looked = False

    async def look(self) -> None:
        """Ask for all sizes, unless that was done; what goes wrong is in `lost`."""
        if self._looked:
            return
        async with trio.open_nursery() as nursery:
            for index in range(self._pack.n):
                nursery.start_soon(self._look, index)
        self._looked = True

    def is_long_enough(self, index: int) -> bool:
        """Whether a shard has the very bytes that it should have, as far as was asked."""
        return self.sizes.get(index) == shard_size(self._pack, index)

    async def tail(self, index: int) -> bytes:
        """Footer and trailer of a shard that is as long as it should be.

        BackendError, and ShardDamagedError where it lies on no backend.
        """
        if index not in self._tails:
            pack, member = self._pack, self._pool.holder(self._pack, index)
            if member is None:
                raise ShardDamagedError(f"shard {index} of pack {pack.id.hex()} is nowhere")
            size = self.sizes[index] - pack.shard
            key = self._pool.key(pack, index)
            self._tails[index] = await member.backend.get(key, pack.shard, size)
        return self._tails[index]

    async def _look(self, index: int) -> None:
        gone = absent(self._pool, self._pack, index) or await self._is_missing(index)
        if gone is not None:
            self.lost[index] = gone

    async def _is_missing(self, index: int) -> Found | None:
        pack, member = self._pack, self._pool.holder(self._pack, index)
        if member is None or pack.states[index] is ShardState.DAMAGED:
            return None
        try:
            size = await member.backend.head(self._pool.key(pack, index))
        except KeyNotFoundError:
            return Found(None, b"", ShardState.MISSING, "missing")
        except BackendError as error:
            self._pool.members.note_failure(member, error)
            return Found(None, b"", pack.states[index], f"cannot be read: {error}")
        if size < pack.shard:
            return Found(None, b"", ShardState.DAMAGED, "truncated" if size else "empty")
        self.sizes[index] = size
        return None
