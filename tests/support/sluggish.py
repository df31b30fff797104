"""A backend as a far machine sees it: late both ways, and with a clock of the machine's own."""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import trio

from modelfloat.backends.base import Backend, Buffer, Listed, Properties, Usage
from modelfloat.ids import Key


class SluggishBackend:
    """`inner`, whose calls wait up to `slow` seconds before they happen, and again before they are
    told; ages are told by a clock that is `skew` seconds ahead."""

    def __init__(self, inner: Backend, slow: float, skew: float, seed: int) -> None:
        self._inner = inner
        self._slow = slow
        self._skew = skew
        self._random = random.Random(seed)
        self.name = inner.name
        self.properties: Properties = inner.properties

    async def _wait(self) -> None:
        await trio.sleep(self._random.choice((0, 0, 0.01, 1)) * self._random.uniform(0, self._slow))

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        await self._wait()
        await self._inner.put(key, parts, if_absent=if_absent)
        await self._wait()

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        await self._wait()
        await self._inner.get_into(key, offset, buffer)
        await self._wait()

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        await self._wait()
        data = await self._inner.get(key, offset, size, most)
        await self._wait()
        return data

    async def head(self, key: Key) -> int:
        await self._wait()
        size = await self._inner.head(key)
        await self._wait()
        return size

    async def age(self, key: Key) -> float:
        await self._wait()
        age = await self._inner.age(key)
        await self._wait()
        return max(0.0, age + self._skew)

    async def delete(self, key: Key) -> None:
        await self._wait()
        await self._inner.delete(key)
        await self._wait()

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        await self._wait()
        async with aclosing(self._inner.list(prefix)) as listing:
            found = [listed async for listed in listing]
        await self._wait()
        for listed in found:
            yield listed

    async def usage(self) -> Usage:
        return await self._inner.usage()

    async def aclose(self) -> None:
        await self._inner.aclose()
