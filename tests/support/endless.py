"""A backend that tells of a site which records on and on: each record as it should be, and another
one behind it."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from modelfloat.backends.base import Backend, Listed
from modelfloat.backends.keys import journal_key, news_key, parse_journal_key, site_key
from modelfloat.cas.formats.journal import NO_ID, Record, encode_record
from modelfloat.cas.formats.news import News, encode_news
from modelfloat.cas.store import Store
from modelfloat.errors import KeyNotFoundError
from modelfloat.ids import Key, StoreId, random_site_id, random_writer_id

LAST = 1 << 60
"""The number of the last record that it tells of."""


class Endless:
    """`inner`, and what was made up; `asked` is the highest number that was asked for. It lists
    `listed` of these records, the last one first."""

    def __init__(self, inner: Backend, store: StoreId, listed: int = 1) -> None:
        self._inner = inner
        self._store = store
        self.listed, self.last = listed, LAST
        self.site, self.writer = random_site_id(), random_writer_id()
        self.asked = 0
        self._made: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def record(self, seq: int) -> bytes:
        """The record of that number: it was made before all others, and says nothing."""
        while len(self._made) < seq:
            before = self._made[-1][-32:] if self._made else NO_ID
            number = len(self._made) + 1
            record = Record(self._store, self.writer, number, before, 1, ())
            self._made.append(encode_record(record))
        return self._made[seq - 1]

    async def get(self, key: Key, *arguments: Any, **named: Any) -> bytes:
        """See `Backend.get`."""
        if key == news_key(self.site):
            return encode_news(News(self._store, self.site, {self.writer: self.last}))
        parsed = parse_journal_key(key)
        if parsed is None or parsed[0] != self.writer:
            data: bytes = await self._inner.get(key, *arguments, **named)
            return data
        if parsed[1] > 10_000:
            raise KeyNotFoundError(f"no {key}", key=key)
        self.asked = max(self.asked, parsed[1])
        return self.record(parsed[1])

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        async with aclosing(self._inner.list(prefix)) as listing:
            async for listed in listing:
                yield listed
        if site_key(self.site).startswith(prefix):
            yield Listed(site_key(self.site), 64)
        for key in self.keys(prefix):
            yield Listed(key, 128)

    def keys(self, prefix: str) -> Iterator[Key]:
        """The keys of its records that it lists."""
        if f"journal/{self.writer.hex()}/".startswith(prefix):
            for number in range(self.listed):
                yield journal_key(self.writer, self.last - number, 0)


def make_endless(store: Store, name: str = "d0", listed: int = 1) -> Endless:
    """Make the backend of that name of an open store one."""
    (member,) = (member for member in store.members if member.name == name)
    found = Endless(member.backend, store.id, listed)
    member.backend = found
    return found
