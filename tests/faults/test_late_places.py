"""A move that is taken over before the pack that moved is known: it counts once that is known."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from modelfloat.backends.keys import shard_key
from modelfloat.cas.formats.journal import ShardPlaced
from modelfloat.cas.journal.catchup import CatchUp
from modelfloat.cas.journal.lateplaces import FILE, keep_late, late_places, note_late
from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec
from modelfloat.ids import BackendId, PackId, WriterId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights

AGES = 1e6
"""Seconds: nobody follows within this test but who is told to."""


@dataclass(frozen=True)
class Moved:
    """A store whose every shard one site stored and another one's `mover` moved; `late` is a site
    that knows of neither."""

    here: Path
    late: Path
    mover: WriterId
    data: bytes


@pytest.fixture
async def moved(tmp_path: Path) -> Moved:
    data = weights(tmp_path / "model", 1_500_000)
    specs = tuple(BackendSpec(f"b{i}", str(tmp_path / f"b{i}")) for i in range(4))
    async with fresh_store(tmp_path / "s", "1+1", specs):
        pass
    mover = await another_site(tmp_path / "s", tmp_path / "mover")
    late = await another_site(tmp_path / "s", tmp_path / "late")
    async with open_store(str(tmp_path / "s"), refresh=AGES) as store:
        await add(store, tmp_path / "model")
    async with open_store(str(mover), refresh=AGES) as store:
        writer = await move_all(store, tmp_path)
    async with open_store(str(tmp_path / "s"), refresh=AGES) as store:
        await taken_over(store)
    # It has looked just now, for all that it knows: nothing is taken over when it is opened.
    await trio.Path(late / "locks" / STAMP).touch()
    return Moved(tmp_path / "s", late, writer, data)


async def move_all(store: Store, folder: Path) -> WriterId:
    """Move both shards of each pack to the two backends that have none of it."""
    async with store.access.writing("a test") as journal:
        await journal.take_over()
        for pack in list(store.index.packs()):
            free = [member for member in store.members if member.id not in pack.backends]
            for index, to in enumerate(free):
                key = shard_key(pack.id, index, pack.k, pack.m)
                path = folder / to.name / key
                await trio.Path(path.parent).mkdir(parents=True, exist_ok=True)
                name = store.members.name_of(pack.backends[index])
                await trio.Path(folder / name / key).rename(path)
                await journal.append([ShardPlaced(pack.id, index, to.id)])
        return journal.writer


async def taken_over(store: Store) -> None:
    async with store.access.writing("a test") as journal:
        await journal.take_over()


async def is_right(moved: Moved) -> None:
    """The late site knows what the first one does, and reads it."""
    async with open_store(str(moved.late), refresh=AGES) as store:
        assert await read(store, "acme/model/model") == moved.data
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
    assert differences(picture(moved.here), picture(moved.late)) == []
    assert not await trio.Path(moved.late / "locks" / FILE).exists()


async def test_whoever_was_away_meanwhile_takes_over_both(moved: Moved) -> None:
    """Whichever record comes first."""
    async with open_store(str(moved.late), refresh=AGES) as store:
        await taken_over(store)
    await is_right(moved)


async def test_a_process_that_ends_between_the_two_loses_no_place(moved: Moved) -> None:
    """Killed when the moves were applied, before the packs were: what was in memory is gone."""
    async with open_store(str(moved.late), refresh=AGES) as store:
        await store.access.follower.catch_up.apply_missed(moved.mover)
        assert not list(store.index.packs())
    async with open_store(str(moved.late), refresh=AGES) as store:
        await taken_over(store)
    await is_right(moved)


async def test_who_moved_the_same_shards_after_all_is_right(moved: Moved, tmp_path: Path) -> None:
    """What waited for the packs does not come after what was done to them later."""
    async with open_store(str(moved.here), refresh=AGES) as store:
        await move_all(store, tmp_path)
    async with open_store(str(moved.late), refresh=AGES) as store:
        await store.access.follower.catch_up.apply_missed(moved.mover)
        assert not list(store.index.packs())
        await taken_over(store)
    await is_right(moved)


async def test_many_places_that_wait_are_gone_through_once(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = 0

    def count(self: ShardPlaced) -> int:
        nonlocal hashed
        hashed += 1
        return hash((self.pack, self.index))

    async with open_store(str(moved.late), refresh=AGES) as store:
        catch_up = store.access.follower.catch_up
        packs = [PackId(number.to_bytes(16, "big")) for number in range(200)]
        note_late(catch_up.folder, [ShardPlaced(pack, 0, PLACES[0].backend) for pack in packs])
        monkeypatch.setattr(ShardPlaced, "__hash__", count)
        await catch_up.place_late()
        assert len(late_places(catch_up.folder)) == len(packs)
    assert hashed < 10 * len(packs)


async def test_moves_wait_for_the_packs_that_they_move(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the round is cut off before these were to be had."""
    async with open_store(str(moved.late), refresh=AGES) as store:
        catch_up = store.access.follower.catch_up
        real = CatchUp.next_missed

        async def next_missed(self: CatchUp, writer: WriterId) -> bytes | None:
            if writer != moved.mover:
                await trio.sleep_forever()
            return await real(self, writer)

        with monkeypatch.context() as patch, trio.move_on_after(1) as scope:
            patch.setattr(CatchUp, "next_missed", next_missed)
            await taken_over(store)
        assert scope.cancelled_caught
        assert store.index.writer(moved.mover)[0] == 0
        assert late_places(catch_up.folder) == []
        await taken_over(store)
    await is_right(moved)


async def test_an_index_made_anew_needs_none_of_them(moved: Moved) -> None:
    async with open_store(str(moved.late), refresh=AGES) as store:
        await store.access.follower.catch_up.apply_missed(moved.mover)
        folder = store.access.follower.catch_up.folder
    assert late_places(folder)
    await rebuild_store(str(moved.late))
    await is_right(moved)


PLACES = [ShardPlaced(PackId(bytes([n]) * 16), n, BackendId(b"b" * 16)) for n in range(3)]


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert late_places(folder) == []
    note_late(folder, PLACES[:2])
    with open(tmp_path / FILE, "ab") as file:
        file.write(b"00ff 3 torn")
    note_late(folder, PLACES)
    assert late_places(folder) == PLACES
    moved = ShardPlaced(PLACES[0].pack, 0, BackendId(b"c" * 16))
    note_late(folder, [moved])
    assert late_places(folder) == [moved, *PLACES[1:]]
    keep_late(folder, PLACES[1:])
    assert late_places(folder) == PLACES[1:]
    keep_late(folder)
    keep_late(folder)
    assert list(tmp_path.iterdir()) == []
