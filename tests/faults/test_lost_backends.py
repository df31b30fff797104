"""Any two of six backends vanish and every byte is served; a third one is an honest error."""

import errno
import itertools
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from trio.testing import MockClock

from modelfloat.backendchanges import add_backend
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.local import LocalBackend
from modelfloat.cas.packs.health import Event, State
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.packs.placement import Candidate
from modelfloat.cas.packs.survival import describe
from modelfloat.cas.store import Store
from modelfloat.cas.verify.report import VerifyReport
from modelfloat.creating import BackendSpec
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import DataLostError, UnavailableError
from modelfloat.ids import BackendId, Key, StoreId
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, flip_bit, fresh_store, read, shard_files, weights

NAMES = [f"d{i}" for i in range(6)]


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 4+2 with one model in it, closed."""
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def lose(store: Path, names: tuple[str, ...]) -> None:
    for name in names:
        shutil.rmtree(store / "backends" / name)


async def test_all_pairs_are_served(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    for pair in itertools.combinations(NAMES, 2):
        kept = [path.parent / f"kept-{name}" for name in pair]
        for name, place in zip(pair, kept, strict=True):
            (path / "backends" / name).rename(place)
        async with open_store(str(path)) as store:
            assert {member.name for member in store.members.down()} == set(pair)
            assert await read(store, "acme/model/model.safetensors") == data
        for name, place in zip(pair, kept, strict=True):
            place.rename(path / "backends" / name)


async def test_three_lost_is_an_error(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    lose(path, ("d1", "d2", "d5"))
    async with open_store(str(path)) as store:
        with pytest.raises(DataLostError, match="cannot be read: d1, d2, d5 are down"):
            await read(store, "acme/model/model.safetensors")
        report = await store.verify()
        assert report.exit_status == 4
        assert report.lost_files == ["acme/model@main/model.safetensors"]


async def test_backends_vanish_under_an_open_store(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    async with open_store(str(path)) as store:
        lose(path, ("d0", "d3"))
        assert await read(store, "acme/model/model.safetensors") == data


async def test_repair_makes_lost_directories_anew(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    lose(path, ("d0", "d3"))
    async with open_store(str(path)) as store:
        found = await store.verify()
        assert (found.exit_status, set(found.down)) == (3, {"d0", "d3"})
        repaired = await store.verify(repair=True)
        assert repaired.exit_status == 3
        assert repaired.replaced == ["d0", "d3"]
        assert all(problem.repaired for problem in repaired.problems)
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 0
    lose(path, ("d1", "d2"))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data


async def test_an_empty_directory_is_down_not_empty(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    lose(path, ("d0",))
    (path / "backends" / "d0").mkdir()
    async with open_store(str(path)) as store:
        assert [member.name for member in store.members.down()] == ["d0"]
        assert await read(store, "acme/model/model.safetensors") == data
        report = await store.verify(repair=True)
        assert report.replaced == []
        assert not list((path / "backends" / "d0").iterdir())


async def test_an_add_goes_on_with_a_backend_down(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    lose(path, ("d4",))
    data = weights(path.parent / "new.safetensors", label="new")
    async with open_store(str(path)) as store:
        await add(store, path.parent / "new.safetensors")
        assert await read(store, "acme/model/new.safetensors") == data
    lose(path, ("d0",))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/new.safetensors") == data


def away(store: Path, *names: str) -> None:
    """Take directories of a store away, to come `home` again."""
    for name in names:
        (store / "backends" / name).rename(store.parent / f"away-{name}")


def home(store: Path, *names: str) -> None:
    for name in names:
        (store.parent / f"away-{name}").rename(store / "backends" / name)


def hosts(store: Path) -> tuple[BackendSpec, ...]:
    """Two domains of three directories, by absolute paths: no one makes them anew."""
    folder = store / "backends"
    return tuple(BackendSpec(f"{d}{i}", str(folder / f"{d}{i}"), d) for d in "ab" for i in range(3))


HOST_A, HOST_B = ("a0", "a1", "a2"), ("b0", "b1", "b2")


def worst(store: Store) -> tuple[int, int]:
    """The most shards of one pack on a backend, and in a domain."""
    backends, domains = [0], [0]
    for pack in store.index.packs():
        held = [store.pool.holder(pack, index) for index in range(pack.n)]
        backends += Counter(member.name for member in held if member).values()
        domains += Counter(member.domain for member in held if member).values()
    return max(backends), max(domains)


async def test_an_add_to_what_is_left_of_most_backends_is_refused(tmp_path: Path) -> None:
    weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store"):
        pass
    away(tmp_path / "store", *NAMES[2:])
    async with open_store(str(tmp_path / "store")) as store:
        with pytest.raises(UnavailableError, match=r"with d2, d3, d4, d5 down, .* bring one back"):
            await add(store, tmp_path / "model")
    assert shard_files(tmp_path / "store") == []


async def test_an_add_that_survives_less_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store"):
        pass
    away(tmp_path / "store", "d4", "d5")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "model")
        assert worst(store) == (2, 6)
        assert await read(store, "acme/model/model") == data
    warnings = [record.message for record in caplog.records if "survives less" in record.message]
    assert len(warnings) == 1
    assert warnings[0].startswith("with d4, d5 down")


async def test_shards_crowded_in_one_domain_are_moved(tmp_path: Path) -> None:
    data = weights(tmp_path / "model")
    path = tmp_path / "store"
    async with fresh_store(path, "2+2", hosts(path)):
        pass
    away(path, *HOST_B)
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "model")
        assert worst(store) == (2, 4)
    home(path, *HOST_B)
    async with open_store(str(path)) as store:
        count = len(shard_files(path))
        found = await store.verify()
        problems = {p.problem for p in found.problems if not p.pack.startswith("journal")}
        assert problems
        assert all(problem.startswith("too many shards of this pack") for problem in problems)
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert worst(store)[1] == 2
        assert len(shard_files(path)) == count
        assert (await store.verify()).exit_status == 0
    away(path, *HOST_A)
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model") == data


async def test_a_backend_that_is_added_takes_its_share(tmp_path: Path) -> None:
    data = weights(tmp_path / "model")
    path = tmp_path / "store"
    async with fresh_store(path, "4+2", (BackendSpec("d0", "backends/d0"),)) as store:
        await add(store, tmp_path / "model")
        assert (await store.verify()).exit_status == 0
    for name in ("d1", "d2"):
        await add_backend(str(path), name, f"backends/{name}")
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 3
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert worst(store)[0] == 2
        assert (await store.verify()).exit_status == 0
    lose(path, ("d0",))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model") == data


async def test_repair_never_crowds_the_domain_that_is_left(tmp_path: Path) -> None:
    data = weights(tmp_path / "model")
    path = tmp_path / "store"
    async with fresh_store(path, "2+2", hosts(path)) as store:
        await add(store, tmp_path / "model")
    away(path, *HOST_B)
    async with open_store(str(path)) as store:
        report = await store.verify(repair=True)
        split = {pack.id.hex() for pack in store.index.packs() if pack.k > 1}
        problems = {p.problem for p in report.problems if p.pack in split}
        assert problems == {"its backend is down; no place for it: add a backend"}
        assert worst(store) == (1, 2)
    home(path, *HOST_B)
    away(path, *HOST_A)
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model") == data


async def test_packs_of_more_shards_than_backends_are_repaired(tmp_path: Path) -> None:
    data = weights(tmp_path / "model")
    path = tmp_path / "store"
    three = tuple(BackendSpec(name, f"backends/{name}") for name in NAMES[:3])
    async with fresh_store(path, "4+2", three) as store:
        await add(store, tmp_path / "model")
    lose(path, ("d0",))
    async with open_store(str(path)) as store:
        report = await store.verify(repair=True)
        assert report.replaced == ["d0"]
        assert all(p.repaired for p in report.problems)
        assert (await store.verify()).exit_status == 0
    lose(path, ("d1",))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model") == data


async def test_shards_of_a_full_backend_go_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        full = next(iter(store.members))
        full.backend = FaultyBackend(full.backend)
        full.backend.inject("full", on=["put"], prefix="packs/")
        await add(store, tmp_path / "model")
        assert (await store.stats()).degraded_packs == 0
        assert worst(store)[0] == 2
        assert shard_files(tmp_path / "store", full.name) == []
        assert full.state is State.FULL
        assert (await store.verify(repair=True)).exit_status == 0
        assert await read(store, "acme/model/model") == data
        full.backend.clear()
        store.members.hear(full, Event.ROOM)
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert worst(store)[0] == 1
        assert (await store.verify()).exit_status == 0
    assert f"backend {full.name} is full: new shards go to others" in caplog.text


async def test_repair_goes_elsewhere_where_a_backend_is_full(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    for file in shard_files(path, "d0"):
        flip_bit(file, 9)
    async with open_store(str(path)) as store:
        full = next(member for member in store.members if member.name == "d0")
        full.backend = FaultyBackend(full.backend)
        full.backend.inject("full", on=["put"], prefix="packs/")
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert shard_files(path, "d0") == []
        assert (await store.verify()).exit_status == 0
        store.members.hear(full, Event.ROOM)
        crowded = "too many shards of this pack on one backend"
        assert {p.problem for p in (await store.verify()).problems} == {crowded}
        assert await read(store, "acme/model/model.safetensors") == data


async def test_a_backend_that_does_not_answer_is_down(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    hanging = FaultyBackend(LocalBackend("d0", str(tmp_path)))
    hanging.inject("hang")
    member = Member(BackendId(b"d" * 16), "d0", hanging, "disk", 1.0)
    members = Members(StoreId(b"s" * 16), [member])
    await members.look()
    assert member.down == "backend d0 did not answer within 5 s"
    assert members.up() == []


@pytest.mark.parametrize(
    ("number", "state"), [(errno.EMFILE, State.UP), (errno.EIO, State.SUSPECT)]
)
async def test_too_many_open_files_are_no_backends_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, state: State
) -> None:
    """All of them would count as down at once."""
    backend = LocalBackend("d0", str(tmp_path))
    member = Member(BackendId(b"d" * 16), "d0", backend, "disk", 1.0)

    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fail)
        with pytest.raises(UnavailableError) as failed:
            await backend.get(Key("packs/a"), 0, 1)
    Members(StoreId(b"s" * 16), [member]).note_failure(member, failed.value)
    assert member.state is state


def test_a_backend_that_is_down_is_no_damage_by_itself() -> None:
    assert VerifyReport(down={"d0": "gone"}).exit_status == 0
    assert VerifyReport(replaced=["d0"]).exit_status == 3
    assert VerifyReport(lost=["ab"]).exit_status == 4


@pytest.mark.parametrize("count", [1, 4])
def test_without_parity_nothing_may_be_lost(count: int) -> None:
    candidates = [Candidate(BackendId(bytes([i]) * 16), str(i), 1.0) for i in range(count)]
    survives = describe(Scheme(4, 0), candidates)
    assert survives == "no parity: any lost or damaged shard is lost data"
