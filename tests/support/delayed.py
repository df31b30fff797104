"""A backend as far away as you like: latency, a rate for each connection, a line shared by several.

    line = Line(400e6)
    delayed = DelayedBackend(inner, latency=0.05, rate=50e6, line=line)
    delayed.slower = 20

All of it may be changed while it is used. Times are the event loop's: on a MockClock they pass at
once, on a real one they are real. Only reads of ranges are delayed.
"""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

import trio

from modelfloat.backends.base import Backend, Buffer, Listed, Properties, Usage
from modelfloat.backends.fetch import fetch
from modelfloat.ids import Key

RUBBISH: Final = b"\xdb"


class Line:
    """What several backends share: so many bytes a second in all, first come, first served."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._free = 0.0

    async def carry(self, size: int) -> None:
        """Wait until `size` bytes have come through."""
        self._free = max(self._free, trio.current_time()) + size / self.rate
        await trio.sleep_until(self._free)


class DelayedBackend:
    """`inner`, with reads that take their time.

    `latency` in seconds, `rate` in bytes a second of one connection, `jitter` the share by which a
    read's time varies at random, from a seed. `slower` multiplies the whole; `hangs` stops it;
    `answers`, if any, is what comes instead of what is there, again and again.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        latency: float = 0.0,
        rate: float = float("inf"),
        line: Line | None = None,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._inner = inner
        self.latency = latency
        self.rate = rate
        self.line = line
        self.jitter = jitter
        self.slower = 1.0
        self.hangs = False
        self.answers = b""
        self.reads = self.under_way = self.most = self.given_up = 0
        self._abandoned: list[memoryview] = []
        self._random = random.Random(seed)

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def properties(self) -> Properties:
        """Those of the backend inside."""
        return self._inner.properties

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        await self._inner.put(key, parts, if_absent=if_absent)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        self.reads += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self._wait(buffer.nbytes)
        except trio.Cancelled:
            self.given_up += 1
            self._abandoned.append(buffer)
            raise
        finally:
            self.under_way -= 1
        await self._inner.get_into(key, offset, buffer)
        if self.answers:
            page = self.answers * (len(buffer) // len(self.answers) + 1)
            buffer[:] = page[: len(buffer)]

    async def _wait(self, size: int) -> None:
        if self.hangs:
            await trio.sleep_forever()
        seconds = (self.latency + size / self.rate) * self.slower
        await trio.sleep(seconds * (1 + self.jitter * self._random.random()))
        if self.line is not None:
            await self.line.carry(size)

    def scribble(self) -> None:
        """Write to the memory of every read that was cancelled, as its thread might do now."""
        for buffer in self._abandoned:
            buffer[:] = RUBBISH * len(buffer)
        self._abandoned.clear()

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        return await self._inner.head(key)

    async def age(self, key: Key) -> float:
        """See `Backend.age`."""
        return await self._inner.age(key)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        await self._inner.delete(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        async with aclosing(self._inner.list(prefix)) as listing:
            async for listed in listing:
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        return await self._inner.usage()

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self._inner.aclose()
