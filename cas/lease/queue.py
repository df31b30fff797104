"""A queue before a lease that is held for a moment only: who waits takes a number, and its turn
comes when all lower ones are gone.

Numbers are keys like a lease's, `lease/turns/<n>`, each of a record that is written once and
removed by who has got the lease, or waits no longer. They decide nothing: that the lease does. So
who knows of no queue, as an earlier release, or finds its number gone, only comes before others;
and who dies in the queue is passed over when it has not moved for a while.

Concurrency: used by one task.
"""

import logging
import secrets
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.bounded import listed_below
from ...backends.keys import lease_key, parse_lease_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, KeyExistsError, KeyNotFoundError
from ...ids import UUID_SIZE, Key, SiteId, StoreId
from ..formats.presence import LONGEST, Presence, PresenceRecord, encode_presence
from .clock import Clock

TURNS: Final = "turns"
"""What the numbers are called, in the place of a lease's name."""
LARGEST: Final = (1 << 63) - 1
"""No number gets that far, of a lease or of a queue: a key of a higher one is nobody's, and one of
this leaves no next."""
STALL: Final = 5.0
"""Seconds without a move after which who is at the front counts as dead; as many for each who
stands before one, so that not all of those behind begin to look at once,"""
LONGEST_STALL: Final = 30.0
"""and no more than so many."""
PAUSE: Final = 2.0
"""Most seconds between two looks."""
LEAVE: Final = 10.0
"""Seconds that giving a number back may take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """What one look shows: the highest number of the lease, 0 for none, and those who wait."""

    last: int
    turns: tuple[int, ...]


async def look(home: Backend, name: str) -> Row:
    """The lease called `name` on its home, and the queue before it."""
    last, turns = 0, list[int]()
    for listed in await listed_below(home, "lease/"):
        found = parse_lease_key(listed.key)
        if found is None or found[1] > LARGEST:
            continue
        if found[0] == name:
            last = max(last, found[1])
        elif found[0] == TURNS:
            turns.append(found[1])
    return Row(last, tuple(sorted(turns)))


@dataclass(slots=True)
class Queue:
    """One wait for the lease called `name`, which another looks at every `poll` seconds."""

    home: Backend
    store: StoreId
    site: SiteId
    name: str
    poll: float
    clock: Clock
    _entered: bool = False
    _own: int = 0
    _passed: tuple[int, ...] = ()

    @property
    def entered(self) -> bool:
        """Whether it has a number, or had one."""
        return self._entered

    async def wait(self, row: Row) -> None:
        """Return when it is this one's turn, for all that the queue tells; `row` was seen just now.
        BackendError where the home does not answer."""
        await self._enter(max(row.turns, default=0) + 1)
        moved, row = self.clock(), await look(self.home, self.name)
        while (ahead := self._ahead(row)) and self._own in row.turns:
            if self.clock() - moved >= min(STALL * len(ahead), LONGEST_STALL):
                log.info("nobody in the queue for the %s lease goes on: passing by", self.name)
                self._passed = ahead
                return
            pause = min(PAUSE, self.poll * len(ahead))
            await trio.sleep(pause * (0.75 + secrets.randbelow(500) / 1000))
            before, row = row, await look(self.home, self.name)
            if (before.last, ahead) != (row.last, self._ahead(row)):
                moved = self.clock()

    def _ahead(self, row: Row) -> tuple[int, ...]:
        return tuple(number for number in row.turns if number < self._own)

    async def _enter(self, number: int) -> None:
        """Take that number, or the next one that is free; none where there is no next one."""
        self._entered = True
        home = RetryBackend(self.home)
        owner = secrets.token_bytes(UUID_SIZE)
        while number <= LARGEST:
            record = PresenceRecord(Presence.LEASE, self.store, self.site, owner, number, 0)
            data = encode_presence(record)
            try:
                await home.put(self._key(number), [data], if_absent=True)
            except KeyExistsError:
                # A repeated try may have met what the first one wrote.
                if await self._record(number) != data:
                    number += 1
                    continue
            self._own = number
            return

    async def _record(self, number: int) -> bytes:
        """The record of that number; b"" where it was given back since it was met."""
        try:
            return await RetryBackend(self.home).get(self._key(number), most=LONGEST)
        except KeyNotFoundError:
            return b""

    async def leave(self) -> None:
        """Let the next one come: this one has got the lease, or waits no longer. Of those that it
        passed by nobody waits any more."""
        gone, self._own, self._passed = [*self._passed, self._own], 0, ()
        with trio.move_on_after(LEAVE, shield=True):
            try:
                for number in filter(None, gone):
                    await self.home.delete(self._key(number))
            except BackendError as error:
                log.info("%s: a number in the queue stays, and is passed by", error)

    def _key(self, number: int) -> Key:
        return lease_key(TURNS, number)
