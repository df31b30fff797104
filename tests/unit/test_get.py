"""Getting out: everything or a part, again, interrupted, with damage, without room."""

import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from modelfloat.cas.formats.tree import Entry, EntryType
from modelfloat.cas.get import extract, filling, getting, landing
from modelfloat.cas.get.getting import get
from modelfloat.cas.get.landing import part_name
from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ExistsError, LockedError, ModelFloatError, NotFoundError
from modelfloat.opening import open_store
from modelfloat.tests.support.folders import contents
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, data_shards, flip_bit, fresh_store

MODEL = parse_address("acme/model")


def make_source(folder: Path) -> Path:
    """Files, folders and links of all kinds, with modes and times of their own."""
    (folder / "inner" / "empty").mkdir(parents=True)
    (folder / "large").write_bytes(noise("large", 9_000_000))
    (folder / "small").write_bytes(b"small")
    (folder / "nothing").write_bytes(b"")
    (folder / "inner" / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "inner" / "run").chmod(0o755)
    (folder / "link").symlink_to("inner/run")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff name\n")).write_bytes(b"odd")
    (folder / "inner" / "empty").chmod(0o500)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        time = 1_500_000_000_123_456_789 + number
        os.utime(path, ns=(time, time), follow_symlinks=False)
    os.utime(folder / "inner", ns=(7, 7))
    return folder


def change_unnoticed(path: Path) -> None:
    """Change a file's bytes, not its size and time."""
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with `source` in acme/model."""
    make_source(tmp_path / "source")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "source")
        yield store


async def test_a_repository_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    report = await get(store, MODEL, str(tmp_path / "out"), verify=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "source")
    assert (report.files, report.links, report.folders, report.verified) == (5, 1, 2, 5)
    assert report.exit_status == 0


async def test_everything_comes_back_by_its_ref(store: Store, tmp_path: Path) -> None:
    changed = tmp_path / "source" / "small"
    changed.write_bytes(b"changed")
    await store.add([str(changed)], parse_address("acme/model@dev"), tag="v1.0")
    await add(store, changed, "other/one")
    report = await get(store, None, str(tmp_path / "out"), verify=True)
    out = tmp_path / "out"
    assert sorted(str(p.relative_to(out)) for p in out.glob("*/*")) == [
        "acme/model",
        "acme/model@dev",
        "acme/model@v1.0",
        "other/one",
    ]
    assert contents(out / "acme/model@dev") == contents(out / "acme/model@v1.0")
    assert (out / "acme/model/small").read_bytes() == b"small"
    assert (out / "acme/model@dev/small").read_bytes() == b"changed"
    assert report.warnings == []


async def test_what_is_there_is_left_alone(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await get(store, MODEL, str(out))
    before = {path: path.lstat().st_ino for path in out.rglob("*")}
    progress = Progress()
    report = await get(store, MODEL, str(out), verify=True, progress=progress)
    assert (report.files, report.links, report.unchanged, report.verified) == (0, 0, 6, 5)
    assert progress.done == progress.total == 9_000_018
    assert {path: path.lstat().st_ino for path in out.rglob("*")} == before


async def test_links_are_no_bytes_that_are_waited_for(store: Store, tmp_path: Path) -> None:
    """Wherever they lie: what is done at last is what there was to do."""
    inner = tmp_path / "links" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"bytes")
    for folder in (inner, inner.parent):
        (folder / "link").symlink_to("inner/file")
    await add(store, inner.parent, "acme/links")
    progress = Progress()
    await get(store, parse_address("acme/links"), str(tmp_path / "out"), progress=progress)
    assert progress.done == progress.total == len(b"bytes")


async def test_size_and_time_of_large_files_are_believed_without_verify(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await get(store, MODEL, str(out))
    change_unnoticed(out / "large")
    assert (await get(store, MODEL, str(out))).unchanged == 6
    with pytest.raises(ExistsError, match="large is there and differs"):
        await get(store, MODEL, str(out), verify=True)
    await get(store, MODEL, str(out), verify=True, force=True)
    assert contents(out) == contents(tmp_path / "source")


async def test_small_files_are_read_before_they_are_believed(store: Store, tmp_path: Path) -> None:
    """They are not synced one by one: after a power cut they may have a time and no bytes."""
    out = tmp_path / "out"
    await get(store, MODEL, str(out))
    change_unnoticed(out / "small")
    with pytest.raises(ExistsError, match="small is there and differs"):
        await get(store, MODEL, str(out))


async def test_a_part_that_got_its_name_meanwhile_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry(b"file", EntryType.FILE, 0o644, 5, 3, bytes(32))
    folder = landing.Folder.open(str(tmp_path))
    other = landing.Part(folder, b"file", entry)
    other.write(0, [memoryview(b"abc")])

    def publish_first(fd: int, _operation: int) -> None:
        monkeypatch.undo()
        other.publish(None)
        other.close()

    monkeypatch.setattr(fcntl, "flock", publish_first)
    part = landing.Part(folder, b"file", entry)
    os.ftruncate(part.fd, 0)
    part.close()
    folder.close()
    assert (tmp_path / "file").read_bytes() == b"abc"


async def test_folders_that_were_made_read_only_are_entered_again(
    store: Store, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await get(store, MODEL, str(out))
    (out / "inner").chmod(0o500)
    (out / "inner" / "run").unlink()
    await get(store, MODEL, str(out))
    assert contents(out) == contents(tmp_path / "source")


async def test_an_interrupted_file_goes_on_where_it_stopped(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    data = noise("large", 9_000_000)
    part = out / os.fsdecode(part_name(b"large"))
    part.write_bytes(data[:5_000_000] + bytes(8_000_000))
    flip_bit(part, 1_500_000)
    fetched = []
    real = filling._copy

    async def noting(reader: object, part: object, run: list[object]) -> None:
        fetched.append(sum(span.raw for span in run))  # type: ignore[attr-defined]
        await real(reader, part, run)  # type: ignore[arg-type]

    monkeypatch.setattr(filling, "_copy", noting)
    await get(store, parse_address("acme/model/large"), str(out), verify=True)
    assert (out / "large").read_bytes() == data
    assert 4_000_000 <= sum(fetched) <= 6_500_000
    assert [path.name for path in out.iterdir()] == ["large"]


async def test_a_cancelled_get_keeps_large_files_for_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract, "RESUMED", 1_000_000)
    out = tmp_path / "out"
    with trio.CancelScope() as scope:

        def stop(progress: Progress) -> None:
            if progress.done > 4_000_000:
                scope.cancel()

        await get(store, MODEL, str(out), progress=Progress(notify=stop))
    assert scope.cancelled_caught
    assert (out / os.fsdecode(part_name(b"large"))).exists()
    assert not (out / "large").exists()
    await get(store, MODEL, str(out), verify=True)
    assert contents(out) == contents(tmp_path / "source")


async def test_two_at_once_do_not_write_one_file(store: Store, tmp_path: Path) -> None:
    other = os.open(tmp_path / os.fsdecode(part_name(b"copy")), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="being written by another get"):
            await get(store, parse_address("acme/model/small"), str(tmp_path / "copy"))
    finally:
        os.close(other)


async def test_a_lost_file_does_not_end_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "first").write_bytes(noise("first", 3_000_000))
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        first = data_shards(tmp_path / "store")
        (source / "second").write_bytes(noise("second", 3_000_000))
        (source / "third").write_bytes(b"in a pack of its own")
        await add(store, source)
    for shard in first[:3]:
        shard.unlink()
    async with open_store(str(tmp_path / "store")) as store:
        report = await get(store, None, str(tmp_path / "out"), verify=True)
        assert report.exit_status == 4
        assert [Path(failure.path).name for failure in report.failures] == ["first"]
        assert "is lost" in report.failures[0].message or "gone" in report.failures[0].message
        out = tmp_path / "out" / "acme" / "model"
        assert sorted(path.name for path in out.iterdir()) == ["second", "third"]
        assert (out / "second").read_bytes() == noise("second", 3_000_000)


async def test_damaged_shards_are_read_around(tmp_path: Path) -> None:
    make_source(tmp_path / "source")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "source")
    for shard in data_shards(tmp_path / "store")[:1]:
        flip_bit(shard, 1000)
    shutil.rmtree(tmp_path / "store" / "backends" / "d5")
    async with open_store(str(tmp_path / "store")) as store:
        report = await get(store, MODEL, str(tmp_path / "out"), verify=True)
    assert report.exit_status == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "source")


async def test_no_room_is_told_before_anything_is_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(getting, "_free", lambda _dest: 8_000_000)
    with pytest.raises(ModelFloatError, match="9,000,018 bytes are to be written and 8,000,000"):
        await get(store, MODEL, str(out))
    assert not out.exists()
    monkeypatch.undo()
    await get(store, parse_address("acme/model/large"), str(tmp_path))
    out.mkdir()
    (tmp_path / "large").rename(out / "large")
    # What is there needs no room.
    monkeypatch.setattr(getting, "_free", lambda _dest: 1_000_000)
    assert (await get(store, MODEL, str(out))).unchanged == 1


async def test_zeros_come_back_as_holes_and_need_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "sparse"
    source.write_bytes(bytes(40 << 20) + b"data")
    os.truncate(source, 64 << 20)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        monkeypatch.setattr(getting, "_free", lambda _dest: 16 << 20)
        report = await get(store, MODEL, str(tmp_path / "out"), verify=True)
    assert report.verified == 1
    assert contents(tmp_path / "out")[b"sparse"][3] == contents(tmp_path)[b"sparse"][3]
    assert (tmp_path / "out" / "sparse").stat().st_blocks * 512 <= 4 << 20


async def test_a_full_disk_names_the_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, parts: object, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(landing.os, "pwritev", full)
    # A name may hold a line break.
    told = r"(?s)out/.+: No space left on device; free some space"
    with pytest.raises(ModelFloatError, match=told):
        await get(store, MODEL, str(tmp_path / "out"))
    assert list((tmp_path / "out").rglob(".modelfloat*")) == []


async def test_a_disk_that_garbles_is_noticed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def garble(fd: int, parts: list[memoryview], offset: int) -> int:
        if offset == 0 and len(parts[0]) == 5:
            return real(fd, [b"smelL"], offset)
        return real(fd, parts, offset)

    monkeypatch.setattr(landing.os, "pwritev", garble)
    report = await get(store, MODEL, str(tmp_path / "out"), verify=True)
    assert report.exit_status == 3
    assert [Path(failure.path).name for failure in report.failures] == ["small"]
    assert not (tmp_path / "out" / "small").exists()


async def test_nothing_is_made_where_the_folder_is_missing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        await get(store, parse_address("acme/model/small"), str(tmp_path / "no" / "copy"))
    (tmp_path / "large").write_bytes(b"")
    with pytest.raises(ExistsError, match="large is there and is no directory"):
        await get(store, MODEL, str(tmp_path / "large"))
