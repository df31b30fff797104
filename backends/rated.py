"""A provider's rate kept: a backend round a backend that lets calls through in turn.

Waiting is backpressure: it takes no slot of the backend and no deadline counts it (`waiting`).

    reads                        wait for their turn, before writes
    puts of shards               wait for theirs; of a day's bytes they get what others left
    deletes, puts of records     go at once, and whoever sent them waits afterwards: they are
                                 often sent under a lease, and must not arrive long after it
    markers, leases, sessions,   go at once, for their deadlines are near; the turns that they
    sites, questions for space   take are paid by others

Concurrency: of this process's writes one at a time waits for its turn, in order.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

import trio

from ..errors import BackendError, QuotaError
from ..ids import Key
from ..rate import Rate
from . import waiting
from .base import Backend, Buffer, Listed, Properties, Usage
from .bulk import Bulk, bulk
from .keys import is_replaced, parse_shard_key
from .rates.day import HOUR
from .rates.keeper import Keeper, Now, OwnKeeper
from .rates.record import Known
from .rates.turns import SECOND, Turn, give_back, take

PAGE: Final = 1000
"""Keys that one request of a listing brings: S3's and Google Drive's largest page."""
LONG: Final = 10.0
"""Seconds of waiting that are worth a line in the log, once."""

log = logging.getLogger(__name__)


class Allowed(Protocol):
    """A backend whose rate can be changed."""

    def allow(self, rate: Rate | None) -> None:
        """Keep to another rate from now on."""
        ...


def allow(backend: Backend, rate: Rate | None) -> None:
    """Have `backend` keep to `rate`, if it keeps to any."""
    change: Callable[[Rate | None], None] | None = getattr(backend, "allow", None)
    if change is not None:
        change(rate)


class RateBackend:
    """`inner` at the rate that its properties name, or at `rate`; `keeper` knows whose turn it
    is."""

    def __init__(
        self, inner: Backend, rate: Rate | None = None, keeper: Keeper | None = None
    ) -> None:
        self._inner = inner
        self._rate = rate or inner.properties.rate or Rate()
        self._keeper: Keeper = keeper or OwnKeeper()
        self._writes = trio.Lock()
        self._told = False

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def properties(self) -> Properties:
        """Those of the backend inside, with the rate that it is kept to."""
        rate = self._rate if self._rate.limits else None
        inner = self._inner.properties  # each read asks for them
        return inner if inner.rate == rate else replace(inner, rate=rate)

    def allow(self, rate: Rate | None) -> None:
        """See `Allowed.allow`; who waits already goes on by the old one."""
        self._rate = rate or Rate()

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. QuotaError for a shard that a day's bytes leave no room for."""
        size = sum(memoryview(part).nbytes for part in parts)
        shard = parse_shard_key(key) is not None
        await self._count(key, size, refused=shard)
        if shard:
            await self._wait(self._rate.put, writing=True)
            await self._inner.put(key, parts, if_absent=if_absent)
            return
        async with self._paid(key, self._rate.put):
            await self._inner.put(key, parts, if_absent=if_absent)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        await self._read(key)
        await self._inner.get_into(key, offset, buffer)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        await self._read(key)
        return await self._inner.get(key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        await self._read(key)
        return await self._inner.head(key)

    async def age(self, key: Key) -> float:
        """See `Backend.age`."""
        await self._read(key)
        return await self._inner.age(key)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        async with self._paid(key, 1):
            await self._inner.delete(key)

    @property
    def bulk(self) -> Bulk | None:
        """See `bulk`."""
        return None if bulk(self._inner) is None else self

    async def delete_many(self, keys: Sequence[Key]) -> None:
        """See `Bulk.delete_many`: one request."""
        if (inner := bulk(self._inner)) is not None:
            async with self._paid(keys[0], 1):
                await inner.delete_many(keys)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. It waits again for each page of keys."""
        count = 0
        async with aclosing(self._inner.list(prefix)) as listing:
            while True:
                if count % PAGE == 0:
                    await self._read(prefix)
                listed = await anext(listing, None)
                if listed is None:
                    return
                count += 1
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        await self._credit(1)
        return await self._inner.usage()

    async def aclose(self) -> None:
        """Close the backend inside."""
        try:
            await self._inner.aclose()
        finally:
            await self._keeper.aclose()

    async def _read(self, key: str) -> None:
        await (self._credit(1) if is_replaced(key) else self._wait(1, writing=False))

    @asynccontextmanager
    async def _paid(self, key: Key, cost: int) -> AsyncIterator[None]:
        """What is done inside is paid for afterwards; what fails, without waiting."""
        try:
            yield
        except BackendError:
            await self._credit(cost)
            raise
        await (self._credit(cost) if is_replaced(key) else self._wait(cost, writing=True))

    async def _credit(self, cost: int) -> None:
        """Take a turn without waiting for it."""
        if self._rate.requests is not None:
            await self._take(cost, writing=False)

    async def _wait(self, cost: int, *, writing: bool) -> None:
        if self._rate.requests is None:
            return
        began = trio.current_time()
        try:
            if writing:
                async with self._writes:
                    while not await self._turn(cost, writing=True):
                        pass
            else:
                await self._turn(cost, writing=False)
        finally:
            self._note(trio.current_time() - began)

    async def _turn(self, cost: int, *, writing: bool) -> bool:
        """Take a turn and wait for it, or for the moment in which to ask again."""
        turn, now = await self._take(cost, writing=writing)
        if turn.at > now:
            try:
                await trio.sleep((turn.at - now) / SECOND)
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._keeper.change(lambda known, _: (_returned(known, turn), None))
                raise
        return turn.taken

    async def _take(self, cost: int, *, writing: bool) -> tuple[Turn, int]:
        def step(known: Known, now: Now) -> tuple[Known, tuple[Turn, int]]:
            turn = take(known.turns, self._rate, now.clock, cost, writing=writing)
            return replace(known, turns=turn.after), (turn, now.clock)

        return await self._keeper.change(step)

    async def _count(self, key: Key, size: int, *, refused: bool) -> None:
        """Count what is stored; QuotaError where that is `refused` and a day has no room for it."""
        daily = self._rate.daily
        if daily is None:
            return

        def step(known: Known, now: Now) -> tuple[Known, int | None]:
            day = known.day.at(now.hour)
            if refused and not day.room(size, daily):
                return replace(known, day=day), day.room_at(size, daily)
            return replace(known, day=day.plus(size)), None

        again = await self._keeper.change(step)
        if again is not None:
            at = datetime.fromtimestamp(again * HOUR).astimezone()
            raise QuotaError(
                f"backend {self.name} may take no more now, by its rate of {Rate(daily=daily)}; it "
                f"takes shards again from {at:%H:%M} on",
                backend=self.name,
                key=key,
            )

    def _note(self, seconds: float) -> None:
        waiting.note(seconds)
        if seconds >= LONG and not self._told:
            self._told = True
            log.info("backend %s: calls wait, for its rate is %s", self.name, self._rate)


def _returned(known: Known, turn: Turn) -> Known:
    return replace(known, turns=give_back(known.turns, turn))
