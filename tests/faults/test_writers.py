"""Writers that crash, fail or meet each other: no number twice, no second head, no record lost."""

import contextlib
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import parse_journal_key
from modelfloat.cas.formats.journal import (
    JournalEntry,
    PackDeleted,
    Record,
    RefChanged,
    decode_record,
    encode_record,
)
from modelfloat.cas.index.index import Index
from modelfloat.cas.journal.catchup import CatchUp
from modelfloat.cas.journal.journal import Journal, open_journal
from modelfloat.cas.journal.slots import Slot, read_slot, write_slot
from modelfloat.cas.locks import first_free, locked
from modelfloat.cas.packs.members import Member
from modelfloat.cas.packs.objectpacks import read_objects
from modelfloat.cas.packs.placement import place
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec
from modelfloat.errors import ModelFloatError, QuotaError
from modelfloat.ids import PackId, WriterId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.stores import add, flip_bit, fresh_store, read, weights

Journals = dict[tuple[WriterId, int], dict[int, Path]]


def records(store: Path) -> Journals:
    """All copies of all records, by writer and number; below the backends' folders."""
    found: Journals = {}
    for path in (store / "backends").glob("*/journal/*/*"):
        parsed = parse_journal_key("/".join(path.parts[-3:]))
        assert parsed is not None
        found.setdefault(parsed[:2], {})[parsed[2]] = path
    return found


def journal_of(store: Store) -> contextlib.AbstractAsyncContextManager[Journal]:
    """A journal of an open store, opened as `add` opens it."""
    return open_journal(
        f"{store.path}/locks",
        store.id,
        store.index,
        store.members,
        3,
        lambda stored: read_objects(store.pool, stored),
    )


def tombstone(label: int) -> Sequence[JournalEntry]:
    """An entry that changes nothing: of a pack that never was."""
    return [PackDeleted(PackId(bytes([label]) * 16))]


async def crash_before_the_ref(store: Store, source: Path, patched: pytest.MonkeyPatch) -> None:
    """Add, and die after the ref change is durable and before the index has it."""
    real = Index.apply

    def crash(self: Index, record: Record, objects: dict[object, bytes]) -> None:
        if any(isinstance(entry, RefChanged) for entry in record.entries):
            raise OSError("pulled the plug")
        real(self, record, objects)  # type: ignore[arg-type]

    with patched.context() as patch:
        patch.setattr(Index, "apply", crash)
        with pytest.RaisesGroup(OSError, flatten_subgroups=True, allow_unwrapped=True):
            await add(store, source)


async def test_a_crashed_writer_is_caught_up_by_whoever_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in "abc"}
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        with first_free(str(tmp_path / "s" / "locks"), "writer"):
            await crash_before_the_ref(store, tmp_path / "b", monkeypatch)
        await add(store, tmp_path / "c")
        for name, data in files.items():
            assert await read(store, f"acme/model/{name}") == data
        with first_free(str(tmp_path / "s" / "locks"), "writer"):
            await add(store, tmp_path / "a", "acme/else")
        assert (await store.verify()).exit_status == 0


async def test_an_open_journal_catches_up_who_crashed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {name: weights(tmp_path / name, 1_500_000, name) for name in "ab"}
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        async with journal_of(store) as journal:
            await crash_before_the_ref(store, tmp_path / "b", monkeypatch)
            await journal.catch_up_others()
            assert await read(store, "acme/model/b") == data["b"]


@pytest.mark.parametrize("own", [False, True])
async def test_a_slot_that_somebody_settles_is_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    own: bool,
) -> None:
    """One process takes over a ref change, slowly, while another one moves the same ref."""
    for name in "abc":
        weights(tmp_path / name, 1_500_000, name)
    path = str(tmp_path / "s")
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        with contextlib.ExitStack() as held:
            if not own:
                held.enter_context(first_free(f"{path}/locks", "writer"))
            await crash_before_the_ref(store, tmp_path / "b", monkeypatch)
    waiting, go_on = trio.Event(), trio.Event()
    real = CatchUp.apply_missed

    async def slowly(self: CatchUp, writer: WriterId) -> None:
        if not waiting.is_set():
            waiting.set()
            await go_on.wait()
        await real(self, writer)

    monkeypatch.setattr(CatchUp, "apply_missed", slowly)
    async with open_store(path) as one, open_store(path) as other, trio.open_nursery() as nursery:
        nursery.start_soon(settle, one)
        await waiting.wait()
        before = other.index.refs()
        nursery.start_soon(add, other, tmp_path / "c")
        while (  # noqa: ASYNC110 - neither has an event
            "settling: held by" not in caplog.text and other.index.refs() == before
        ):
            await trio.sleep(0.01)
        go_on.set()
    caplog.clear()
    async with open_store(path) as store:
        await settle(store)
        assert len(store.index.refs()) == 1
        for name in "abc":
            await read(store, f"acme/model/{name}")


async def settle(store: Store) -> None:
    async with journal_of(store):
        pass


async def test_ids_are_used_again_after_a_clean_end_only(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000)
    slot = tmp_path / "s" / "locks" / "writer-0"
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        first = read_slot(str(slot))
        assert first is not None
        assert first.closed == store.index.writer(first.writer)[0] > 0
        await add(store, tmp_path / "a", "acme/else")
        again = read_slot(str(slot))
        assert again is not None
        assert again.writer == first.writer
        assert again.closed == store.index.writer(first.writer)[0] > first.closed
        write_slot(str(slot), Slot(first.writer, None))
        await add(store, tmp_path / "a", "acme/third")
        other = read_slot(str(slot))
        assert other is not None
        assert other.writer != first.writer


async def test_a_number_is_not_used_twice_while_a_copy_is_away(tmp_path: Path) -> None:
    """A failed record reached one copy; its backend is away when the next writer comes."""
    weights(tmp_path / "a", 1_500_000, "a")
    b = weights(tmp_path / "b", 1_500_000, "b")
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        keep = min(records(tmp_path / "s").items())[1][2].parts[-4]
        for member in store.members:
            if member.name != keep:
                member.backend = FaultyBackend(member.backend)
                member.backend.inject("full", on=["put"], prefix="journal/")
        with pytest.raises(QuotaError):
            await add(store, tmp_path / "b")
    (tmp_path / "s" / "backends" / keep).rename(tmp_path / "away")
    async with open_store(str(tmp_path / "s")) as store:
        await add(store, tmp_path / "b", "acme/b")
    (tmp_path / "away").rename(tmp_path / "s" / "backends" / keep)
    for copies in records(tmp_path / "s").values():
        assert len({path.read_bytes() for path in copies.values()}) == 1
    async with open_store(str(tmp_path / "s")) as store:
        assert await read(store, "acme/b/b") == b
        assert (await store.verify(repair=True)).exit_status in (0, 3)
        assert (await store.verify()).exit_status == 0


async def test_after_a_failure_a_journal_takes_nothing_more(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "s") as store:
        for member in store.members:
            member.backend = faulty = FaultyBackend(member.backend)
            faulty.inject("full", on=["put"], prefix="journal/", times=1)
        async with journal_of(store) as journal:
            for label in (1, 2):
                with pytest.raises(QuotaError, match="injected"):
                    await journal.append(tombstone(label))
        assert records(tmp_path / "s") == {}
        assert store.index.writers() == []


async def test_another_record_under_the_next_number_makes_another_writer(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "s") as store:
        async with journal_of(store) as journal:
            await journal.append(tombstone(1))
            (copies,) = records(tmp_path / "s").values()
            for path in copies.values():
                shutil.copy(path, path.with_name(path.name.replace("1-", "2-")))
            await journal.append(tombstone(2))
        writers = store.index.writers()
        assert [store.index.writer(writer)[0] for writer in writers] == [1, 1]
        shutil.rmtree(tmp_path / "s" / "backends" / "d0" / "journal", ignore_errors=True)
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0


async def test_a_misplaced_record_is_not_applied_again(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        (writer,) = store.index.writers()
        last, _ = store.index.writer(writer)
        for copy, path in records(tmp_path / "s")[writer, 1].items():
            shutil.copy(path, path.with_name(f"{last + 1:016x}-{copy}"))
        write_slot(str(tmp_path / "s" / "locks" / "writer-0"), Slot(writer, None))
        await add(store, tmp_path / "a", "acme/else")
        assert store.index.writer(writer)[0] == last
        assert len(store.index.writers()) == 2


@pytest.mark.parametrize("fault", ["lost", "flip_bit", "other_content"])
async def test_verify_mends_copies(tmp_path: Path, fault: str) -> None:
    weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        before = records(tmp_path / "s")
        (writer,) = store.index.writers()
        path = before[writer, 2][1]
        if fault == "lost":
            path.unlink()
        elif fault == "flip_bit":
            flip_bit(path, -1)
        else:
            shutil.copy(before[writer, 1][0], path)
        (problem,) = (await store.verify()).problems
        assert (problem.index, problem.repaired) == (1, False)
        assert problem.pack.startswith("journal record")
        report = await store.verify(repair=True)
        assert [p.repaired for p in report.problems] == [True]
        assert (await store.verify()).exit_status == 0


async def test_a_differing_sound_copy_is_told_by_the_chain(tmp_path: Path) -> None:
    """Two of three copies hold another sound record of that number."""
    async with fresh_store(tmp_path / "s") as store:
        async with journal_of(store) as journal:
            await journal.append(tombstone(1))
            await journal.append(tombstone(2))
        (writer,) = store.index.writers()
        good = records(tmp_path / "s")[writer, 1]
        right = good[0].read_bytes()
        forged = _other_record(right)
        good[1].write_bytes(forged)
        good[2].write_bytes(forged)
        report = await store.verify(repair=True)
        assert [p.problem for p in report.problems] == ["copy that differs from the others"] * 2
        assert all(p.repaired for p in report.problems)
        assert {path.read_bytes() for path in good.values()} == {right}
        assert (await store.verify()).exit_status == 0


def _other_record(data: bytes) -> bytes:
    return encode_record(replace(decode_record(data, "record"), time_ns=1))


async def test_all_copies_lost_is_mended_and_no_lost_pack(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        (writer,) = store.index.writers()
        for path in records(tmp_path / "s")[writer, 1].values():
            path.unlink()
        report = await store.verify()
        assert (report.exit_status, report.lost) == (3, [])
        assert [p.repaired for p in report.problems] == [False] * 3
        report = await store.verify(repair=True)
        assert (report.exit_status, report.lost) == (3, [])
        assert [p.repaired for p in report.problems] == [True] * 3
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/a") == data


async def test_a_backend_that_refuses_a_copy_fails_no_verify(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        path = min(records(tmp_path / "s").items())[1][0]
        path.unlink()
        for member in store.members:
            member.backend = faulty = FaultyBackend(member.backend)
            faulty.inject("full", on=["put"], prefix="journal/")
        report = await store.verify(repair=True)
        assert [problem.repaired for problem in report.problems] == [False]


async def test_copies_in_one_domain_are_spread_when_another_is_back(tmp_path: Path) -> None:
    weights(tmp_path / "a", 500_000)
    specs = tuple(
        BackendSpec(name, f"backends/{name}", domain) for name, domain in (("x", "1"), ("y", "2"))
    )
    async with fresh_store(tmp_path / "s", "1+1", specs) as store:
        await add(store, tmp_path / "a")
        for copies in records(tmp_path / "s").values():
            assert {path.parts[-4] for path in copies.values()} == {"x", "y"}
            for copy, path in copies.items():
                if path.parts[-4] == "y":
                    target = tmp_path / "s/backends/x" / Path(*path.parts[-3:-1])
                    target.mkdir(parents=True, exist_ok=True)
                    path.rename(target / f"{path.name[:-2]}-{copy}")
        report = await store.verify(repair=True)
        assert {p.problem for p in report.problems} == {"copy on the same backend as another"}
        assert all(p.repaired for p in report.problems)
        assert (await store.verify()).exit_status == 0


def test_two_event_loops_share_an_index(tmp_path: Path) -> None:
    async def make() -> None:
        async with fresh_store(tmp_path / "s"):
            pass

    trio.run(make)
    for number in range(6):
        weights(tmp_path / f"f{number}", 100_000, str(number))
    failures: list[BaseException] = []

    async def adds(first: int) -> None:
        async with open_store(str(tmp_path / "s")) as store:
            for number in range(first, 6, 2):
                await add(store, tmp_path / f"f{number}", f"acme/r{number}")

    def work(first: int) -> None:
        try:
            trio.run(adds, first)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    index = Index.open(str(tmp_path / "s" / "index"))
    assert len(index.refs()) == 6
    index.close()


async def test_a_locks_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFloatError, match="cannot be locked: No such file"):
        async with locked(str(tmp_path / "nowhere" / "refs")):
            pass


async def test_a_ref_record_that_failed_leaves_no_second_head(tmp_path: Path) -> None:
    """One copy of it was durable; its backend is away while the add is repeated, and comes back."""
    weights(tmp_path / "a", 1_500_000, "a")
    b = weights(tmp_path / "b", 1_500_000, "b")
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a")
        before = set(records(tmp_path / "s"))
        async with journal_of(store) as journal:
            writer = journal._writer
            taker = min(journal_places(store, writer), key=lambda member: member.name)
            for member in store.members:
                if member is not taker:
                    member.backend = faulty = FaultyBackend(member.backend)
                    faulty.inject("full", on=["put"], prefix="journal/")
            with pytest.raises(QuotaError):
                await journal.append(tombstone(1))
        assert set(records(tmp_path / "s")) == before
    (tmp_path / "s" / "backends" / taker.name).rename(tmp_path / "away")
    async with open_store(str(tmp_path / "s")) as store:
        await add(store, tmp_path / "b")
    (tmp_path / "away").rename(tmp_path / "s" / "backends" / taker.name)
    await rebuild_store(str(tmp_path / "s"))
    async with open_store(str(tmp_path / "s")) as store:
        assert len(store.index.refs()) == 1
        assert await read(store, "acme/model/b") == b


def journal_places(store: Store, writer: WriterId) -> list[Member]:
    """The members that a writer's records go to."""
    members = {member.id: member for member in store.members}
    places = place(writer, [member.candidate for member in members.values()], 3)
    return [members[id_] for id_ in places]
