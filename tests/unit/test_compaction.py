"""Journals made into segments: nothing is lost, whoever reads them, and whatever is left behind."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from modelfloat.backends.local import LocalBackend
from modelfloat.cas.formats import journal as journal_format
from modelfloat.cas.gc import compaction, loose
from modelfloat.cas.journal.copies import record_name
from modelfloat.cas.refnames import parse_address
from modelfloat.errors import FormatError, IndexDamagedError
from modelfloat.ids import Key
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.compacting import (
    compacted,
    entries_of,
    journal_files,
    many_records,
    segments,
)
from modelfloat.tests.support.encrypted import KEYS, fresh_encrypted, unlocked
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.stores import add, flip_bit, fresh_store, read, weights


async def filled(tmp_path: Path) -> dict[str, bytes]:
    """A store with a history in several records: adds, a tag, a branch, something collected."""
    held = {name: weights(tmp_path / name, 300_000, name) for name in ("one", "two", "gone")}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "gone", "acme/gone")
        await add(store, tmp_path / "one", "acme/one")
        await store.add([str(tmp_path / "two")], parse_address("acme/one"), tag="v1")
        await store.remove(parse_address("acme/gone"))
        await store.gc(grace=0)
        await add(store, tmp_path / "two", "acme/one@dev")
    return {"acme/one/one": held["one"], "acme/one@v1/two": held["two"]}


async def check(path: Path, held: dict[str, bytes]) -> None:
    async with open_store(str(path)) as store:
        for address, data in held.items():
            assert await read(store, address) == data
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])


async def test_few_records_stand_for_many(tmp_path: Path) -> None:
    held, path = await filled(tmp_path), tmp_path / "store"
    before = picture(path)
    count = len(journal_files(path))
    assert count > 3
    async with open_store(str(path)) as store:
        done = await compacted(store)
    assert (done.records, done.segments) == (count, 1)
    assert len(journal_files(path)) == len(segments(path)) == 1
    assert all(len(copies) == 2 for copies in journal_files(path).values())
    after = picture(path)
    before.pop("writers")
    assert differences(before, after) == []
    await check(path, held)
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert (report.exit_status, report.missing) == (0, [])
    assert differences(after, picture(path)) == []
    await check(path, held)


async def test_what_was_said_of_deleted_packs_goes(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "store"
    entries = sum(entries_of(copies[0]) for copies in journal_files(path).values())
    async with open_store(str(path)) as store:
        deleted = set(store.index.deleted())
        done = await compacted(store)
        assert deleted
    (copies,) = journal_files(path).values()
    assert entries_of(copies[0]) == entries + done.records - len(deleted)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    async with open_store(str(path)) as store:
        assert set(store.index.deleted()) == deleted


async def test_segments_become_larger_ones(tmp_path: Path) -> None:
    held, path = await filled(tmp_path), tmp_path / "store"
    for _ in range(3):
        async with open_store(str(path)) as store:
            await many_records(store, 5)
            assert (await compacted(store)).segments == 1
        assert len(journal_files(path)) == 1
    after = picture(path)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    assert differences(after, picture(path)) == []
    await check(path, held)


async def test_a_segment_has_only_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, path = await filled(tmp_path), tmp_path / "store"
    monkeypatch.setattr(compaction, "SEGMENT", 1500)
    monkeypatch.setattr(loose, "WINDOW", 700)
    monkeypatch.setattr(loose, "RECORDS", 3)
    async with open_store(str(path)) as store:
        await many_records(store, 9)
        done = await compacted(store)
        assert done.segments > 2
        assert len(journal_files(path)) == done.segments
        # What is large stays as it is.
        monkeypatch.setattr(loose, "LARGE", 1000)
        left = [
            paths for paths in journal_files(path).values() if len(paths[0].read_bytes()) < 1000
        ]
        assert (await compacted(store)).records == (len(left) if len(left) > 1 else 0)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    await check(path, held)


async def test_young_records_stay_and_those_of_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "LEAST", 2)
    held, path = await filled(tmp_path), tmp_path / "store"
    count = len(journal_files(path))
    async with open_store(str(path)) as store:
        assert (await compacted(store, time.time_ns() - 10**15)).records == 0
        limits = {writer: min(2, store.index.writer(writer)[0]) for writer in store.index.writers()}
        done = await compaction.compact(store.access, lambda: None, time.time_ns() + 1, limits)
        assert 0 < done.records <= 2 * len(limits)
        assert len(journal_files(path)) == count - done.records + 1
    await check(path, held)
    shutil.rmtree(path / "index")
    assert (await rebuild_store(str(path))).missing == []
    await check(path, held)


async def test_nothing_is_compacted_that_is_not_whole(tmp_path: Path) -> None:
    _, path = await filled(tmp_path), tmp_path / "store"
    copies = next(paths for paths in journal_files(path).values() if len(paths) == 2)
    whole = copies[0].read_bytes()
    copies[0].unlink()
    async with open_store(str(path)) as store:
        assert (await compacted(store)).records == 0
        copies[0].write_bytes(whole)
        flip_bit(copies[0], 150)
        count = len(journal_files(path))
        # One that differs from its copy stays, for verify.
        assert (await compacted(store)).records == count - 1
        assert copies[0].exists()
        assert (await store.verify(repair=True)).problems != []
        assert (await store.verify()).problems == []


async def test_what_was_left_behind_goes_later(tmp_path: Path) -> None:
    _, path = await filled(tmp_path), tmp_path / "store"
    (kept, other, *_) = [paths[0] for paths in journal_files(path).values()]
    left, differs = kept.read_bytes(), other.read_bytes()
    async with open_store(str(path)) as store:
        await compacted(store)
        for path_, data in ((kept, left), (other, differs[:-1])):
            path_.parent.mkdir(exist_ok=True)
            path_.write_bytes(data)
        await many_records(store, 3)
        assert (await compacted(store)).records == 4
        assert not kept.exists()
        assert other.exists()
    before = picture(path)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path))
    assert differences(before, picture(path)) == []


async def test_the_same_encrypted(tmp_path: Path) -> None:
    path, data = tmp_path / "store", weights(tmp_path / "one", 300_000)
    async with fresh_encrypted(path) as store:
        await add(store, tmp_path / "one", "acme/one")
        await many_records(store, 5)
        assert (await compacted(store)).segments == 1
        (copies,) = journal_files(path).values()
        assert b"acme" not in copies[0].read_bytes()
        assert (await store.verify()).problems == []
    before = picture(path)
    shutil.rmtree(path / "index")
    await rebuild_store(str(path), keys=KEYS)
    assert differences(before, picture(path)) == []
    async with unlocked(path) as store:
        assert await read(store, "acme/one/one") == data


async def test_an_earlier_release_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = await filled(tmp_path), tmp_path / "store"
    async with open_store(str(path)) as store:
        await compacted(store)
    monkeypatch.setattr(journal_format, "KNOWN", 7)
    shutil.rmtree(path / "index")
    with pytest.raises(FormatError, match=r"features .*\(0x8\): upgrade"):
        await rebuild_store(str(path))


async def test_a_lost_segment_is_written_anew(tmp_path: Path) -> None:
    held, path = await filled(tmp_path), tmp_path / "store"
    async with open_store(str(path)) as store:
        await compacted(store)
        for copies in journal_files(path).values():
            for copy in copies:
                copy.unlink()
        found = await store.verify(repair=True)
        assert found.exit_status == 3
        assert (await store.verify()).problems == []
    before = picture(path)
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert differences(before, picture(path)) in ([], ["writers"])
    # That it is lost is told, since the new index cannot know; what it said is there.
    assert len(report.missing) == 1
    async with open_store(str(path)) as store:
        await store.verify(repair=True)
    await check(path, held)


async def test_a_lost_segment_without_an_index_is_told(tmp_path: Path) -> None:
    _, path = await filled(tmp_path), tmp_path / "store"
    async with open_store(str(path)) as store:
        await compacted(store)
        await many_records(store, 1)
    for record in segments(path):
        for copy in journal_files(path)[record]:
            copy.unlink()
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert report.missing != []
    assert report.refs_unsure
    async with open_store(str(path)) as store:
        with pytest.raises(IndexDamagedError, match="lost"):
            await store.gc(grace=0)


async def test_a_lost_record_between_segments_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large record stays one of its own; no later one of its writer is left that names it."""
    await filled(tmp_path)
    path = tmp_path / "store"
    large = max(p[0].stat().st_size for p in journal_files(path).values())
    monkeypatch.setattr(loose, "LARGE", large)
    async with open_store(str(path)) as store:
        await many_records(store, 5)
        assert (await compacted(store)).segments == 1
    (left,) = journal_files(path).keys() - set(segments(path))
    for copy in journal_files(path)[left]:
        copy.unlink()
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert report.missing == [record_name(*left)]
    assert report.refs_unsure


async def test_a_dry_run_says_what_would_be_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many records as are compacted then, and those that make the next segment; none goes."""
    held, path = await filled(tmp_path), tmp_path / "store"
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    async with open_store(str(path)) as store:
        assert (await store.gc(grace=0, dry_run=True)).compacted == 0  # too few
        await many_records(store, 100)
        before = journal_files(path)
        planned = await store.gc(grace=0, dry_run=True)
        assert journal_files(path) == before
        assert not list((tmp_path / "tmp").iterdir())
        done = await store.gc(grace=0)
    assert (planned.compacted, planned.segments) == (done.compacted, done.segments)
    assert planned.segments == 1
    assert planned.compacted > 100
    await check(path, held)


@pytest.mark.parametrize("old", [0, 1, 63, 64, 65, 100, 139])
async def test_a_dry_run_reads_few_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: int
) -> None:
    """One of a window tells that all of it is old; where the old ones end a few more are read."""
    since = time.time() - 86_400
    monkeypatch.setattr(compaction, "LEAST", 1)
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: int((since - 1000) * 1e9))
        await filled(tmp_path)
        async with open_store(str(tmp_path / "store")) as store:
            await many_records(store, old)
            before = [store.index.writer(writer)[0] for writer in store.index.writers()]
    async with open_store(str(tmp_path / "store")) as store:
        await many_records(store, 140 - old)
        limits = {writer: store.index.writer(writer)[0] for writer in store.index.writers()}
        assert sum(limits.values()) == sum(before) + 140 - old
        read: list[Key] = []
        get = LocalBackend.get

        async def noted(self: LocalBackend, key: Key, *args: Any, **options: Any) -> bytes:
            read.append(key)
            return await get(self, key, *args, **options)

        monkeypatch.setattr(LocalBackend, "get", noted)
        done = await compaction.plan(store.access, int(since * 1e9), limits)
    assert (done.records, done.segments) == (sum(before), 1)
    # Windows of 64, of which the last one old is halved; nothing else is read.
    assert 0 < len(read) <= sum(limits.values()) / 64 + 7
