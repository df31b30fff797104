"""Stores whose backends are far away and fail as they are told, on a clock that jumps."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import trio

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.limit import LimitBackend
from modelfloat.cas.index.records import PackRecord
from modelfloat.cas.packs.members import Member
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.opening import open_store
from modelfloat.tests.support.delayed import DelayedBackend
from modelfloat.tests.support.stores import add, fresh_store, weights


@dataclass(slots=True)
class Far:
    """One backend of a store, and what is put round it."""

    member: Member
    delayed: DelayedBackend
    faulty: FaultyBackend


@dataclass(slots=True)
class FarStore:
    """A store that holds acme/model/model, and its bytes."""

    store: Store
    data: bytes
    far: list[Far] = field(default_factory=list)

    async def read(self) -> float:
        """Load the file's chunks, past any cache, and compare them; how many seconds that took.

        What threads that were given up write afterwards changes nothing.
        """
        began = trio.current_time()
        file = self.store.open_file(parse_address("acme/model/model"))
        await file.prepare()
        spans = file.spans(0, file.size)
        found = await self.store.loader.load([span.id for span in spans])
        took = trio.current_time() - began
        file.close()
        for far in self.far:
            far.delayed.scribble()
        assert b"".join(found[span.id].data for span in spans) == self.data
        return took

    @property
    def pack(self) -> PackRecord:
        """The only pack that is split."""
        (pack,) = [pack for pack in self.store.index.packs() if pack.k > 1]
        return pack

    def holder(self, shard: int) -> Far:
        """The backend of a shard of that pack."""
        return next(far for far in self.far if far.member.id == self.pack.backends[shard])


def make(path: Path, scheme: str) -> bytes:
    """Make a store of one file on directories; the file's bytes. Before the clock jumps."""
    data = weights(path / "model")

    async def fill() -> None:
        async with fresh_store(path / "store", scheme) as store:
            await add(store, path / "model")

    trio.run(fill)
    return data


@contextlib.asynccontextmanager
async def far_store(path: Path, data: bytes, latency: float = 0.05) -> AsyncIterator[FarStore]:
    """The store that was made, each directory `latency` seconds away for who reads.

    Use it on a clock that jumps and with `without_threads`.
    """
    async with open_store(str(path / "store")) as store:
        found = FarStore(store, data)
        for number, member in enumerate(store.members):
            delayed = DelayedBackend(member.backend, latency=latency, seed=number)
            faulty = FaultyBackend(delayed)
            member.backend = LimitBackend(faulty)
            found.far.append(Far(member, delayed, faulty))
        yield found
