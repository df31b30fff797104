"""Directories as backends: durability, leftovers, disks that are full, read-only or gone."""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.backends import upload
from modelfloat.backends.keys import MARKER_KEY, check_key
from modelfloat.backends.limit import LimitBackend, Limits
from modelfloat.backends.local import LocalBackend
from modelfloat.errors import (
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)
from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs, unmount
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.waiting import until

KEY = check_key("packs/ab/abcd/0-4-2")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def backend(root: Path) -> LocalBackend:
    return LocalBackend.create("d2", str(root))


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# Durability


async def test_order_of_a_durable_put(
    backend: LocalBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File first, then its name, then every folder that is new, from the root down."""
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        events.append("fsync file" if path.parent.name == "tmp" else f"fsync {path.name}")
        fsync(fd)

    def noted_replace(source: str, target: str) -> None:
        events.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    await backend.put(KEY, [b"value"])
    folders = ["fsync root", "fsync packs", "fsync ab"]
    assert events == ["fsync file", *folders, "rename", "fsync abcd"]
    events.clear()
    await backend.put(KEY, [b"value"])
    assert events == ["fsync file", "rename", "fsync abcd"]
    events.clear()
    await backend.delete(KEY)
    assert events == ["fsync ab"]
    events.clear()
    await backend.put(KEY, [b"value"])
    assert events == ["fsync file", "fsync ab", "rename", "fsync abcd"]


async def test_creating_the_root_is_durable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(upload, "sync_folder", synced.append)
    LocalBackend.create("d2", str(root / "deeper"))
    assert synced == [str(root.parent), str(root)]


async def test_partial_writes_and_reads_are_continued(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    writev, preadv, pread = os.writev, os.preadv, os.pread
    monkeypatch.setattr(
        os, "writev", lambda fd, views: writev(fd, [memoryview(b"".join(views))[:1000]])
    )
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: preadv(fd, [views[0][:777]], at))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 555), at))
    value = noise(1, 5001)
    await backend.put(KEY, [value[:10], b"", value[10:2500], value[2500:]])
    out = bytearray(len(value))
    await backend.get_into(KEY, 0, memoryview(out))
    assert out == value
    assert await backend.get(KEY) == value


async def test_a_value_that_shrinks_while_it_is_read(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await backend.put(KEY, [b"0123456789"])
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(CorruptAnswerError, match="ends at byte 0"):
        await backend.get_into(KEY, 0, memoryview(bytearray(10)))
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    with pytest.raises(CorruptAnswerError):
        await backend.get(KEY)


@pytest.mark.parametrize("function", ["writev", "fsync", "replace", "mkdir"])
@pytest.mark.parametrize(
    ("number", "raised"),
    [(errno.EIO, UnavailableError), (errno.EDQUOT, QuotaError), (errno.EACCES, DeniedError)],
)
async def test_a_put_that_fails_leaves_nothing(
    backend: LocalBackend,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    number: int,
    raised: type[Exception],
) -> None:
    await backend.put(check_key("other"), [b"x"])

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(raised, match="d2"):
            await backend.put(KEY, [b"value"])
    assert _files(root) == {"other"}
    await backend.put(KEY, [b"value"])
    assert await backend.get(KEY) == b"value"


# Cancellation


@pytest.fixture
def blocked_fsync(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[trio.Event, threading.Event]]:
    """Every fsync sets the first event, in the loop, and waits for the second."""
    reached, go_on = trio.Event(), threading.Event()
    fsync = os.fsync

    def blocked(fd: int) -> None:
        with contextlib.suppress(trio.Cancelled, trio.RunFinishedError):
            trio.from_thread.run_sync(reached.set)
        go_on.wait()
        fsync(fd)

    monkeypatch.setattr(os, "fsync", blocked)
    yield reached, go_on
    go_on.set()


async def test_a_put_given_up_is_never_published(
    root: Path, blocked_fsync: tuple[trio.Event, threading.Event]
) -> None:
    backend = LocalBackend.create("d2", str(root.parent), concurrency=1)
    reached, go_on = blocked_fsync
    part = bytearray(b"before")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(backend.put, KEY, [part])
        await reached.wait()
        nursery.cancel_scope.cancel()
    part[:] = b"reused"
    go_on.set()
    await trio.to_thread.run_sync(until, lambda: not _files(root.parent))
    with pytest.raises(KeyNotFoundError):
        await backend.head(KEY)


async def test_a_hung_disk_does_not_block(
    root: Path,
    blocked_fsync: tuple[trio.Event, threading.Event],
    autojump_clock: trio.testing.MockClock,
) -> None:
    bare = LocalBackend.create("d2", str(root.parent), concurrency=1)
    backend = LimitBackend(bare, Limits(seconds=5))
    for _ in range(2):
        with pytest.raises(UnavailableError, match="took longer than 5 s"):
            await backend.put(KEY, [b"x"])
    blocked_fsync[1].set()


# Leftovers


async def test_only_old_leftovers_of_dead_processes_are_swept(
    backend: LocalBackend, root: Path
) -> None:
    tmp = root / "tmp"
    (tmp / "folder").mkdir(parents=True)
    for name in ("dead", "writing", "young"):
        (tmp / name).write_bytes(b"x")
    long_ago = time.time() - 2 * upload.LEFTOVER_AGE
    for name in ("dead", "writing", "folder"):
        os.utime(tmp / name, (long_ago, long_ago))
    with (tmp / "writing").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        await backend.put(KEY, [b"x"])
    assert set(os.listdir(tmp)) == {"writing", "young", "folder"}
    assert [each.key async for each in backend.list()] == [KEY]


async def test_foreign_files_are_no_keys(backend: LocalBackend, root: Path) -> None:
    await backend.put(KEY, [b"x"])
    (root / "Read Me.txt").write_bytes(b"x")
    (root / "lost+found").mkdir()
    (root / "link").symlink_to(root / KEY)
    os.mkfifo(root / "fifo")
    assert [each.key async for each in backend.list()] == [KEY]
    with pytest.raises(KeyNotFoundError):
        await backend.get(check_key("fifo"))


async def test_a_key_in_the_way_of_another(backend: LocalBackend) -> None:
    await backend.put(check_key("a"), [b"x"])
    with pytest.raises(DeniedError, match="in the way"):
        await backend.put(check_key("a/b"), [b"x"])
    await backend.put(check_key("c/d"), [b"x"])
    with pytest.raises(DeniedError, match="in the way"):
        await backend.put(check_key("c"), [b"x"])


async def test_long_listings_come_in_batches(backend: LocalBackend, root: Path) -> None:
    keys = {f"k/{n % 7}/{n}" for n in range(2500)}
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()
    assert {each.key async for each in backend.list()} == keys


# Disks that are not there


async def _is_unavailable(backend: LocalBackend) -> None:
    for call in (
        lambda: backend.head(KEY),
        lambda: backend.get(KEY),
        lambda: backend.get_into(KEY, 0, memoryview(bytearray(1))),
        lambda: backend.put(KEY, [b"x"]),
        lambda: backend.put(KEY, [b"x"], if_absent=True),
        lambda: backend.delete(KEY),
        lambda: anext(backend.list()),
        lambda: backend.usage(),
    ):
        with pytest.raises(UnavailableError, match=r"backend d2: .* mounted") as caught:
            await call()
        assert caught.value.backend == "d2"


async def test_a_root_that_never_was(root: Path) -> None:
    backend = LocalBackend("d2", str(root))
    await _is_unavailable(backend)
    assert root.name not in os.listdir(root.parent)
    assert backend.properties.domain == LocalBackend("d2", str(root.parent)).properties.domain


async def test_a_root_that_is_a_file(root: Path) -> None:
    _write(root, b"x")
    await _is_unavailable(LocalBackend("d2", str(root)))


async def test_a_root_that_goes_and_comes_back(backend: LocalBackend, root: Path) -> None:
    await backend.put(MARKER_KEY, [b"{}"])
    await backend.put(KEY, [b"x"])
    aside = root.with_name("aside")
    os.rename(root, aside)
    await _is_unavailable(backend)
    os.mkdir(root)
    await _is_unavailable(backend)
    assert os.listdir(root) == []
    os.rmdir(root)
    os.rename(aside, root)
    assert await backend.get(KEY) == b"x"


async def test_a_disk_mounted_later_counts_once_it_has_a_marker(root: Path) -> None:
    backend = LocalBackend("d2", str(root))
    os.mkdir(root)
    await _is_unavailable(backend)
    _write(root / MARKER_KEY, b"{}")
    await backend.put(KEY, [b"x"])
    assert await backend.get(KEY) == b"x"


async def test_an_unmounted_disk_is_not_an_empty_one(root: Path) -> None:
    with small_tmpfs(root, "1m"):
        backend = LocalBackend("d2", str(root))
        await backend.put(MARKER_KEY, [b"{}"])
        await backend.put(KEY, [b"x"])
        unmount(root)
        await _is_unavailable(backend)
        assert os.listdir(root) == []


async def test_a_full_disk(root: Path) -> None:
    with small_tmpfs(root, "256k"):
        backend = LocalBackend("d2", str(root))
        with pytest.raises(QuotaError, match=r"backend d2: packs.*; free some space"):
            await backend.put(KEY, [noise(1, 1 << 20)])
        assert _files(root) == set()
        await backend.put(KEY, [b"small"])
        usage = await backend.usage()
        assert usage.total == 256 * 1024
        assert usage.free is not None
        assert 0 < usage.free < usage.total


async def test_a_read_only_disk(root: Path) -> None:
    with small_tmpfs(root, "256k"):
        backend = LocalBackend("d2", str(root))
        await backend.put(KEY, [b"x"])
        remount_read_only(root)
        assert await backend.get(KEY) == b"x"
        with pytest.raises(DeniedError, match="Read-only"):
            await backend.put(KEY, [b"y"])
        with pytest.raises(DeniedError, match="Read-only"):
            await backend.delete(KEY)
        with pytest.raises(DeniedError, match="Read-only"):
            LocalBackend.create("d3", str(root / "deeper"))
