"""Checks of a part of the store: an address, a share of the packs, at a rate, in what order."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.verify.checkorder import VerifyRequest
from modelfloat.cas.verify.throttle import Throttle
from modelfloat.errors import NotFoundError
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import flip_payload, lose, packs_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store with three files in repositories of their own."""
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for name in "abc":
            (tmp_path / name).write_bytes(noise(name, 1_500_000))
            await add(store, tmp_path / name, f"acme/{name}/dir/{name}")
    return tmp_path / "store"


def checked(store: Store) -> dict[int, int]:
    """When each pack was checked, by its number."""
    return {pack.number: pack.checked_ns for pack in store.index.packs()}


def data_pack(store: Store, number: int) -> PackRecord:
    """The pack of file `number`."""
    return [pack for pack in store.index.packs() if pack.kind is Kind.DATA][number]


def request(address: str) -> VerifyRequest:
    return VerifyRequest(address=parse_address(address))


@pytest.mark.parametrize("address", ["acme/b", "acme/b/dir", "acme/b@main/dir/b"])
async def test_an_address_has_its_packs_checked(stored: Path, address: str) -> None:
    async with open_store(str(stored)) as store:
        report = await store.verify(request(address))
        assert (report.exit_status, report.packs) == (0, 2)
        done = {number for number, time in checked(store).items() if time}
        kinds = {store.index.pack(number).kind for number in done}  # type: ignore[union-attr, arg-type]
        assert kinds == set(Kind)
        assert data_pack(store, 1).number in done
        # What is wrong elsewhere is not looked at; what is wrong here is.
        flip_payload(packs_of(stored)[0].shards[0])
        names = {p.id: p for p in packs_of(stored)}
        flip_payload(names[data_pack(store, 1).id.hex()].shards[1])
        other = names[data_pack(store, 2).id.hex()].shards[1]
        other.unlink()
        report = await store.verify(request(address))
        assert data_pack(store, 1).id.hex() in {p.pack for p in report.problems}
        assert data_pack(store, 2).id.hex() not in {p.pack for p in report.problems}


async def test_an_address_names_lost_files_wherever_they_are(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        await add(store, stored.parent / "b", "acme/again")
        for path in list(packs_of_data(stored, store, 1).values())[:2]:
            lose(path)
        report = await store.verify(request("acme/again"))
        assert report.exit_status == 4
        assert report.lost_files == ["acme/again@main/b", "acme/b@main/dir/b"]


def packs_of_data(path: Path, store: Store, number: int) -> dict[int, Path]:
    """The shards of the pack of file `number`."""
    id_ = data_pack(store, number).id.hex()
    return next(pack.shards for pack in packs_of(path) if pack.id == id_)


async def test_what_is_not_there_is_named(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        for address in ("acme/nobody", "acme/a/nothing", "acme/a/dir/a/deeper", "acme/a@old"):
            with pytest.raises(NotFoundError):
                await store.verify(request(address))


async def test_samples_come_round_to_every_pack(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        count = len(list(store.index.packs()))
        rounds = 0
        while not all(checked(store).values()):
            report = await store.verify(VerifyRequest(share=0.2))
            assert 0 < report.packs < count
            rounds += 1
            assert rounds <= 6
        # A share of everything is everything.
        assert (await store.verify(VerifyRequest(share=1.0))).packs == count


async def test_what_is_known_to_be_wrong_comes_first(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        await store.verify()
        wrong = data_pack(store, 1)
        store.index.note_damage({(wrong.number, 0): ShardState.DAMAGED})
        await store.verify(VerifyRequest(share=0.01))
        newest = max(checked(store).items(), key=lambda item: item[1])
        assert newest[0] == wrong.number
        assert set(data_pack(store, 1).states) == {ShardState.GOOD}


async def test_a_clock_that_was_set_back_changes_the_order_only(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(str(stored)) as store:
        await store.verify()
        monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
        assert (await store.verify()).exit_status == 0
        assert (await add(store, stored.parent / "a", "acme/early")).commit is not None
        assert await read(store, "acme/early/a") == noise("a", 1_500_000)
        monkeypatch.undo()
        (stored.parent / "d").write_bytes(noise("d", 1_500_000))
        await add(store, stored.parent / "d", "acme/early")
        assert await read(store, "acme/early/d") == noise("d", 1_500_000)
        assert len(store.refs.heads(parse_address("acme/early").repo)) == 1
        assert (await store.verify()).exit_status == 0


async def test_a_rate_is_kept(autojump_clock: MockClock) -> None:
    throttle = Throttle(1000.0)
    start = trio.current_time()
    for _ in range(11):
        await throttle.take(500)
    assert trio.current_time() - start == pytest.approx(5.0)
    # What was not used is not saved up.
    await trio.sleep(100)
    start = trio.current_time()
    for _ in range(3):
        await throttle.take(500)
    assert trio.current_time() - start == pytest.approx(1.0)


async def test_without_a_rate_nothing_waits(autojump_clock: MockClock) -> None:
    throttle = Throttle(None)
    start = trio.current_time()
    for _ in range(100):
        await throttle.take(1 << 40)
    assert trio.current_time() == start


# What reads find


@pytest.mark.parametrize(
    ("damage", "state"), [(lose, ShardState.MISSING), (flip_payload, ShardState.DAMAGED)]
)
async def test_a_read_remembers_what_it_found(
    stored: Path, damage: object, state: ShardState, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(str(stored)) as store:
        path = packs_of_data(stored, store, 1)[0]
        damage(path)  # type: ignore[operator]
        assert (await store.stats()).degraded_packs == 0
        assert await read(store, "acme/b/dir/b") == noise("b", 1_500_000)
    assert caplog.text.count("`modelfloat verify --repair` mends it") >= 1
    async with open_store(str(stored)) as store:
        assert data_pack(store, 1).states[0] is state
        assert (await store.stats()).degraded_packs == 1
        # The repair begins with it.
        report = await store.verify(VerifyRequest(repair=True, share=0.001))
        assert [(p.index, p.repaired) for p in report.problems] == [(0, True)]
        assert (await store.stats()).degraded_packs == 0


async def test_an_index_that_cannot_be_written_keeps_no_read_back(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        lose(packs_of_data(stored, store, 1)[0])
        store.index.read_only = "a test"
        assert await read(store, "acme/b/dir/b") == noise("b", 1_500_000)
        assert (await store.verify(request("acme/b"))).exit_status == 3
        store.index.read_only = ""
        assert set(data_pack(store, 1).states) == {ShardState.GOOD}


async def test_an_outage_is_not_remembered_as_damage(stored: Path) -> None:
    (stored / "backends" / "d0").rename(stored / "away")
    async with open_store(str(stored)) as store:
        for name in "abc":
            assert await read(store, f"acme/{name}/dir/{name}") == noise(name, 1_500_000)
    (stored / "away").rename(stored / "backends" / "d0")
    async with open_store(str(stored)) as store:
        assert all(set(pack.states) == {ShardState.GOOD} for pack in store.index.packs())
