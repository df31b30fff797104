"""A backend in this process's memory: gone with it. For tests, and for trying things out.

Concurrency: every method yields to other tasks first and then works without awaiting, so each is
atomic; an object belongs to one event loop.
"""

from collections.abc import AsyncGenerator, Sequence

import trio

from ..errors import KeyExistsError, KeyNotFoundError
from ..ids import Key
from .base import Buffer, Listed, Properties, Usage
from .fetch import fetch, short
from .keys import check_key, check_prefix


class MemoryBackend:
    """A dictionary that keeps the contract of `base`, except that it cannot be durable."""

    def __init__(self, name: str, *, domain: str | None = None) -> None:
        self.name = name
        self.properties = Properties(
            url="memory://",
            domain=domain if domain is not None else f"memory:{name}",
            conditional_put=True,
            concurrency=64,
            latency=0.0,
        )
        self._values: dict[Key, bytes] = {}
        self._times: dict[Key, float] = {}

    @classmethod
    def from_url(
        cls,
        name: str,
        url: str,
        *,
        domain: str | None,
        create: bool,
    ) -> "MemoryBackend":
        """A fresh, empty one; every `memory://` is its own."""
        return cls(name, domain=domain)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        check_key(key)
        await trio.lowlevel.checkpoint()
        if if_absent and key in self._values:
            raise KeyExistsError(
                f"backend {self.name}: {key} is there already", backend=self.name, key=key
            )
        self._values[key] = b"".join(parts)
        self._times[key] = trio.current_time()

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        value = await self._value(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        target = buffer.cast("B")
        if offset + len(target) > len(value):
            raise short(self.name, key, offset + len(target), len(value))
        target[:] = memoryview(value)[offset : offset + len(target)]

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        return len(await self._value(key))

    async def age(self, key: Key) -> float:
        """See `Backend.age`; the clock is that of the event loop."""
        await self._value(key)
        return trio.current_time() - self._times[key]

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        await trio.lowlevel.checkpoint()
        self._values.pop(key, None)
        self._times.pop(key, None)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        check_prefix(prefix)
        await trio.lowlevel.checkpoint()
        found = [(key, len(value)) for key, value in self._values.items() if key.startswith(prefix)]
        for key, size in found:
            yield Listed(key, size)

    async def usage(self) -> Usage:
        """Nothing is known: memory is shared with everything else."""
        await trio.lowlevel.checkpoint()
        return Usage(free=None, total=None)

    async def aclose(self) -> None:
        """Nothing to let go of."""
        await trio.lowlevel.checkpoint()

    async def _value(self, key: Key) -> bytes:
        check_key(key)
        await trio.lowlevel.checkpoint()
        try:
            return self._values[key]
        except KeyError:
            raise KeyNotFoundError(
                f"backend {self.name}: {key} is not there", backend=self.name, key=key
            ) from None
