"""Ranges of single shards fetched: timed, and what goes wrong noted of shard and backend.

Concurrency: nothing here is shared but what the event loop keeps of backends.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from ...errors import BackendError, CorruptAnswerError, KeyNotFoundError
from ..index.records import PackRecord, ShardState
from .health import Event
from .members import Member
from .peers import Peers
from .shards import Shards, key_of

PATIENCE: Final = 2.0
"""Times what is late already, and so many seconds besides, a probe may take."""

Fetched = Callable[[Member, int, float], None]
"""Hears, from any thread, of a range that a member delivered: bytes, seconds."""
Sighting = Callable[[PackRecord, int, ShardState], None]
"""Hears of a shard that a read found missing or damaged."""

log = logging.getLogger(__name__)


def unseen(_pack: PackRecord, _index: int, _state: ShardState) -> None:
    """For those who do not want to know."""


def uncounted(_member: Member, _size: int, _seconds: float) -> None:
    """For those of whom nobody counts what they fetch."""


class Fetcher:
    """Fetches ranges of shards from their backends.

    `seen` hears of shards found wrong, `fetched` of each range that came.
    """

    def __init__(
        self,
        shards: Shards,
        peers: Peers,
        seen: Sighting = unseen,
        fetched: Fetched = uncounted,
    ) -> None:
        self.shards = shards
        self._peers = peers
        self.seen = seen
        self.fetched = fetched

    async def fetch(self, record: PackRecord, index: int, offset: int, out: memoryview) -> bool:
        """Fill `out` from one shard; False, with the reason logged, when that fails."""
        member = self.shards.holder(record, index)
        if member is None or member.down:
            return False
        size, latency, began = out.nbytes, member.latency, trio.current_time()
        latency.begin(began, size)
        try:
            await member.backend.get_into(key_of(record, index), offset, out)
        except BackendError as error:
            latency.end(began, size, trio.current_time(), 0)
            self._failed(record, index, member, error)
            return False
        except BaseException:
            now = trio.current_time()
            latency.end(began, size, now, 0)
            self._peers.given_up(member, size, began, now)
            raise
        now = trio.current_time()
        latency.end(began, size, now, size)
        if member.health.failures:
            self.shards.members.hear(member, Event.ANSWERED)
        self.fetched(member, size, now - began)
        self._peers.note(member, size, now - began)
        return True

    def _failed(self, record: PackRecord, index: int, member: Member, error: BackendError) -> None:
        self.shards.members.note_failure(member, error)
        log.info("shard %d of pack %s: %s", index, record.id.hex(), error)
        if isinstance(error, KeyNotFoundError | CorruptAnswerError):
            missing = isinstance(error, KeyNotFoundError)
            self.seen(record, index, ShardState.MISSING if missing else ShardState.DAMAGED)

    async def probe(self, record: PackRecord, index: int, offset: int, scratch: memoryview) -> None:
        """Look how quick a backend is that was demoted; what it answers is not used."""
        member = self.shards.holder(record, index)
        if member is None:
            return
        patience = PATIENCE * (self._peers.late(member, scratch.nbytes) + 1)
        try:
            with trio.move_on_after(patience):
                await self.fetch(record, index, offset, scratch)
        except Exception:  # nobody waits for it, so it must not end what goes on in the store
            log.exception("a probe of backend %s failed", member.name)
