"""What is found of shards, written into the index in batches: by checks, and by reads.

A check notes every pack that it went through; every transaction is a sync of the disk, so those
that change nothing but a time are written together. A read that finds a shard missing or damaged
notes that as well, best effort: no read waits for it, and nothing is noted in an index that
cannot be written.

Concurrency: used in the event loop; the index is written in worker threads.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ...errors import ModelFloatError
from ...ids import BackendId, PackNumber
from .checknotes import Check
from .index import Index
from .records import PackRecord, ShardState

TOGETHER: Final = 64
"""Checks that are written in one transaction."""
PENDING: Final = 1024
"""Shards whose damage is remembered until it is written; more are found again."""
PAUSE: Final = 1.0
"""Seconds between two writes of what reads found."""

log = logging.getLogger(__name__)


class Checkbook:
    """Notes of a check."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._checks: list[Check] = []

    async def note(self, pack: PackRecord, states: list[ShardState], *, whole: bool = True) -> None:
        """Note what a pack's shards are; at once where that is not what was known.

        Unless all of it was read, `whole`, its last check stays the one before.
        """
        checked = time.time_ns() if whole else pack.checked_ns
        self._checks.append(Check(pack.number, tuple(states), checked, pack.backends))
        if tuple(states) != pack.states or len(self._checks) >= TOGETHER:
            await self.write()

    async def write(self) -> None:
        """Write what was noted."""
        checks, self._checks = self._checks, []
        if checks and not self._index.read_only:
            await self._index.write(self._index.note_checks, checks)


def _unheard(_packs: Sequence[PackNumber]) -> None:
    """For stores where nobody mends what reads find."""


class Sightings:
    """Notes of what reads found; `run` writes them for as long as the store is open.

    `noted` hears of the packs once the index knows.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self.noted: Callable[[Sequence[PackNumber]], None] = _unheard
        self._found: dict[tuple[PackNumber, int], tuple[BackendId, ShardState]] = {}
        self._some = trio.Event()
        self._told = False

    def note(self, pack: PackRecord, index: int, state: ShardState) -> None:
        """A read found shard `index` of a pack missing or damaged. Never waits, never fails."""
        known = pack.number == 0 or pack.states[index] is not ShardState.GOOD
        if known or self._index.read_only or len(self._found) >= PENDING:
            return
        level = logging.INFO if self._told else logging.WARNING
        self._told = True
        log.log(
            level,
            "shard %d of pack %s is %s; `modelfloat verify --repair` mends it",
            index,
            pack.id.hex(),
            state.name.lower(),
        )
        self._found[pack.number, index] = pack.backends[index], state
        self._some.set()

    async def run(self) -> None:
        """Write what was noted, now and then."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            await self.write()
            await trio.sleep(PAUSE)

    async def write(self) -> None:
        """Write what was noted up to now."""
        found, self._found = self._found, {}
        if not found:
            return
        # What was moved meanwhile is not where it was missed.
        current = {
            shard: state
            for shard, (backend, state) in found.items()
            if self._is_there(*shard, backend)
        }
        try:
            await self._index.write(self._index.note_damage, current)
        except ModelFloatError as error:
            log.info("damage that reads found is not noted: %s", error)
            return
        self.noted(sorted({number for number, _ in current}))

    def _is_there(self, number: PackNumber, index: int, backend: BackendId) -> bool:
        pack = self._index.pack(number)
        return pack is not None and pack.backends[index] == backend
