"""Backends that lie behind a network: a directory that answers late and at so many bytes a second.

A connection is one call. Its answer begins after `latency` and comes at `connection` bytes a
second, while all connections of this process share `whole`. The bytes themselves are read at once:
what is simulated is when they come. Everything but reading is as quick as the directory. Where
nothing lies between, threads read the directory themselves, as they do without us, and are counted.

Concurrency: everything runs in the event loop, but for what threads read; the shared line is
reserved without an await.
"""

import mmap
import struct
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Final

import trio

from modelfloat.backends.base import Backend, Buffer, Listed, Properties, Usage
from modelfloat.backends.direct import Direct, direct
from modelfloat.backends.local import LocalBackend
from modelfloat.ids import Key

SLICE: Final = 512 << 10
"""Bytes that a connection gets of the shared line at a time."""
COUNTS: Final = struct.Struct("<QQ")
"""What is counted: bytes that calls fetched, and calls."""


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between the backends and us: seconds, and bytes a second; 0 is no limit.

    All connections of a backend share `own`, and all connections there are `whole`.
    Backends named in `slow` take `factor` times as long for everything. `connections` is how many
    calls a backend takes at once.
    """

    latency: float = 0.0
    connection: float = 0.0
    whole: float = 0.0
    own: float = 0.0
    connections: int = 32
    slow: Sequence[str] = ()
    factor: float = 1.0


@dataclass(slots=True)
class Line:
    """What all connections share; `free` is when the bytes promised so far are through."""

    free: float = 0.0

    def reserve(self, size: int, rate: float) -> float:
        """When `size` more bytes are through."""
        self.free = max(self.free, trio.current_time()) + size / rate
        return self.free


@dataclass(slots=True)
class Traffic:
    """Counts in a small file that the process which serves and the one that asks both map."""

    path: Path
    _map: mmap.mmap = field(init=False, repr=False)
    _lock: Lock = field(init=False, repr=False, default_factory=Lock)

    def __post_init__(self) -> None:
        with open(self.path, "a+b") as file:
            file.truncate(COUNTS.size)
            self._map = mmap.mmap(file.fileno(), COUNTS.size)

    def count(self, size: int) -> None:
        """One more call, of so many bytes; any thread may say so."""
        with self._lock:
            fetched, calls = COUNTS.unpack_from(self._map)
            COUNTS.pack_into(self._map, 0, fetched + size, calls + 1)

    @property
    def fetched(self) -> int:
        """Bytes so far."""
        found: int = COUNTS.unpack_from(self._map)[0]
        return found

    @property
    def calls(self) -> int:
        """Calls so far."""
        found: int = COUNTS.unpack_from(self._map)[1]
        return found


class _Counted:
    """Reads in the calling thread, counted."""

    def __init__(self, inner: Direct, traffic: Traffic) -> None:
        self._inner = inner
        self._traffic = traffic

    def read_now(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Direct.read_now`."""
        self._inner.read_now(key, offset, buffer)
        self._traffic.count(buffer.nbytes)


class NetworkBackend:
    """`inner` behind `network`."""

    def __init__(self, inner: Backend, network: Network, line: Line, traffic: Traffic) -> None:
        self._inner = inner
        self._network = network
        self._line = line
        self._own = Line()
        self._traffic = traffic
        self._factor = network.factor if inner.name in network.slow else 1.0
        own = inner.properties
        self.properties: Properties = own
        if network.latency:
            self.properties = replace(own, latency=network.latency, concurrency=network.connections)

    @property
    def name(self) -> str:
        """The name of the backend inside."""
        return self._inner.name

    @property
    def direct(self) -> Direct | None:
        """That of the backend inside where nothing lies between; else there is none."""
        inner = None if self._network.latency else direct(self._inner)
        return None if inner is None else _Counted(inner, self._traffic)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        began = trio.current_time()
        await self._inner.get_into(key, offset, buffer)
        await self._travel(began, buffer.nbytes)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        began = trio.current_time()
        data = await self._inner.get(key, offset, size, most)
        await self._travel(began, len(data))
        return data

    async def _travel(self, began: float, size: int) -> None:
        self._traffic.count(size)
        network = self._network
        at = began + network.latency * self._factor
        await trio.sleep_until(at)
        for start in range(0, size, SLICE):
            part = min(SLICE, size - start)
            if network.connection:
                at += part * self._factor / network.connection
            if network.own:
                at = max(at, self._own.reserve(part, network.own))
            if network.whole:
                at = max(at, self._line.reserve(part, network.whole))
            await trio.sleep_until(at)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        await self._inner.put(key, parts, if_absent=if_absent)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        return await self._inner.head(key)

    async def age(self, key: Key) -> float:
        """See `Backend.age`."""
        return await self._inner.age(key)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        await self._inner.delete(key)

    def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        return self._inner.list(prefix)

    async def usage(self) -> Usage:
        """See `Backend.usage`."""
        return await self._inner.usage()

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self._inner.aclose()


class Opener:
    """What the registry opens directories with while a network lies between."""

    def __init__(self, network: Network, traffic: Traffic) -> None:
        self._network = network
        self._traffic = traffic
        self._line = Line()

    def from_url(self, name: str, url: str, *, domain: str | None, create: bool) -> NetworkBackend:
        """See `LocalBackend.from_url`."""
        inner = LocalBackend.from_url(name, url, domain=domain, create=create)
        return NetworkBackend(inner, self._network, self._line, self._traffic)
