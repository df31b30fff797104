"""Files that change while they are added: read once more, or left out and told; never torn."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cas.add import largefiles, smallfiles
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.add.scan import Item
from modelfloat.cas.add.sources import open_item
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ModelFloatError, SourceChangedError, SourceUnreadableError
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

LARGE = 9_000_000
SIZES = pytest.mark.parametrize("size", [100, LARGE], ids=["small", "large"])


class Meddler:
    """Does something to a file between its opening and its reading; counts how often it is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self._path = os.fsencode(path)
        self._monkeypatch = monkeypatch
        self.opened = 0

    def before_reading(self, meddle: Callable[[int], object], times: int = 99) -> None:
        for module in (smallfiles, largefiles):
            self._patch(module, meddle, times)

    def _patch(self, module: object, meddle: Callable[[int], object], times: int) -> None:
        def opened(item: Item) -> int:
            fd = open_item(item)
            if item.source == self._path:
                self.opened += 1
                if self.opened <= times:
                    meddle(self.opened)
            return fd

        self._monkeypatch.setattr(module, "open_item", opened)


async def names(store: Store) -> set[str]:
    commit = store.objects.commit(store.refs.resolve(parse_address("acme/model").repo))
    return {os.fsdecode(e.name) for e in store.objects.directory(commit.tree).entries()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "calm").write_bytes(b"calm")
    return folder


@SIZES
async def test_one_that_grows_once_is_read_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file = source / "log"
    file.write_bytes(noise("old", size))
    Meddler(monkeypatch, file).before_reading(lambda _: append(file), times=1)
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        assert (report.files, report.failed) == (2, [])
        assert await read(store, "acme/model/log") == noise("old", size) + b"more"
        entry = store.find(parse_address("acme/model/log"))
        assert (entry.size, entry.mtime_ns) == (size + 4, file.stat().st_mtime_ns)


def append(file: Path) -> None:
    with file.open("ab") as out:
        out.write(b"more")


@SIZES
@pytest.mark.parametrize("how", ["grows", "shrinks", "vanishes", "pipe", "folder", "replaced"])
async def test_one_that_does_not_stay_is_left_out(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, how: str
) -> None:
    file = source / "log"
    file.write_bytes(noise("old", size))

    def meddle(time: int) -> None:
        if how == "grows":
            append(file)
        elif how == "shrinks":
            os.truncate(file, size - time)
        else:
            file.unlink()
            if how == "pipe":
                os.mkfifo(file)
            elif how == "folder":
                file.mkdir()
            elif how == "replaced":
                # What was opened loses its last name, and with that changes its ctime.
                file.write_bytes(b"new")

    Meddler(monkeypatch, file).before_reading(meddle)
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        (line,) = report.failed
        assert str(file) in line
        assert "while it was being added; add it again" in line
        assert await names(store) == {"calm"}
        assert (report.files, report.commit is None) == (1, False)


@SIZES
async def test_the_version_in_the_branch_stays(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file = source / "log"
    file.write_bytes(noise("old", size))
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        append(file)
        (source / "calm").write_bytes(b"calmer")
        Meddler(monkeypatch, file).before_reading(lambda _: append(file))
        for sync in (False, True):
            address = parse_address("acme/model")
            report = await store.carry_out(AddRequest([str(source)], address, sync=sync))
            assert len(report.failed) == 1
            assert report.removed == []
            assert await read(store, "acme/model/log") == noise("old", size)
            assert await read(store, "acme/model/calm") == b"calmer"


@SIZES
async def test_nothing_but_failures_is_an_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    file = source / "log"
    file.write_bytes(bytes(size))
    meddler = Meddler(monkeypatch, file)
    meddler.before_reading(lambda _: append(file))
    async with fresh_store(tmp_path / "store") as store:
        with pytest.raises(SourceChangedError, match="add it again"):
            await add(store, file)
        assert meddler.opened == 2
        assert store.refs.repositories() == []


async def test_one_that_may_not_be_read_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs this may be root, who may read everything; so the system's answer is made up."""
    file = source / "secret"
    file.write_bytes(b"x")
    real = os.open

    def forbidden(path: bytes, *rest: int, **more: int) -> int:
        if path == os.fsencode(file):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", forbidden)
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        assert report.failed == [f"{file}: Permission denied"]
        assert await names(store) == {"calm"}
        with pytest.raises(SourceUnreadableError, match="Permission denied") as caught:
            await add(store, file)
        assert isinstance(caught.value, ModelFloatError)


async def test_a_folder_that_may_not_be_read_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "secret").mkdir()
    (source / "secret" / "file").write_bytes(b"x")
    real = os.listdir

    def forbidden(path: bytes) -> list[bytes]:
        if path == os.fsencode(source / "secret"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        (source / "calm").write_bytes(b"calmer")
        monkeypatch.setattr(os, "listdir", forbidden)
        address = parse_address("acme/model")
        report = await store.carry_out(AddRequest([str(source)], address, sync=True))
        assert report.failed == [f"{source}/secret: Permission denied"]
        assert report.removed == []
        assert await read(store, "acme/model/secret/file") == b"x"
        assert await read(store, "acme/model/calm") == b"calmer"
        with pytest.raises(SourceUnreadableError, match="secret: Permission denied"):
            await add(store, source / "secret")
