"""Files through a real mount: what the kernel makes of what we answer."""

import errno
import mmap
import os
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.mounted import PATIENCE, Daemon, mounted, needs_fuse
from modelfloat.tests.support.shelf import TIME_NS, Link, Shelf
from modelfloat.tests.support.sources import noise

pytestmark = [pytest.mark.mount, needs_fuse]

BIG = noise(1, (3 << 20) + 12_345)
LOST = noise(2, 5000)


@pytest.fixture
def daemon(shelf: Shelf, shelf_folder: Path, mountpoint: Path) -> Iterator[Daemon]:
    first = shelf.commit("acme/llama", {"v": b"1"})
    shelf.commit(
        "acme/llama",
        {
            "v": b"2",
            "big.safetensors": BIG,
            "empty": b"",
            "lost": LOST,
            "deep/er/file": b"deep",
            "deep/link": Link(b"er/file"),
            "sn\u00f6 \U0001f999": b"name",
        },
    )
    shelf.tag("acme/llama", "v1", first)
    shelf.lose(LOST)
    with mounted(shelf_folder, mountpoint) as daemon:
        yield daemon


def test_reading(daemon: Daemon) -> None:
    model = daemon.mountpoint / "acme" / "llama"
    assert (model / "big.safetensors").read_bytes() == BIG
    assert (model / "empty").read_bytes() == b""
    assert (model / "sn\u00f6 \U0001f999").read_bytes() == b"name"
    assert os.readlink(model / "deep" / "link") == "er/file"
    assert (model / "deep" / "link").read_bytes() == b"deep"
    with (model / "big.safetensors").open("rb") as file:
        for offset, size in ((1 << 20, 10), (len(BIG) - 5, 100), (12_345, 1 << 20), (0, 1)):
            assert os.pread(file.fileno(), size, offset) == BIG[offset : offset + size]


def test_mapping(daemon: Daemon) -> None:
    path = daemon.mountpoint / "acme" / "llama" / "big.safetensors"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert view[2_000_000:2_000_100] == BIG[2_000_000:2_000_100]
        assert view[-10:] == BIG[-10:]
        # Page faults from many threads at once, none of which holds the interpreter's lock.
        assert blake3(view, max_threads=16).digest() == blake3(BIG).digest()
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, flags=flags, prot=mmap.PROT_READ) as view,
    ):
        view.madvise(mmap.MADV_WILLNEED)
        assert view[:] == BIG


def test_many_readers_of_one_descriptor(daemon: Daemon) -> None:
    path = daemon.mountpoint / "acme" / "llama" / "big.safetensors"
    offsets = [(i * 7919 * 4096) % len(BIG) for i in range(400)]
    with path.open("rb") as file, ThreadPoolExecutor(16) as threads:
        parts = threads.map(lambda offset: os.pread(file.fileno(), 5000, offset), offsets)
        assert list(parts) == [BIG[offset : offset + 5000] for offset in offsets]


def test_attributes(daemon: Daemon) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    model = daemon.mountpoint / "acme" / "llama"
    found = (model / "big.safetensors").stat()
    assert found.st_mode == stat.S_IFREG | 0o444 & ~umask
    assert (found.st_size, found.st_mtime_ns, found.st_nlink) == (len(BIG), TIME_NS, 1)
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
    assert found.st_blocks == -(-len(BIG) // 512)
    assert model.stat().st_mode == stat.S_IFDIR | 0o555 & ~umask
    assert os.getxattr(model / "big.safetensors", "user.modelfloat.blake3") == (
        blake3(BIG).hexdigest().encode()
    )
    with pytest.raises(OSError) as caught:
        os.getxattr(model, "user.none")
    assert caught.value.errno == errno.ENODATA
    assert os.statvfs(model).f_flag & os.ST_RDONLY


def test_names(daemon: Daemon) -> None:
    assert os.listdir(daemon.mountpoint) == ["acme"]
    assert os.listdir(daemon.mountpoint / "acme") == ["llama"]
    vendor = daemon.mountpoint / "acme"
    assert (vendor / "llama@v1" / "v").read_bytes() == b"1"
    assert (vendor / "llama@main~1" / "v").read_bytes() == b"1"
    assert (vendor / "llama@main" / "v").read_bytes() == b"2"
    for missing in ("bert", "llama@none", "llama/none", ".hf", "../.hf/bert"):
        assert not (vendor / missing).exists()
    assert [path.name for path in (daemon.mountpoint / ".hf").iterdir()] == ["models--acme--llama"]
    same = {(vendor / name / "v").stat().st_ino for name in ("llama", "llama@main")}
    assert len(same) == 1


def test_nothing_can_be_changed(daemon: Daemon) -> None:
    model = daemon.mountpoint / "acme" / "llama"
    for change in (
        lambda: (model / "v").open("wb"),
        lambda: (model / "new").touch(),
        lambda: (model / "v").unlink(),
        lambda: (model / "folder").mkdir(),
        lambda: (model / "v").rename(model / "w"),
        lambda: os.truncate(model / "v", 0),
        lambda: (model / "v").chmod(0o777),
    ):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EROFS


def test_lost_bytes_are_an_error_with_a_line_in_the_log(daemon: Daemon) -> None:
    path = daemon.mountpoint / "acme" / "llama" / "lost"
    with path.open("rb") as file, pytest.raises(OSError) as caught:
        file.read()
    assert caught.value.errno == errno.EIO
    line = next(line for line in daemon.log().splitlines() if "is gone" in line)
    assert "acme/llama/lost" in line
    assert f"pid {os.getpid()}" in line
    assert (daemon.mountpoint / "acme" / "llama" / "v").read_bytes() == b"2"


def test_new_commits_show_without_mounting_again(daemon: Daemon, shelf: Shelf) -> None:
    vendor = daemon.mountpoint / "acme"
    with (vendor / "llama" / "big.safetensors").open("rb") as held:
        shelf.commit("acme/llama", {"big.safetensors": b"small now"})
        shelf.commit("acme/bert", {"v": b"bert"})
        # A name that was never looked up has nothing to expire.
        assert (vendor / "bert" / "v").read_bytes() == b"bert"
        assert (vendor / "llama@main" / "big.safetensors").read_bytes() == b"small now"
        assert os.pread(held.fileno(), 100, 1 << 20) == BIG[1 << 20 : (1 << 20) + 100]
    assert sorted(os.listdir(vendor)) == ["bert", "llama"]


def test_a_big_folder_lists_completely(daemon: Daemon, shelf: Shelf) -> None:
    shelf.commit("many/files", {f"folder/{i:05}.txt": b"same" for i in range(10_000)})
    folder = daemon.mountpoint / "many" / "files" / "folder"
    with os.scandir(folder) as entries:
        found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
    assert found == {f"{i:05}.txt": True for i in range(10_000)}
    assert (folder / "09999.txt").read_bytes() == b"same"


def test_other_programs(daemon: Daemon) -> None:
    """What walks with its own idea of links and sizes: find, du, cp."""

    def run(*command: str) -> str:
        result = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=PATIENCE
        )
        return result.stdout

    model = str(daemon.mountpoint / "acme" / "llama@v1")
    assert run("find", model, "-type", "f").splitlines() == [f"{model}/v"]
    deep = str(daemon.mountpoint / "acme" / "llama" / "deep")
    assert sorted(run("find", deep).splitlines()) == [
        deep,
        f"{deep}/er",
        f"{deep}/er/file",
        f"{deep}/link",
    ]
    copy = daemon.mountpoint.parent / "copy"
    run("cp", "-r", str(daemon.mountpoint / "acme" / "llama" / "deep"), str(copy))
    assert (copy / "er" / "file").read_bytes() == b"deep"


def test_the_kernel_knows_what_it_is(daemon: Daemon) -> None:
    mount = mount_at(str(daemon.mountpoint))
    assert mount is not None
    assert mount.type == "fuse.modelfloat"
    read_ahead = Path(f"/sys/class/bdi/{mount.device}/read_ahead_kb")
    if os.geteuid() == 0 and os.access(read_ahead, os.W_OK):
        assert read_ahead.read_text() == "1024\n"
        assert "read_ahead_kb=1024" in daemon.log()
