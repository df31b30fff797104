"""Names, links, modes and times from add to get and through the mount's tree, byte for byte."""

import os
import socket
import stat
from pathlib import Path

import pytest

from modelfloat.cas.get.getting import get
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.operations import Operations
from modelfloat.ids import Inode
from modelfloat.tests.support.folders import Facts, contents
from modelfloat.tests.support.stores import add, fresh_store
from modelfloat.tests.support.walking import LOOK, Kernel

MODEL = parse_address("acme/model")
NAMES = {
    "nfc": "gr\u00f6\u00dfe".encode(),
    "nfd": "gro\u0308\u00dfe".encode(),
    "255 bytes": b"x" * 255,
    "255 bytes of umlauts": "ä".encode() * 127,
    "spaces": b"  a  b ",
    "quotes": b'it\'s "so" `here` $HOME',
    "newline": b"one\ntwo\r\n",
    "terminal": b"\x1b[31mred\x07\x7f",
    "not utf-8": b"\xff\xfe\xc3",
    "surrogate": b"\xed\xa0\x80",
    "dots": b"...",
    "hidden": b".hidden",
    "dash": b"-rf",
    "ours": b"a@b~1%2F:*?[c]\\",
    "emoji": "🤗".encode(),
    "like a temporary one": b".modelfloat-x",
}
TIMES = [0, 1, -1, -86_400_000_000_001, 1_700_000_000_123_456_789, 4_102_444_799_999_999_999]


def expected(folder: Path) -> dict[bytes, Facts]:
    """What must come back: of the permissions the nine that anybody may give."""
    return {
        path: (kind, mode & 0o777, mtime, content)
        for path, (kind, mode, mtime, content) in contents(folder).items()
    }


async def round_trip(source: Path, tmp_path: Path) -> Path:
    """Add a folder and get it back; what came back, which must be all there is."""
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        assert (report.skipped, report.failed, report.warnings) == ([], [], [])
        await get(store, MODEL, str(tmp_path / "out"), verify=True)
        await check_view(store, source)
    return tmp_path / "out"


async def check_view(store: Store, source: Path) -> None:
    """The mount's tree shows the same names, sizes, times, links and bytes."""
    kernel = Kernel(Operations(store, LOOK))
    await _check_folder(kernel, await kernel.inode("acme/model"), os.fsencode(source))


async def _check_folder(kernel: Kernel, inode: Inode, folder: bytes) -> None:
    names = sorted(os.listdir(folder))
    handle = await kernel.operations.opendir(inode)
    listed = [name for name, _ in await kernel.part(handle, 0, 1000)]
    kernel.operations.releasedir(handle)
    assert listed == names
    for name in names:
        path = os.path.join(folder, name)
        shown = (await kernel.operations.lookup(inode, name)).attributes
        status = os.lstat(path)
        assert stat.S_IFMT(shown.mode) == stat.S_IFMT(status.st_mode)
        assert shown.mtime_ns == status.st_mtime_ns
        if stat.S_ISDIR(status.st_mode):
            await _check_folder(kernel, shown.inode, path)
        elif stat.S_ISLNK(status.st_mode):
            assert kernel.operations.readlink(shown.inode) == os.readlink(path)
        else:
            assert shown.size == status.st_size
            opened = await kernel.operations.open(shown.inode, 0)
            data = bytes(await kernel.operations.read(opened, 0, 1 << 20))
            kernel.operations.release(opened)
            assert data == _bytes(path)


def _bytes(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize("what", NAMES)
async def test_names_of_files_folders_and_links(tmp_path: Path, what: str) -> None:
    name = NAMES[what]
    source, text = tmp_path / "source", os.fsdecode(name)
    (source / "folder" / text).mkdir(parents=True)
    (source / "links").mkdir()
    for path in (source / text, source / "folder" / text / text):
        path.write_bytes(name)
    (source / "link").symlink_to(text)
    (source / "links" / text).symlink_to(f"../{text}")
    assert contents(await round_trip(source, tmp_path)) == contents(source)


async def test_both_forms_of_unicode_are_two_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for form in ("nfc", "nfd"):
        (source / os.fsdecode(NAMES[form])).write_text(form)
    assert len(list(source.iterdir())) == 2
    assert contents(await round_trip(source, tmp_path)) == contents(source)


async def test_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for mode in (0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1644):
        path = source / f"{mode:o}"
        path.write_text(f"{mode:o}")
        path.chmod(mode)
    for mode in (0o500, 0o700, 0o755, 0o1777, 0o2775):
        path = source / f"folder {mode:o}"
        path.mkdir()
        (path / "inside").write_text("x")
        path.chmod(mode)
    out = await round_trip(source, tmp_path)
    assert contents(out) == expected(source)
    assert contents(out) != contents(source), "nobody becomes another user by getting a model"


async def test_setuid_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("x")
    (tmp_path / "tool").chmod(0o4755)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "tool")
        assert store.find(parse_address("acme/model/tool")).mode == 0o4755


@pytest.mark.parametrize("time", TIMES)
async def test_times_of_files_folders_and_links(tmp_path: Path, time: int) -> None:
    source = tmp_path / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_text("x")
    (source / "folder" / "link").symlink_to("file")
    for path in (source / "folder" / "file", source / "folder" / "link", source / "folder"):
        os.utime(path, ns=(time, time), follow_symlinks=False)
    assert contents(await round_trip(source, tmp_path)) == contents(source)


async def test_nothing_and_empty_things(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a" / "b" / "empty").mkdir(parents=True)
    (source / "none").write_bytes(b"")
    assert contents(await round_trip(source, tmp_path)) == contents(source)


async def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "deep").mkdir(parents=True)
    (source / "sub" / "file").write_text("x")
    for name, text in {
        "file": "sub/file",
        "folder": "sub",
        "dangling": "sub/nothing",
        "chain": "file",
        "longer chain": "chain",
        "chain through a folder": "folder/deep/../file",
        "root": ".",
        "loop": "loop",
        "sub/up": "..",
        "sub/deep/file": "../../sub/file",
        "sub/deep/padded": "..//./file",
    }.items():
        (source / name).symlink_to(text)
    assert contents(await round_trip(source, tmp_path)) == contents(source)


async def test_links_that_leave_are_followed(tmp_path: Path) -> None:
    source, outside = tmp_path / "source", tmp_path / "outside"
    (source / "sub").mkdir(parents=True)
    (outside / "folder").mkdir(parents=True)
    (outside / "folder" / "file").write_text("outside")
    (source / "own").write_text("own")
    for name, text in {
        "file": "../outside/folder/file",
        "folder": "../outside/folder",
        "absolute": f"{source}/own",
        "out and in again": "../source/own",
        "chain": "file",
        "sub/gone": "../../outside/nothing",
        "sub/cycle": str(source),
    }.items():
        (source / name).symlink_to(text)
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        assert sorted(report.skipped) == [
            f"{source}/sub/cycle: a link to a folder it lies in",
            f"{source}/sub/gone: No such file or directory",
        ]
        await get(store, MODEL, str(tmp_path / "out"))
    found = {path: content for path, (_, _, _, content) in contents(tmp_path / "out").items()}
    as_file = contents(outside)[b"folder/file"][3]
    own = contents(source)[b"own"][3]
    assert found == {
        b"file": as_file,
        b"folder": b"",
        b"folder/file": as_file,
        b"absolute": own,
        b"out and in again": own,
        b"chain": as_file,
        b"own": own,
        b"sub": b"",
    }


async def test_what_is_no_file_is_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    os.mkfifo(source / "pipe")
    (source / "link to a device").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(source)
        listening.bind("socket")
        async with fresh_store(tmp_path / "store") as store:
            report = await add(store, source)
            assert report.skipped == [
                f"{source}/link to a device: a character device",
                f"{source}/pipe: a pipe",
                f"{source}/socket: a socket",
            ]
            assert report.files == 1


async def test_sources_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("x")
    monkeypatch.chdir(tmp_path / "a" / "b")
    async with fresh_store(tmp_path / "store") as store:
        for source in ("..", "../../a", "../b/.."):
            await store.add([source], MODEL)
        await store.add(["../file"], parse_address("acme/other"))
        names = await Kernel(Operations(store, LOOK)).names("acme/model")
        assert names == [b"b", b"file"]
        assert await Kernel(Operations(store, LOOK)).names("acme/other") == [b"file"]
        assert (await Kernel(Operations(store, LOOK)).inode("")) == ROOT
