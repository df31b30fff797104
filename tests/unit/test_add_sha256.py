"""SHA-256 beside the BLAKE3: where it is wanted, and compared where one is expected."""

import hashlib
import os
from pathlib import Path

import pytest

from modelfloat.cas.add import request as requests
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import SourceDamagedError
from modelfloat.tests.support.stores import fresh_store, read, weights

SIZES = {"empty": 0, "small": 1_000, "large": 30_000_000}


def make(folder: Path) -> dict[str, bytes]:
    """One file of each size, and a sparse one."""
    folder.mkdir()
    for name, size in SIZES.items():
        (folder / name).write_bytes(os.urandom(size))
    with (folder / "sparse").open("wb") as file:
        file.write(b"begin")
        file.truncate(40_000_000)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kept(store: Store, name: str) -> bytes | None:
    """The SHA-256 in a file's manifest."""
    entry = store.find(parse_address(f"acme/m/{name}"))
    return store.objects.manifest(entry.object).sha256


async def test_each_file_gets_its_own(tmp_path: Path) -> None:
    files = make(tmp_path / "src")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        where = parse_address("acme/m")
        await store.carry_out(AddRequest([str(tmp_path / "src")], where, sha256=True))
        for name, data in files.items():
            assert kept(store, name) == hashlib.sha256(data).digest()
            assert await read(store, f"acme/m/{name}") == data


@pytest.mark.parametrize(("cores", "wanted"), [(1, False), (3, False), (4, True), (None, False)])
def test_it_is_wanted_where_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, wanted: bool
) -> None:
    monkeypatch.setattr(requests.os, "cpu_count", lambda: cores)
    requests._has_enough_cores.cache_clear()
    where = parse_address("acme/m")
    found = AddRequest(["x"], where).hashes_sha256
    requests._has_enough_cores.cache_clear()
    assert found is wanted
    assert AddRequest(["x"], where, sha256=True).hashes_sha256
    assert not AddRequest(["x"], where, sha256=False).hashes_sha256


async def test_a_manifest_with_it_still_shares_its_chunks(tmp_path: Path) -> None:
    weights(tmp_path / "w", 5_000_000)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        where = parse_address("acme/m")
        await store.carry_out(AddRequest([str(tmp_path / "w")], where, sha256=False))
        assert kept(store, "w") is None
        again = AddRequest([str(tmp_path / "w")], where, sha256=True, reread=True)
        report = await store.carry_out(again)
        assert report.new == 0
        assert kept(store, "w") is not None


@pytest.mark.parametrize("name", ["small", "large"])
async def test_another_one_than_expected_is_an_error_that_names_the_file(
    tmp_path: Path, name: str
) -> None:
    files = make(tmp_path / "src")
    right = {n: hashlib.sha256(data).digest() for n, data in files.items()}
    source = tmp_path / "src" / name

    def expect(path: bytes) -> bytes | None:
        return wanted.get(os.path.basename(os.fsdecode(path)))

    async with fresh_store(tmp_path / "store", "2+1") as store:
        where = parse_address("acme/m")
        wanted = {name: bytes(32)}
        request = AddRequest([str(source)], where, sha256=False, expected_sha256=expect)
        with pytest.raises(SourceDamagedError, match=rf"{name} has the SHA-256 .*download it"):
            await store.carry_out(request)
        assert store.index.refs() == []
        wanted = right
        await store.carry_out(request)
        assert kept(store, name) == right[name]
        wanted = {name: bytes(32)}
        with pytest.raises(SourceDamagedError):
            await store.carry_out(request)
