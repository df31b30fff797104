"""Many keys deleted at once, and one by one where that fails."""

from collections.abc import Sequence

import pytest
import trio

from modelfloat.backends.bulk import AT_ONCE, TOGETHER, bulk, delete_all
from modelfloat.backends.keys import shard_key
from modelfloat.backends.limit import LimitBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.backends.rated import RateBackend
from modelfloat.errors import BackendError, DeniedError, LeaseLostError, UnavailableError
from modelfloat.ids import Key, PackId
from modelfloat.rate import Rate


class Able(MemoryBackend):
    """A backend that deletes many keys at once, unless it `fails` so; some it `refuses`."""

    fails = False

    def __init__(self) -> None:
        super().__init__("d0")
        self.refuses = frozenset[Key]()
        self.gone = False
        self.together: list[int] = []
        self.single: list[Key] = []

    @property
    def bulk(self) -> "Able":
        return self

    async def delete_many(self, keys: Sequence[Key]) -> None:
        self.together.append(len(keys))
        if self.fails:
            raise DeniedError("no such requests", backend="d0")
        for key in keys:
            await super().delete(key)

    async def delete(self, key: Key) -> None:
        self.single.append(key)
        if self.gone:
            raise DeniedError("it is away", backend="d0")
        if key in self.refuses:
            raise DeniedError(f"not {key}", backend="d0", key=key)
        await super().delete(key)


def shards(count: int) -> list[Key]:
    """Keys of so many shards."""
    return [shard_key(PackId(number.to_bytes(16, "big")), 0, 4, 2) for number in range(count)]


def go_on(_: BackendError) -> bool:
    return True


async def test_wrappers_pass_many_on_in_few_calls() -> None:
    able, keys = Able(), shards(2 * TOGETHER + 3)
    wrapped = RateBackend(LimitBackend(able), Rate())
    for key in keys:
        await wrapped.put(key, [b"x"])
    looks: list[int] = []
    assert await delete_all(wrapped, keys, lambda: looks.append(1), go_on) == {}
    assert able.together == [TOGETHER, TOGETHER, 3]
    assert len(looks) == 3
    assert able.single == []
    assert bulk(LimitBackend(MemoryBackend("d1"))) is None
    assert bulk(RateBackend(MemoryBackend("d1"))) is None


async def test_what_cannot_be_done_at_once_is_told_key_by_key() -> None:
    able, keys = Able(), shards(20)
    able.fails, able.refuses = True, frozenset(keys[3:5])
    for key in keys:
        await able.put(key, [b"x"])
    failed = await delete_all(able, keys, lambda: None, go_on)
    assert set(failed) == set(keys[3:5])
    assert {str(error) for error in failed.values()} == {f"not {key}" for key in keys[3:5]}
    assert {each.key async for each in able.list()} == set(keys[3:5])


async def test_one_that_is_gone_is_not_asked_for_each() -> None:
    able, keys = Able(), shards(TOGETHER)
    able.fails = able.gone = True
    failed = await delete_all(able, keys, lambda: None, lambda _: False)
    assert set(failed) == set(keys)
    assert len(able.single) <= AT_ONCE


async def test_nothing_is_deleted_without_the_lease() -> None:
    able, keys = Able(), shards(TOGETHER + 1)

    def lost() -> None:
        if able.together:
            raise LeaseLostError("lost")

    with pytest.raises(LeaseLostError):
        await delete_all(able, keys * 2, lost, go_on)
    assert able.together == [TOGETHER]
    assert able.single == []


async def test_tries_are_repeated_one_by_one(autojump_clock: trio.testing.MockClock) -> None:
    able, keys = Able(), shards(2)
    able.fails, tries = True, list[Key]()
    delete = able.delete

    async def flaky(key: Key) -> None:
        tries.append(key)
        if len(tries) < 3:
            raise UnavailableError("busy", backend="d0")
        await delete(key)

    able.delete = flaky  # type: ignore[method-assign]
    assert await delete_all(able, keys, lambda: None, go_on) == {}
    assert len(tries) == 4
