"""Ranges of packs read in the calling thread, decoded there where shards are missing.

For packs whose shards lie on backends that offer it (`backends.direct`). Whatever is not plain
sailing is left to the pool, which waits, asks others, and tells of what it finds. A backend that
is slow, or does not answer at all, is not read so for a while: see `Bars`.

Concurrency: any thread may read.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ...backends.direct import Direct, direct
from ...erasure.codec import decode
from ...erasure.scheme import Scheme
from ...errors import BackendError, DataLostError
from ...ids import BackendId
from ..buffers import BufferPool
from ..index.records import PackRecord
from .bars import SLOW, Bars
from .decodings import Budget
from .pool import Pool, split_range

DECODED: Final = 4 << 20
"""Bytes of k shards that a thread decodes from at once: hardly more than a cache holds."""
KEPT: Final = 8
"""So many of them are kept for reuse."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Asked:
    """Which backend a thread is reading at this moment; None between two reads."""

    backend: BackendId | None = None


class DirectReads:
    """Reads what can be read at once. What decoding takes is charged to `budget`."""

    def __init__(self, pool: Pool, budget: Budget) -> None:
        self._pool = pool
        self._budget = budget
        self._scratch = BufferPool(DECODED, count=KEPT)
        self._bars = Bars(pool.members.name_of)

    def read(
        self,
        record: PackRecord,
        offset: int,
        size: int,
        take: Callable[[int], memoryview],
        asked: Asked,
    ) -> memoryview | None:
        """The pack's bytes [offset, offset+size), in memory from `take`; None where they cannot be
        had so. They are not verified. `asked` tells others where a thread that hangs does so."""
        if not any(True for _ in self._there(record)):
            return None  # before memory is taken that others would have to make anew
        out = take(size)
        try:
            for piece in split_range(record, offset, size):
                part = out[piece.start : piece.start + piece.size]
                if not self._read_piece(record, piece.shard, piece.offset, part, asked):
                    return None
        except (BackendError, DataLostError) as error:
            log.debug("pack %s is left to the pool: %s", record.id.hex(), error)
            return None
        return out

    def give_up(self, asked: Asked) -> None:
        """Bar the backend that a thread waits for in vain."""
        if asked.backend is not None:
            self._bars.bar(asked.backend)

    def _read_piece(
        self, record: PackRecord, shard: int, offset: int, out: memoryview, asked: Asked
    ) -> bool:
        if record.k == 1:
            return any(self._fetch(record, i, offset, out, asked) for i in self._there(record))
        return self._fetch(record, shard, offset, out, asked) or self._decode(
            record, shard, offset, out, asked
        )

    def _decode(
        self, record: PackRecord, shard: int, offset: int, out: memoryview, asked: Asked
    ) -> bool:
        """Fill `out` from any k other shards."""
        # A backend may come up, or its bar end, after `shard` could not be had: leave it out.
        others = (index for index in self._there(record) if index != shard)
        used = list(islice(others, record.k))
        if len(used) < record.k:
            return False
        step = min(DECODED // record.k, len(out))
        self._budget.charge(record.k * step)
        try:
            room = self._scratch.take()
            for start in range(0, len(out), step):
                part = out[start : start + step]
                present = {i: room[n * step :][: len(part)] for n, i in enumerate(used)}
                for index, into in present.items():
                    if not self._fetch(record, index, offset + start, into, asked):
                        return False
                decode(Scheme(record.k, record.m), present, {shard: part})
        finally:
            self._budget.give(record.k * step)
        return True

    def _there(self, record: PackRecord) -> Iterator[int]:
        return (i for i in range(record.n) if self._source(record, i) is not None)

    def _source(self, record: PackRecord, shard: int) -> Direct | None:
        if not self._pool.usable(record, shard):
            return None
        backend = record.backends[shard]
        if self._bars.barred(backend):
            return None
        member = self._pool.members.get(backend)
        return None if member is None or member.doubtful else direct(member.backend)

    def _fetch(
        self, record: PackRecord, shard: int, offset: int, out: memoryview, asked: Asked
    ) -> bool:
        source, member = self._source(record, shard), self._pool.holder(record, shard)
        if source is None or member is None:
            return False
        backend, began = record.backends[shard], time.monotonic()
        asked.backend = backend
        try:
            source.read_now(self._pool.key(record, shard), offset, out)
        except BackendError:
            if time.monotonic() - began > SLOW:
                self._bars.bar(backend)
            raise
        finally:
            asked.backend = None
        took = time.monotonic() - began
        self._bars.note(backend, len(out), took)
        self._pool.fetched(member, len(out), took)
        member.latency.came_elsewhere(len(out), took)
        return True
