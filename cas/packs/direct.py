"""Ranges of packs read in the calling thread, decoded there where shards are missing.

For packs whose shards lie on backends that offer it (`backends.direct`). Whatever is not plain
sailing is left to the pool, which waits, asks others, and tells of what it finds: a backend that
was slow once, or does not answer at all, is not read so for a while.

Concurrency: any thread may read; what they share changes by single steps of the interpreter.
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
from ..buffers import SizedBuffers
from ..index.records import PackRecord
from .pool import SCRATCH, Pool, split_range

SLOW: Final = 0.1
"""Seconds; a read that took longer was none of memory, nor of a disk that has little to do."""
BARRED: Final = 10.0
"""Seconds for which a slow backend is left to the pool, doubled each time it is slow again."""
LONGEST: Final = 3600.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Asked:
    """Which backend a thread is reading at this moment; None between two reads."""

    backend: BackendId | None = None


class DirectReads:
    """Reads what can be read at once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._scratch = SizedBuffers(SCRATCH, SCRATCH // 4, count=16)
        self._barred: dict[BackendId, tuple[float, float]] = {}

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
            self._bar(asked.backend, time.monotonic())

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
        present = {}
        for index in used:
            present[index] = self._scratch.take(len(out))
            if not self._fetch(record, index, offset, present[index], asked):
                return False
        decode(Scheme(record.k, record.m), present, {shard: out})
        return True

    def _there(self, record: PackRecord) -> Iterator[int]:
        return (i for i in range(record.n) if self._source(record, i) is not None)

    def _source(self, record: PackRecord, shard: int) -> Direct | None:
        if not self._pool.usable(record, shard):
            return None
        backend = record.backends[shard]
        barred = self._barred.get(backend)
        if barred is not None and time.monotonic() < barred[0]:
            return None
        member = self._pool.members.get(backend)
        return None if member is None or member.latency.demoted else direct(member.backend)

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
        finally:
            asked.backend = None
            now = time.monotonic()
            if now - began > SLOW:
                self._bar(backend, now)
            elif backend in self._barred:
                self._barred.pop(backend, None)
        self._pool.fetched(member, len(out), now - began)
        member.latency.came_elsewhere(len(out), now - began)
        return True

    def _bar(self, backend: BackendId, now: float) -> None:
        _, seconds = self._barred.get(backend, (0.0, BARRED / 2))
        seconds = min(2 * seconds, LONGEST)
        self._barred[backend] = now + seconds, seconds
        log.info(
            "backend %s is slow: for %.0f s it is read the careful way",
            self._pool.members.name_of(backend),
            seconds,
        )
