"""Backends whose traffic is counted, put in the place of those of an open store."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelfloat.backends.base import Backend, Buffer
from modelfloat.cas.store import Store
from modelfloat.ids import Key


@dataclass
class Traffic:
    """Bytes by what was asked for: `read` and `written` of whole keys, by their folder.

    `heads` and `gets` count requests by key.
    """

    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    heads: Counter[str] = field(default_factory=Counter)
    gets: Counter[str] = field(default_factory=Counter)


class Metered:
    """A backend that counts the bytes of shards which go in and out."""

    def __init__(self, inner: Backend, traffic: Traffic) -> None:
        self._inner = inner
        self._traffic = traffic

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def head(self, key: Key) -> int:
        self._traffic.heads[key] += 1
        return await self._inner.head(key)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        self._traffic.gets[key] += 1
        data = await self._inner.get(key, offset, size, most)
        self._traffic.read[key.rpartition("/")[0]] += len(data)
        return data

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        self._traffic.gets[key] += 1
        await self._inner.get_into(key, offset, buffer)
        self._traffic.read[key.rpartition("/")[0]] += buffer.nbytes

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        await self._inner.put(key, parts, if_absent=if_absent)
        self._traffic.written[key.rpartition("/")[0]] += sum(len(part) for part in parts)


def metered(store: Store) -> Traffic:
    """The traffic with all members of an open store from now on."""
    traffic = Traffic()
    for member in store.members:
        member.backend = Metered(member.backend, traffic)  # type: ignore[assignment]
    return traffic
