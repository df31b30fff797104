"""The reserve: real blocks, given up when a disk is full, made again when there is room."""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import pytest

from modelfloat.backends.base import Buffer
from modelfloat.backends.keys import RESERVE_KEY
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.ballast import LEAST, Ballast
from modelfloat.cas.ballast import SIZE as BACKENDS
from modelfloat.cas.index.index import Index
from modelfloat.cas.packs.health import Health, State
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.reserve import SHARE, Reserve, is_full
from modelfloat.errors import IndexDamagedError, ModelFloatError, QuotaError, one_failure
from modelfloat.ids import Key, StoreId, random_backend_id
from modelfloat.tests.support.samples import STORE


def length(folder: Path) -> int | None:
    try:
        return (folder / "reserve").stat().st_size
    except FileNotFoundError:
        return None


def test_it_takes_real_blocks(tmp_path: Path) -> None:
    Reserve(str(tmp_path)).make(1 << 20)
    found = (tmp_path / "reserve").stat()
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20
    assert found.st_mode & 0o077 == 0


def test_none_is_wanted(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(0)
    assert length(tmp_path) == 0
    reserve.make()
    assert length(tmp_path) == 0
    assert not reserve.give_up()


def test_it_takes_a_small_share_of_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    few = list(real)
    few[0] = few[1] = 4096
    few[4] = 1000
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(few))
    Reserve(str(tmp_path)).make()
    assert length(tmp_path) == 4096 * 1000 // SHARE


def test_without_room_it_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    reserve = Reserve(str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        reserve.make(1000)
        assert length(tmp_path) is None
    reserve.make(1000)
    monkeypatch.setattr(os, "posix_fallocate", full)
    reserve.make(5000)
    assert length(tmp_path) == 1000


FULL = [
    QuotaError("backend d0 is full"),
    OSError(errno.ENOSPC, "No space left on device"),
    ExceptionGroup("two", [ValueError("x"), QuotaError("full")]),
]


@pytest.mark.parametrize("failure", FULL)
async def test_it_is_given_up_once_and_made_again(tmp_path: Path, failure: Exception) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)
    there: list[int | None] = []

    async def job() -> str:
        there.append(length(tmp_path))
        if len(there) == 1:
            raise failure
        return "done"

    assert await reserve.retrying(job) == "done"
    assert there == [100_000, None]
    assert length(tmp_path) or os.statvfs(tmp_path).f_bavail == 0


def test_one_of_a_group_keeps_what_is_behind_it() -> None:
    failure = IndexDamagedError("cannot be written")
    failure.__cause__ = lmdb.DiskError("full")
    with pytest.raises(IndexDamagedError) as caught, one_failure():
        raise ExceptionGroup("two", [ValueError("x"), failure])
    assert is_full(caught.value)


async def test_an_index_that_finds_no_room_writes_once_more(tmp_path: Path) -> None:
    """The record of what it is to write may be on the backends: the whole cannot be done again."""
    reserve, index = Reserve(str(tmp_path)), Index.create(str(tmp_path / "index"), STORE)
    index.makes_room = reserve.make_room
    reserve.make(100_000)
    tries: list[int | None] = []

    def write() -> None:
        tries.append(length(tmp_path))
        if len(tries) != 2:
            raise IndexDamagedError("cannot be written") from lmdb.DiskError("full")

    with pytest.raises(IndexDamagedError):  # an add gives nothing up
        await index.write(write)
    tries.clear()
    await reserve.retrying(lambda: index.write(write))
    assert tries == [100_000, None]
    index.close()


async def test_what_fails_again_is_told(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)
    tries = 0

    async def job() -> None:
        nonlocal tries
        tries += 1
        raise QuotaError("backend d0 is full")

    with pytest.raises(QuotaError):
        await reserve.retrying(job)
    assert tries == 2
    with pytest.raises(QuotaError):
        await reserve.retrying(job)
    assert tries == 3


async def test_other_failures_leave_it_alone(tmp_path: Path) -> None:
    reserve = Reserve(str(tmp_path))
    reserve.make(100_000)

    async def job() -> None:
        raise ModelFloatError("no")

    with pytest.raises(ModelFloatError):
        await reserve.retrying(job)
    assert length(tmp_path) == 100_000


def test_a_full_index_is_recognised() -> None:
    error = IndexDamagedError("the index cannot be written")
    assert not is_full(error)
    error.__cause__ = lmdb.DiskError("No space left on device")
    assert is_full(error)


# On backends


@dataclass
class Place:
    """A backend with room for `room` bytes."""

    inner: MemoryBackend
    room: int

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        size = sum(map(len, parts))
        used = [each.size async for each in self.inner.list() if each.key != key]
        if sum(used) + size > self.room:
            raise QuotaError(f"backend {self.inner.name}: no room", backend=self.inner.name)
        await self.inner.put(key, parts, if_absent=if_absent)


def places(*rooms: int) -> tuple[Members, list[Place]]:
    """Members with so many bytes of room each."""
    found = [Place(MemoryBackend(f"d{i}"), room) for i, room in enumerate(rooms)]
    members = [
        Member(random_backend_id(), f"d{i}", place, f"x{i}", 1.0)  # type: ignore[arg-type]
        for i, place in enumerate(found)
    ]
    return Members(StoreId(bytes(16)), members), found


async def kept(place: Place) -> int:
    """Bytes of the reserve on a backend."""
    return sum([each.size async for each in place.inner.list(RESERVE_KEY)])


async def test_backends_have_as_much_as_there_is_room_for() -> None:
    members, found = places(2 * BACKENDS, BACKENDS // 3, LEAST - 1)
    await Ballast(members).make()
    assert [await kept(place) for place in found] == [BACKENDS, BACKENDS // 4, 0]
    found[1].room = 2 * BACKENDS
    await Ballast(members).make()
    assert [await kept(place) for place in found] == [BACKENDS, BACKENDS, 0]


async def test_who_drains_or_takes_nothing_gets_none() -> None:
    members, found = places(*[2 * BACKENDS] * 3)
    one, two, _ = members
    one.become(Health().decide(State.DRAINING, 0))
    two.become(Health().decide(State.READ_ONLY, 0))
    await Ballast(members).make()
    assert [await kept(place) for place in found] == [0, 0, BACKENDS]


async def test_full_backends_give_up_theirs_and_make_it_anew(tmp_path: Path) -> None:
    members, found = places(*[BACKENDS] * 2)
    reserve = Reserve(str(tmp_path), Ballast(members))
    reserve.make(100_000)
    await reserve.make_on_backends()
    tried = list[list[int]]()

    async def job() -> str:
        tried.append([await kept(place) for place in found])
        for member in members:
            try:
                await member.backend.put(Key("record"), [bytes(10)])
            except QuotaError as error:
                members.note_failure(member, error, writing=True)
                raise
        return "done"

    assert await reserve.retrying(job) == "done"
    # One after the other: d1 was not known to be full before d0 had room.
    assert tried == [[BACKENDS, BACKENDS], [0, BACKENDS], [0, 0]]
    assert [await kept(place) for place in found] == [BACKENDS // 2] * 2
    assert (length(tmp_path) or 0) >= 100_000
    assert all(member.health.takes_shards for member in members)


async def test_where_none_is_wanted_backends_have_none(tmp_path: Path) -> None:
    members, found = places(2 * BACKENDS)
    reserve = Reserve(str(tmp_path), Ballast(members))
    reserve.make(0)
    await reserve.make_on_backends()
    assert await kept(found[0]) == 0


async def test_without_any_the_failure_is_told(tmp_path: Path) -> None:
    members, _ = places(0, 0)
    reserve = Reserve(str(tmp_path), Ballast(members))
    tries = 0

    async def job() -> None:
        nonlocal tries
        tries += 1
        raise ExceptionGroup("two", [QuotaError("d0 is full", backend="d0")])

    with pytest.raises(ExceptionGroup):
        await reserve.retrying(job)
    assert tries == 1
