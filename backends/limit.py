"""Bounds: a backend round a backend with so many calls at once, and a deadline for each.

The deadline starts when a call has its slot, and it abandons the call; so a backend that hangs
fills its own slots for that long and nobody else's. A listing takes no slot: it lasts as long as
its reader does, so each step of it, as many keys as come at once, has a deadline of its own.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import trio

from ..errors import TimedOutError
from ..ids import Key
from .base import Backend, Buffer, Listed, Properties, Usage
from .bulk import Bulk, bulk
from .direct import Direct, direct
from .fetch import rest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """`concurrency` calls at once, the backend's own number when None.

    A call may take `seconds`, and besides the time its bytes need at `slowest` bytes per second:
    slower than that counts as not there at all.
    """

    concurrency: int | None = None
    seconds: float = 60.0
    slowest: float = 64 * 1024.0

    def deadline(self, size: int) -> float:
        """Seconds that a call may take which moves `size` bytes."""
        return self.seconds + size / self.slowest


DEFAULT: Final = Limits()
AT_ONCE: Final = 0.05
"""Seconds within which keys of a listing come together."""
PAGE: Final = 4096
"""Bytes that deleting one of many keys counts for."""
MOST: Final = 1000
"""Keys of a listing that are held."""
SMALL: Final = 1 << 20
"""Bytes that come in one answer where nobody knows how many there are: a deadline for more would
have a backend that hangs waited for."""


class _Steps:
    """A listing taken some keys at a time, those that come at once: a deadline for each of them
    would take longer than they do."""

    def __init__(self, listing: AsyncGenerator[Listed, None]) -> None:
        self._listing = listing
        self._error: Exception | None = None

    async def next(self) -> list[Listed]:
        """More keys, none at the end; what ends a listing is raised after the keys before it."""
        if self._error is not None:
            raise self._error
        batch: list[Listed] = []
        until = trio.current_time() + AT_ONCE
        while len(batch) < MOST and (not batch or trio.current_time() < until):
            try:
                listed = await anext(self._listing, None)
            except Exception as error:
                if not batch:
                    raise
                self._error = error
                break
            if listed is None:
                break
            batch.append(listed)
        return batch


class LimitBackend:
    """`inner` within `limits`; a call over its deadline is TimedOutError."""

    def __init__(self, inner: Backend, limits: Limits = DEFAULT) -> None:
        self._inner = inner
        self._limits = limits
        concurrency = limits.concurrency or inner.properties.concurrency
        self._slots = trio.CapacityLimiter(concurrency)
        self.properties: Properties = replace(inner.properties, concurrency=concurrency)

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def direct(self) -> Direct | None:
        """That of the backend inside, without limits."""
        return direct(self._inner)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. Over its deadline it may still have happened, in whole."""
        size = sum(memoryview(part).nbytes for part in parts)
        await self._within(
            "put", key, size, lambda: self._inner.put(key, parts, if_absent=if_absent)
        )

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        size = buffer.nbytes
        await self._within("get", key, size, lambda: self._inner.get_into(key, offset, buffer))

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`; without `size` it asks for that first, to know how long to wait, but
        with `most` only for what comes behind the first SMALL bytes."""
        found = b""
        if size is None and most is not None:
            found = await self._get_small(key, offset, min(most, SMALL))
            if len(found) <= SMALL or most <= SMALL:
                return found
            offset, most = offset + len(found), most - len(found)
        if size is None:
            size = rest(self.name, key, await self.head(key), offset, most)
        return found + await self._within(
            "get", key, size, lambda: self._inner.get(key, offset, size)
        )

    async def _get_small(self, key: Key, offset: int, most: int) -> bytes:
        return await self._within(
            "get", key, most, lambda: self._inner.get(key, offset, None, most)
        )

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        return await self._within("head", key, 0, lambda: self._inner.head(key))

    async def age(self, key: Key) -> float:
        """See `Backend.age`."""
        return await self._within("age", key, 0, lambda: self._inner.age(key))

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        await self._within("delete", key, 0, lambda: self._inner.delete(key))

    @property
    def bulk(self) -> Bulk | None:
        """See `bulk`."""
        return None if bulk(self._inner) is None else self

    async def delete_many(self, keys: Sequence[Key]) -> None:
        """See `Bulk.delete_many`; one slot and one deadline, that of as many pages of a disk."""
        if (inner := bulk(self._inner)) is not None:
            what, size = f"{len(keys)} keys from {keys[0]} on", PAGE * len(keys)
            await self._within("delete", what, size, lambda: inner.delete_many(keys))

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        async with aclosing(self._inner.list(prefix)) as listing:
            steps = _Steps(listing)
            while batch := await self._in_time("list", prefix, 0, steps.next):
                for listed in batch:
                    yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        return await self._within("usage", "", 0, self._inner.usage)

    async def aclose(self) -> None:
        """Close the backend inside, which has a deadline for that too."""
        await self._in_time("close", "", 0, self._inner.aclose)

    async def _within(self, what: str, key: str, size: int, call: Callable[[], Awaitable[T]]) -> T:
        # Without a turn of the event loop where a slot is free: that costs as much as a small read.
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        try:
            return await self._in_time(what, key, size, call)
        finally:
            self._slots.release()

    async def _in_time(self, what: str, key: str, size: int, call: Callable[[], Awaitable[T]]) -> T:
        seconds = self._limits.deadline(size)
        with trio.move_on_after(seconds):
            return await call()
        raise TimedOutError(
            f"backend {self.name}: {what} {key} took longer than {seconds:.0f} s; "
            "check the disk or its connection",
            backend=self.name,
            key=key,
        )
