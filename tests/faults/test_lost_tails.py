"""Records that nobody has any more, and what gc may delete then: nothing they may have named."""

import os
import shutil
import time
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import PackDeleted
from modelfloat.cas.journal.slots import given_up, note_given_up, read_slot
from modelfloat.errors import IndexDamagedError
from modelfloat.ids import PackId, WriterId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


async def fill(path: Path, *names: str) -> dict[str, bytes]:
    """A store with one repository a name; the files by name."""
    held = {name: weights(path.parent / name, 2_000_000, name) for name in names}
    async with fresh_store(path) as store:
        for name in names:
            await add(store, path.parent / name, f"acme/{name}")
    return held


def copies(store: Path) -> list[Path]:
    return sorted((store / "backends").glob("*/journal/*/*"))


def numbers(store: Path) -> list[str]:
    return sorted({copy.name[:16] for copy in copies(store)})


def lose(store: Path, *lost: str) -> None:
    for copy in copies(store):
        if copy.name[:16] in lost:
            copy.unlink()


def tear(store: Path, number: str) -> None:
    for copy in copies(store):
        if copy.name[:16] == number:
            copy.write_bytes(copy.read_bytes()[:-40])


async def test_gc_deletes_nothing_that_a_rebuild_would_find_again(tmp_path: Path) -> None:
    """An index from a backup; the records behind it are lost, as the slot alone knows."""
    path = tmp_path / "s"
    await fill(path, "a")
    shutil.copytree(path / "index", tmp_path / "older")
    known = numbers(path)
    weights(tmp_path / "b", 2_000_000, "b")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "b", "acme/b")
    lose(path, *(set(numbers(path)) - set(known)))
    shutil.rmtree(path / "index")
    shutil.copytree(tmp_path / "older", path / "index")
    before = shard_files(path)
    for _ in range(2):
        async with open_store(str(path)) as store:
            with pytest.raises(IndexDamagedError, match="cannot be applied to the index"):
                await store.gc(grace=0)
            assert (await store.verify(repair=True)).exit_status == 3
    assert shard_files(path) == before
    assert (await rebuild_store(str(path))).found_again


@pytest.mark.parametrize("earlier", [False, True])
async def test_a_rebuild_forgets_no_writer(tmp_path: Path, *, earlier: bool) -> None:
    """What a slot knew before a rebuild is known after it: a later loss is told."""
    path = tmp_path / "s"
    await fill(path, "a", "b")
    if earlier:
        assert (await rebuild_store(str(path))).exit_status == 0
    lose(path, *numbers(path)[-3:])
    for index in path.glob("index*"):
        shutil.rmtree(index)
    report = await rebuild_store(str(path))
    assert report.exit_status == 3
    assert len(report.missing) == 1
    assert report.found_again


async def test_a_writer_whose_next_number_is_taken_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "s"
    await fill(path, "a")
    slot = read_slot(str(path / "locks" / "writer-0"))
    assert slot is not None
    assert slot.closed
    async with open_store(str(path)) as store, store.access.writing("a test") as journal:
        foreign = f"journal/{slot.writer.hex()}/{slot.closed + 1:016x}-"
        for backend in (path / "backends").iterdir():
            (backend / foreign).parent.mkdir(parents=True, exist_ok=True)
            for copy in range(3):
                (backend / f"{foreign}{copy}").write_bytes(b"other")
        await journal.append([PackDeleted(PackId(bytes(16)))])
    assert given_up(str(path / "locks")) == {slot.writer: slot.closed}
    async with open_store(str(path)) as store:
        with pytest.raises(IndexDamagedError, match="verify --repair"):
            await store.gc(grace=0)
        assert (await store.verify()).exit_status == 3
        assert (await store.verify(repair=True)).exit_status == 3
        assert (await store.verify()).exit_status == 0
        await store.gc(grace=0)


async def test_refs_of_lost_records_may_be_added_again_before_gc(tmp_path: Path) -> None:
    path = tmp_path / "s"
    held = await fill(path, "a", "b")
    for shard in shard_files(path):
        os.utime(shard, (time.time() - 30 * 86_400,) * 2)
    lose(path, numbers(path)[-1])
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert report.refs_unsure
    # Another rebuild, with an index that does not know more, opens or closes nothing.
    assert (await rebuild_store(str(path))).refs_unsure
    before = shard_files(path)
    async with open_store(str(path)) as store:
        for grace in (1e6, 0):
            with pytest.raises(IndexDamagedError, match="is lost: refs that it made may be"):
                await store.gc(grace=grace)
        await store.gc(grace=0, dry_run=True, accept_losses=True)
        assert shard_files(path) == before
        assert (await add(store, tmp_path / "b", "acme/b")).new == 0
        await store.gc(grace=0, accept_losses=True)
        await store.gc(grace=0)
        for name, data in held.items():
            assert await read(store, f"acme/{name}/{name}") == data
    assert not (await rebuild_store(str(path))).refs_unsure


async def test_an_index_that_knew_what_lost_records_said_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    held = await fill(path, "a", "b")
    lose(path, *numbers(path)[-2:])
    report = await rebuild_store(str(path))
    assert report.missing
    assert not report.refs_unsure
    async with open_store(str(path)) as store:
        await store.gc(grace=0)
        for name, data in held.items():
            assert await read(store, f"acme/{name}/{name}") == data


async def test_a_torn_last_record_blocks_gc_until_it_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "s"
    held = await fill(path, "a", "b")
    tear(path, numbers(path)[-1])
    shutil.rmtree(path / "index")
    assert (await rebuild_store(str(path))).exit_status == 3
    async with open_store(str(path)) as store:
        assert (await store.verify(repair=True)).exit_status == 3
        assert (await store.verify()).exit_status == 0
        with pytest.raises(IndexDamagedError, match="--accept-losses"):
            await store.gc(grace=0)
        await add(store, tmp_path / "b", "acme/b")
        await store.gc(grace=0, accept_losses=True)
        await store.gc(grace=0)
        for name, data in held.items():
            assert await read(store, f"acme/{name}/{name}") == data


def test_a_line_cut_short_spoils_no_other_one(tmp_path: Path) -> None:
    one, two = WriterId(bytes([1]) * 16), WriterId(bytes([2]) * 16)
    note_given_up(str(tmp_path), {one: 7})
    with open(tmp_path / "given-up", "ab") as file:
        file.write(b"0303")
    note_given_up(str(tmp_path), {two: 0})
    note_given_up(str(tmp_path), {one: 5})
    assert given_up(str(tmp_path)) == {one: 7, two: 0}
