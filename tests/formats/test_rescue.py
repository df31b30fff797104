"""docs/rescue.py: a store's files from its shards alone, whatever else is gone."""

import ast
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.get.getting import get
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import BackendSpec
from modelfloat.tests.support.folders import contents, restored
from modelfloat.tests.support.rescuing import SCRIPT, rescue
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.signers import signing
from modelfloat.tests.support.stores import add, data_shards, flip_bit, fresh_store, shard_files


async def make(folder: Path, scheme: str) -> list[Path]:
    """A store with two branches, a tag, two repositories; what get says of it in `expected`."""
    source = folder / "source"
    (source / "inner" / "empty").mkdir(parents=True)
    (source / "large").write_bytes(noise("large", 3_000_000) + bytes(3 << 20) + b"x")
    (source / "text").write_bytes(b"the same again and again " * 9999)
    (source / "link").symlink_to("inner")
    (source / "none").write_bytes(b"")
    async with fresh_store(folder / "store", scheme) as store:
        await add(store, source)
        (source / "text").write_bytes(b"changed")
        await store.add([str(source)], parse_address("acme/model@dev"), tag="v1")
        await add(store, source / "large", "other/name")
        await get(store, None, str(folder / "expected"))
    return sorted((folder / "store" / "backends").iterdir())


def test_it_is_one_file_that_imports_nothing_of_ours() -> None:
    names = set()
    for node in ast.walk(ast.parse(SCRIPT.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    foreign = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    assert foreign <= {"blake3", "cryptography", "reedsolo", "zstandard"}
    assert SCRIPT.read_text().count("\n") < 600


def test_no_tree_leads_out_of_the_destination(tmp_path: Path) -> None:
    """A tree that has one name twice, as a link and as a folder: format.md forbids it."""
    rescue_module = runpy.run_path(str(SCRIPT))
    link, folder = EntryType.SYMLINK, EntryType.DIRECTORY
    (tmp_path / "victim").mkdir()
    (inner,) = encode_tree([Entry(b"file", link, 0o777, 0, 1, b"x")])
    leads_out = Entry(b"a", link, 0o777, 0, 1, bytes(tmp_path / "victim"))
    (outer,) = encode_tree([leads_out, Entry(b"a", folder, 0o755, 0, 0, object_id(inner))])

    class Objects:
        def object(self, id_: bytes, *_types: int) -> bytes:
            return {bytes(object_id(inner)): inner, bytes(object_id(outer)): outer}[id_]

    rescuing = rescue_module["Rescue"](Objects())
    rescuing.tree(bytes(object_id(outer)), bytes(tmp_path / "out"))
    assert rescuing.lost == 1
    assert list((tmp_path / "victim").iterdir()) == []


async def test_any_name_of_a_file_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / ".rescue-part").write_bytes(b"mine")
    (tmp_path / "source" / "zz").write_bytes(b"another")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "source")
    rescue(tmp_path / "out", sorted((tmp_path / "store" / "backends").iterdir()))
    assert contents(tmp_path / "out" / "acme" / "model") == contents(tmp_path / "source")


@pytest.mark.parametrize("scheme", ["4+2", "1+1", "1+0", "3+0", "2+3", "8+1"])
async def test_everything_with_any_m_backends_gone(tmp_path: Path, scheme: str) -> None:
    backends = await make(tmp_path, scheme)
    m = int(scheme.partition("+")[2])
    for number, left in enumerate([backends[m:], backends[: len(backends) - m]]):
        out = tmp_path / f"out{number}"
        result = rescue(out, left)
        assert (result.returncode, result.stderr) == (0, "")
        assert restored(out) == restored(tmp_path / "expected")


async def test_in_one_directory(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(noise("f", 3_000_000))
    place = BackendSpec("one", str(tmp_path / "one"))
    async with fresh_store(tmp_path / "store", None, (place,)) as store:
        await add(store, tmp_path / "f")
    assert rescue(tmp_path / "out", [tmp_path / "one"]).returncode == 0
    assert (tmp_path / "out/acme/model/f").read_bytes() == noise("f", 3_000_000)


async def test_damage_is_named_and_mended(tmp_path: Path) -> None:
    backends = await make(tmp_path, "4+2")
    for shard in data_shards(tmp_path / "store"):
        if shard.name[0] in "02":
            flip_bit(shard, 100)
            flip_bit(shard, -1)
    result = rescue(tmp_path / "out", backends)
    assert result.returncode == 3
    assert "block 0" in result.stderr
    assert restored(tmp_path / "out") == restored(tmp_path / "expected")


async def test_what_is_lost_is_named_and_the_rest_written(tmp_path: Path) -> None:
    backends = await make(tmp_path, "4+2")
    # Of split packs only: copies of small ones could all lie on any three backends.
    for shard in data_shards(tmp_path / "store"):
        if shard.is_relative_to(backends[0]) or shard.is_relative_to(backends[1]):
            shard.unlink()
    result = rescue(tmp_path / "out", backends[:5])
    assert result.returncode == 4
    assert "large'" in result.stderr
    assert (tmp_path / "out/acme/model/none").exists()
    assert (tmp_path / "out/acme/model@dev/text").read_bytes() == b"changed"
    assert not list((tmp_path / "out").rglob(".rescue-part"))


async def test_without_journals_or_footers(tmp_path: Path) -> None:
    backends = await make(tmp_path, "2+1")
    for backend in backends:
        for shard in sorted((backend / "packs").glob("*/*/*")):
            flip_bit(shard, -1)  # No footer can be trusted; the journal has the chunk tables.
    result = rescue(tmp_path / "out", backends)
    assert result.returncode == 0
    assert restored(tmp_path / "out") == restored(tmp_path / "expected")
    for shard in shard_files(tmp_path / "store"):
        flip_bit(shard, -1)
    for backend in backends:
        shutil.rmtree(backend / "journal", ignore_errors=True)
    result = rescue(tmp_path / "all", backends[1:])
    assert result.returncode == 0
    found = {frozenset(contents(c).items()) for c in (tmp_path / "all/commits").iterdir()}
    assert frozenset(contents(tmp_path / "expected/acme/model@dev").items()) in found


async def test_shards_wherever_they_lie_and_directories_of_other_stores(tmp_path: Path) -> None:
    backends = await make(tmp_path / "a", "4+2")
    others = await make(tmp_path / "b", "1+0")
    for shard in shard_files(tmp_path / "a" / "store", "d0"):
        moved = backends[1] / shard.relative_to(backends[0])
        moved.parent.mkdir(parents=True, exist_ok=True)
        shard.rename(moved)
    (backends[2] / "modelfloat.json").unlink()
    result = rescue(tmp_path / "out", [*backends[1:5], *others])
    assert result.returncode == 3
    assert "a backend of another store" in result.stderr
    assert restored(tmp_path / "out") == restored(tmp_path / "a" / "expected")


def test_nothing_to_restore(tmp_path: Path) -> None:
    result = rescue(tmp_path / "out", [tmp_path])
    assert result.returncode == 4
    assert "no marker" in result.stderr


async def test_sources_of_files_are_no_hindrance(tmp_path: Path) -> None:
    data = noise("from elsewhere", 2_000_000)
    (tmp_path / "file").write_bytes(data)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        url = "https://example.org/file"
        address = parse_address("acme/from")
        await store.carry_out(AddRequest([str(tmp_path / "file")], address, source_url=url))
    result = rescue(tmp_path / "out", sorted((tmp_path / "store" / "backends").iterdir()))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "acme" / "from" / "file").read_bytes() == data


async def test_signed_refs_are_read_as_others_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("signed")
    async with fresh_store(tmp_path / "store", "2+1"):
        pass
    async with signing(tmp_path / "store", 1) as store:
        await add(store, tmp_path / "file")
    done = rescue(tmp_path / "out", (tmp_path / "store" / "backends").iterdir())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/acme/model/file").read_text() == "signed"
