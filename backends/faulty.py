"""Faults on demand: a backend round a backend that fails as it is told, for tests and drills.

    faulty = FaultyBackend(inner)
    faulty.inject("unavailable", on=["put"], prefix="packs/", times=2)
    faulty.inject("flip_bit")
    faulty.crash_after(3)

Every fault has a name, the operations it applies to, a key prefix and a count. The first one that
matches a call and is not used up strikes. Without faults this backend changes nothing.

Concurrency: faults are matched and counted before the first await of a call.
"""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

import trio

from ..errors import (
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)
from ..ids import Key
from .base import Backend, Buffer, Listed, Properties, Usage
from .fetch import fetch

Operation = Literal["put", "get", "head", "delete", "list", "usage"]
Name = Literal[
    "unavailable", "not_found", "denied", "full", "short_read", "flip_bit", "slow", "hang"
]

ALL: Final[tuple[Operation, ...]] = ("put", "get", "head", "delete", "list", "usage")
APPLIES: Final[dict[Name, tuple[Operation, ...]]] = {
    "unavailable": ALL,
    "not_found": ("get", "head"),
    "denied": ALL,
    "full": ("put",),
    "short_read": ("get",),
    "flip_bit": ("get", "put"),
    "slow": ALL,
    "hang": ALL,
}
"""What each fault can strike; by default it strikes all of these, `flip_bit` only `get`."""

_RAISES: Final = {
    "unavailable": UnavailableError,
    "not_found": KeyNotFoundError,
    "denied": DeniedError,
    "full": QuotaError,
}


class SimulatedCrash(BaseException):
    """Raised in place of the process's death, so that nothing on the way can handle it."""


@dataclass(slots=True)
class Fault:
    """One fault: it strikes `times` times (for ever when None), `seconds` is how slow `slow` is."""

    name: Name
    on: frozenset[Operation]
    prefix: str
    times: int | None
    seconds: float
    struck: int = 0

    def matches(self, operation: Operation, key: str) -> bool:
        """Whether it strikes that call."""
        left = self.times is None or self.struck < self.times
        return left and operation in self.on and key.startswith(self.prefix)


class FaultyBackend:
    """`inner`, with the faults injected here."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._faults: list[Fault] = []
        self._puts_left: int | None = None

    def inject(
        self,
        name: Name,
        *,
        on: Collection[Operation] | None = None,
        prefix: str = "",
        times: int | None = None,
        seconds: float = 1.0,
    ) -> Fault:
        """Add a fault and return it; `struck` counts. ValueError where it cannot strike `on`."""
        if on is None:
            on = ("get",) if name == "flip_bit" else APPLIES[name]
        if not set(on) <= set(APPLIES[name]):
            raise ValueError(f"{name} cannot strike {sorted(set(on) - set(APPLIES[name]))}")
        fault = Fault(name, frozenset(on), prefix, times, seconds)
        self._faults.append(fault)
        return fault

    def crash_after(self, puts: int) -> None:
        """After `puts` more puts every call raises SimulatedCrash, until `clear`."""
        self._puts_left = puts

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()
        self._puts_left = None

    async def lose(self, prefix: str = "") -> None:
        """Remove every key that begins with `prefix` from the backend inside."""
        for key in [listed.key async for listed in self._inner.list(prefix)]:
            await self._inner.delete(key)

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def properties(self) -> Properties:
        """Those of the backend inside."""
        return self._inner.properties

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. `flip_bit` stores a flipped bit."""
        fault = await self._strike("put", key)
        if fault == "flip_bit":
            parts = [_flipped(b"".join(parts))]
        await self._inner.put(key, parts, if_absent=if_absent)
        if self._puts_left is not None:
            self._puts_left -= 1

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`. `short_read` fills half of the buffer and says so."""
        fault = await self._strike("get", key)
        if fault == "short_read":
            await self._inner.get_into(key, offset, buffer[: len(buffer) // 2])
            raise self._cut(key)
        await self._inner.get_into(key, offset, buffer)
        if fault == "flip_bit" and buffer.nbytes:
            buffer.cast("B")[buffer.nbytes // 2] ^= 1

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        if not any(fault.matches("get", key) for fault in self._faults):
            await self._strike("get", key)
            return await self._inner.get(key, offset, size, most)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        await self._strike("head", key)
        return await self._inner.head(key)

    async def age(self, key: Key) -> float:
        """See `Backend.age`; what strikes `head` strikes it."""
        await self._strike("head", key)
        return await self._inner.age(key)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        await self._strike("delete", key)
        await self._inner.delete(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        await self._strike("list", prefix)
        async with aclosing(self._inner.list(prefix)) as listing:
            async for listed in listing:
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        await self._strike("usage", "")
        return await self._inner.usage()

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self._inner.aclose()

    async def _strike(self, operation: Operation, key: str) -> Name | None:
        """Fail, hang or wait as the first matching fault says; its name when it is of the data."""
        if self._puts_left is not None and self._puts_left <= 0:
            raise SimulatedCrash(f"backend {self.name}: {operation} {key}")
        fault = next((f for f in self._faults if f.matches(operation, key)), None)
        if fault is None:
            return None
        fault.struck += 1
        if fault.name == "hang":
            await trio.sleep_forever()
        if fault.name == "slow":
            await trio.sleep(fault.seconds)
        elif fault.name in _RAISES:
            raise _RAISES[fault.name](
                f"backend {self.name}: {operation} {key}: injected fault {fault.name}",
                backend=self.name,
                key=key,
            )
        return fault.name

    def _cut(self, key: Key) -> CorruptAnswerError:
        return CorruptAnswerError(
            f"backend {self.name}: get {key}: injected fault short_read",
            backend=self.name,
            key=key,
        )


def _flipped(data: bytes) -> bytes:
    copy = bytearray(data)
    if copy:
        copy[len(copy) // 2] ^= 1
    return bytes(copy)
