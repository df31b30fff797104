"""The index under damage with a name: one line that says what to do, never a crash."""

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest

from modelfloat.cas.formats.journal import PackStored
from modelfloat.cas.index import lmdbfile, networkfs
from modelfloat.cas.index.index import Index
from modelfloat.errors import IndexDamagedError, UnsupportedError
from modelfloat.ids import ChunkId, ObjectId, PackId, StoreId
from modelfloat.opening import open_store
from modelfloat.tests.support import samples
from modelfloat.tests.support.stores import fresh_store

PAGE = 4096
HINT = "run `modelfloat rebuild-index`"


def fill(index: Index, packs: int = 40, first: int = 0) -> None:
    """Apply packs of chunks of their own, and some objects that take several pages."""
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    for number in range(first, first + packs):
        chunks = tuple(
            replace(c, id=ChunkId(samples.id_of(f"{number}/{i}")))
            for i, c in enumerate(samples.chunks())
        )
        pack = replace(stored, pack=PackId(number.to_bytes(16)), chunks=chunks)
        record = replace(samples.record(), entries=(pack,), seq=number + 1, digest=bytes(32))
        index.apply(record, {ObjectId(samples.id_of(f"o{number}")): bytes(9000)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed index with something in it."""
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    fill(index)
    index.close()
    return tmp_path / "index"


def refused(path: Path, match: str) -> None:
    with pytest.raises(IndexDamagedError, match=match) as raised:
        Index.open(str(path))
    assert HINT in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sound_index_is_opened(path: Path) -> None:
    index = Index.open(str(path))
    assert len(list(index.packs())) == 40
    index.close()


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 5, 9, 20])
def test_cut_short(path: Path, pages: int) -> None:
    os.truncate(path / "data.mdb", pages * PAGE)
    refused(path, "is damaged: it")


def test_cut_short_within_a_page(path: Path) -> None:
    size = (path / "data.mdb").stat().st_size
    os.truncate(path / "data.mdb", size // 2 + 100)
    refused(path, "cut short")


@pytest.mark.parametrize("fill_with", [b"\0", b"\xff", b"garbage "])
def test_overwritten(path: Path, fill_with: bytes) -> None:
    size = (path / "data.mdb").stat().st_size
    (path / "data.mdb").write_bytes((fill_with * size)[:size])
    refused(path, "does not begin as an index does")


@pytest.mark.parametrize("fill_with", [b"\0", b"\xff", b"garbage "])
def test_overwritten_behind_its_first_pages(path: Path, fill_with: bytes) -> None:
    data = (path / "data.mdb").read_bytes()
    tail = (fill_with * len(data))[: len(data) - 2 * PAGE]
    (path / "data.mdb").write_bytes(data[: 2 * PAGE] + tail)
    refused(path, "is damaged: page [0-9]+ is not what was written there")


@pytest.mark.parametrize("page", [0, 1])
def test_one_meta_page_is_zeros(path: Path, page: int) -> None:
    data = bytearray((path / "data.mdb").read_bytes())
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    (path / "data.mdb").write_bytes(data)
    refused(path, "cannot be used: MDB_INVALID|is damaged")


def test_pages_never_written_at_the_end_are_no_damage(path: Path) -> None:
    """What a transaction took and gave back may lie beyond the file's end."""
    fd = os.open(path / "data.mdb", os.O_RDWR)
    try:
        for at in (0, PAGE):
            (last,) = struct.unpack("<Q", os.pread(fd, 8, at + 136))
            os.pwrite(fd, struct.pack("<Q", last + 7), at + 136)
    finally:
        os.close(fd)
    with contextlib.closing(Index.open(str(path))) as index:
        assert len(list(index.packs())) == 40
        fill(index, 5, first=40)
        assert len(list(index.packs())) == 45


def test_the_lock_file_is_garbage(path: Path) -> None:
    (path / "lock.mdb").write_bytes(b"garbage " * 1024)
    with contextlib.closing(Index.open(str(path))) as index:
        assert len(list(index.packs())) == 40
        fill(index, 1, first=40)


ROWS = {
    "chunks": lambda index: index.locate([ChunkId(b"k" * 32)]),
    "packs": lambda index: list(index.packs()),
    "refs": lambda index: index.refs(),
    "writers": lambda index: index.writer(b"k" * 16),
    "reflog": lambda index: list(index.reflog()),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("value", [b"x", b"\xff" * 20, b"\xff" * 200])
def test_a_row_that_contradicts_itself(tmp_path: Path, name: str, value: bytes) -> None:
    Index.create(str(tmp_path / "index"), samples.STORE).close()
    key = {"chunks": b"k" * 32, "writers": b"k" * 16, "packs": b"\0\0\0\1"}.get(name, b"\xffk" * 9)
    dup = name in ("chunks", "refs")
    with lmdb.open(str(tmp_path / "index"), max_dbs=32, map_size=1 << 30) as env:
        db = env.open_db(name.encode(), dupsort=dup, dupfixed=name == "chunks")
        with env.begin(write=True, db=db) as txn:
            txn.put(key, value)
    with contextlib.closing(Index.open(str(tmp_path / "index"))) as index:
        with pytest.raises(IndexDamagedError, match=f"contradicts itself in `{name}`") as raised:
            ROWS[name](index)
        assert HINT in str(raised.value)


def test_a_full_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.cas.index.environment.MAP_SIZE", 1 << 20)
    with contextlib.closing(Index.create(str(tmp_path / "index"), samples.STORE)) as index:
        with pytest.raises(IndexDamagedError, match="filled the 1 MiB it may have; remove what"):
            fill(index, 200)
        before = list(index.packs())
        assert index.writer(samples.WRITER)[0] == len(before)


FULL = """
import resource, sys
from modelfloat.cas.index.index import Index
from modelfloat.errors import IndexDamagedError
from modelfloat.tests.faults.test_index_damage import fill
index = Index.open(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 18, resource.RLIM_INFINITY))
try:
    fill(index, 400, first=40)
except IndexDamagedError as error:
    message = str(error)
done = len(list(index.packs()))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
fill(index, 440 - done, first=done)
print(done, len(list(index.packs())), message)
"""


def test_no_room_for_the_file_to_grow(path: Path) -> None:
    """A commit that cannot be written is not applied, and can be made again when there is room."""
    done = run(FULL, str(path))
    before, after, message = done.split(" ", 2)
    assert 40 < int(before) < 440
    assert int(after) == 440
    assert "cannot be" in message


ON_A_FULL_DISK = """
import os, shutil, sys
from modelfloat.cas.index.index import Index
from modelfloat.errors import IndexDamagedError
from modelfloat.tests.faults.test_index_damage import fill
os.chdir(sys.argv[1])
index = Index.create("index", b"s" * 16)
fill(index, 10)
with open("ballast", "wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        pass
try:
    fill(index, 400, first=10)
except IndexDamagedError as error:
    message = str(error)
done = len(list(index.packs()))
index.close()
index = Index.open("index")
assert len(list(index.packs())) == done
os.unlink("ballast")
fill(index, 100, first=done)
print(done, len(list(index.packs())) - done, message)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f"mount -t tmpfs -o size=2m tmpfs {tmp_path}"
    if subprocess.run([*unshare, "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("no filesystem can be mounted here, not even in a namespace")
    script = 'eval "$1" && exec "$2" -c "$3" "$4"'
    arguments = [mount, sys.executable, ON_A_FULL_DISK, str(tmp_path)]
    found = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *arguments], capture_output=True, text=True, check=True
    )
    done, more, message = found.stdout.split(" ", 2)
    assert 10 <= int(done) < 410
    assert int(more) == 100
    assert "No space left on device" in message
    assert "nothing was changed; make room on its disk and run the command again" in message


def run(script: str, *arguments: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


READER = """
import os, signal, sys, lmdb
env = lmdb.open(sys.argv[1], max_dbs=32, map_size=1 << 40)
txn = env.begin()
txn.get(b"meta")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_reader_does_not_make_the_index_grow(path: Path) -> None:
    with contextlib.closing(Index.open(str(path))) as index:
        dead = subprocess.run([sys.executable, "-c", READER, str(path)], check=False)
        assert dead.returncode == -signal.SIGKILL
        before = (path / "data.mdb").stat().st_size
        for number in range(300):
            index.put_objects({ObjectId(b"o" * 32): bytes([number % 256]) * 50_000})
        assert (path / "data.mdb").stat().st_size < before + 2_000_000


async def test_the_directory_is_gone(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store"):
        pass
    shutil.rmtree(tmp_path / "store" / "index")
    with pytest.raises(IndexDamagedError, match=r"no index at .* rebuild-index"):
        async with open_store(str(tmp_path / "store")):
            pass
    assert not (tmp_path / "store" / "index").exists()


async def test_another_stores_index(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store"):
        pass
    shutil.rmtree(tmp_path / "store" / "index")
    Index.create(str(tmp_path / "store" / "index"), StoreId(b"x" * 16)).close()
    with pytest.raises(IndexDamagedError, match=r"another store's; run `modelfloat rebuild-index`"):
        async with open_store(str(tmp_path / "store")):
            pass


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """A table of mounts: two of them over a network, one hidden by a local one."""
    lines = [
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw",
        r"22 21 0:50 / /mnt/my\040share rw,relatime shared:1 - nfs4 host:/x rw",
        "23 21 0:51 / /mnt/ssh rw shared:2 master:3 - fuse.sshfs host:/y rw",
        "24 21 0:52 / /mnt/hidden rw - cifs //host/z rw",
        "25 24 8:2 / /mnt/hidden rw - xfs /dev/sdb1 rw",
    ]
    (tmp_path / "mountinfo").write_text("\n".join(lines) + "\n")
    return tmp_path / "mountinfo"


def test_the_type_of_a_filesystem(mounts: Path) -> None:
    found = {
        path: networkfs.filesystem_type(path, str(mounts))
        for path in ("/a", "/mnt/my share", "/mnt/my share/s", "/mnt/ssh/s", "/mnt/hidden/s", "/mn")
    }
    assert list(found.values()) == ["ext4", "nfs4", "nfs4", "fuse.sshfs", "xfs", "ext4"]
    assert networkfs.filesystem_type("/", str(mounts / "absent")) == ""
    assert networkfs.filesystem_type("/proc") == "proc"


@pytest.mark.parametrize("type_", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_network_filesystems_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    monkeypatch.setattr(networkfs, "filesystem_type", lambda _path: type_)
    with pytest.raises(UnsupportedError, match=r"network filesystem .* local disk"):
        Index.open(str(path))
    with pytest.raises(UnsupportedError, match=r"network filesystem .* local disk"):
        Index.create(str(path.parent / "other"), samples.STORE)


@pytest.mark.parametrize("type_", ["ext4", "fuse.mergerfs", "fuse.fuse-overlayfs", "tmpfs", ""])
def test_others_are_not(path: Path, monkeypatch: pytest.MonkeyPatch, type_: str) -> None:
    monkeypatch.setattr(networkfs, "filesystem_type", lambda _path: type_)
    Index.open(str(path)).close()


def test_a_file_that_changes_while_it_is_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that a commit used again meanwhile are no damage: it is looked at again."""
    real: Any = lmdbfile._problem
    asked = []

    def problem(fd: int, meta: Any) -> str:
        asked.append(meta)
        if len(asked) > 1:
            return str(real(fd, meta))
        with contextlib.closing(Index.open(str(other))) as index:
            fill(index, 1, first=40)
        shutil.copy(other / "data.mdb", path / "data.mdb")
        return "page 5 is not what was written there"

    other = path.parent / "other"
    shutil.copytree(path, other)
    with contextlib.closing(Index.open(str(other))):
        monkeypatch.setattr(lmdbfile, "_problem", problem)
        lmdbfile.check_file(str(path / "data.mdb"))
    assert len(asked) == 2
