"""`stats` tells what a plain walk over the store finds, however it came to be as it is."""

import os
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest
import trio

from modelfloat.cas.capacity import shard_size
from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.codecs.registry import CODECS
from modelfloat.cas.formats.chunktable import Kind, check_table, encode_table
from modelfloat.cas.gc import usage
from modelfloat.cas.index.index import Index
from modelfloat.cas.index.sums import decode_sums, encode_sums, sums_of, sums_of_table
from modelfloat.cas.packs.scrutiny import read_footer
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.storestats import KindStats, RepositoryStats
from modelfloat.cli.main import run
from modelfloat.errors import IndexDamagedError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support import samples
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, weights

TEXT = b"".join(b"%d words in a row\n" % number for number in range(150_000))


async def kinds(store: Store) -> set[KindStats]:
    """Chunks by element type and codec, read from a footer of every data pack."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for pack in store.index.packs():
        if pack.kind is Kind.OBJECT:
            continue
        footer = await read_footer(store.pool, pack, pack.n - 1)
        assert footer.chunks is not None
        for chunk in footer.chunks:
            name = ElementType(chunk.element).name.lower(), CODECS[chunk.codec].name
            found[name].update(chunks=1, raw=chunk.raw, stored=chunk.stored)
    return {KindStats(*name, c["chunks"], c["raw"], c["stored"]) for name, c in found.items()}


def repositories(store: Store) -> list[RepositoryStats]:
    """What each repository takes, chunk by chunk."""
    return [_repository(store, str(repo)) for repo in store.refs.repositories()]


def _repository(store: Store, name: str) -> RepositoryStats:
    files, logical = 0, 0
    chunks = {}
    commits = {head.commit for head in store.index.refs(parse_address(name).repo)}
    for commit in commits:
        for entry in store.objects.directory(store.objects.commit(commit).tree).entries():
            files, logical = files + 1, logical + entry.size
            recipe = store.objects.recipe(store.objects.manifest(entry.object))
            for span in recipe.all():
                chunks[span.id] = max(store.index.locate([span.id])[0], key=lambda p: p.pack)
    encoded: Counter[int] = Counter()
    for place in chunks.values():
        encoded[place.pack] += place.stored
    stored = 0
    for pack in store.index.packs():
        whole = sum(shard_size(pack, index) for index in range(pack.n))
        stored += encoded[pack.number] * whole // pack.length
    unique = sum(place.raw for place in chunks.values())
    return RepositoryStats(name, files, logical, unique, encoded.total(), stored)


async def check(store: Store) -> None:
    report = await store.stats()
    assert set(report.kinds) == await kinds(store)
    assert len(set(report.kinds)) == len(report.kinds)
    assert list(report.by_repository or ()) == repositories(store)
    assert report.uncounted == 0
    assert sum(kind.raw for kind in report.kinds) == report.unique
    assert sum(kind.encoded for kind in report.kinds) == report.encoded
    assert report.encoded + report.objects == sum(pack.length for pack in store.index.packs())
    assert sum(kind.chunks for kind in report.kinds) == report.chunks
    assert sum(each.logical for each in report.by_repository or ()) == report.logical


async def fill(store: Store, folder: Path) -> None:
    """Three repositories: the first two share a file, the first has two branches."""
    for name in ("one", "two", "three"):
        (folder / name).mkdir()
        (folder / name / "own.txt").write_bytes(name.encode() + TEXT)
        if name != "three":
            weights(folder / name / "w.safetensors", 6_000_000)
        await add(store, folder / name, f"acme/{name}")
    (folder / "one" / "more").write_bytes(noise("more", 3_000_000))
    await add(store, folder / "one", "acme/one@next")


async def test_what_a_plain_walk_finds(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await check(store)
        await fill(store, tmp_path)
        await check(store)
        report = await store.stats()
        one, three, two = report.by_repository or ()
        assert (one.name, three.name, two.name) == ("acme/one", "acme/three", "acme/two")
        assert one.unique + two.unique + three.unique > report.unique
        assert {kind.codec for kind in report.kinds} >= {"raw", "zstd"}
        await store.remove(parse_address("acme/one"))
        await store.gc(grace=0)
        await check(store)
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    async with open_store(str(tmp_path / "store")) as store:
        await check(store)


def make_earlier(store: Path) -> None:
    """The index as the release before made it: format 2, without sums."""
    with lmdb.open(str(store / "index"), max_dbs=32, map_size=1 << 30) as env:
        db = env.open_db(b"sums")
        with env.begin(write=True) as txn:
            txn.drop(db)
        with env.begin(write=True, db=env.open_db(b"meta")) as txn:
            txn.put(b"format", b"2")


async def test_an_earlier_index_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store"
    async with fresh_store(path, "2+1") as store:
        await fill(store, tmp_path)
        before = await store.stats()
    make_earlier(path)
    os.rename(path / "backends", tmp_path / "away")
    async with open_store(str(path)) as store:
        report = await store.stats()
        packs = [pack for pack in store.index.packs() if pack.kind is Kind.DATA]
        assert (report.kinds, report.uncounted) == ((), len(packs))
        assert report.unique == before.unique
    os.rename(tmp_path / "away", path / "backends")
    async with open_store(str(path)) as store:
        assert (await store.stats()).kinds == before.kinds
        assert {pack.kind for pack in store.index.uncounted()} == {Kind.OBJECT}
        await add(store, tmp_path / "two", "acme/four")
        await check(store)
    monkeypatch.setattr("modelfloat.cas.uncounted.read_footer", None)
    async with open_store(str(path)) as store:
        assert (await store.stats()).kinds == before.kinds


async def test_many_files_are_counted_by_repository_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that share one chunk have a manifest each, or an entry in a tree, to be read."""
    (tmp_path / "src").mkdir()
    for number in range(40):
        (tmp_path / "src" / f"{number}").write_bytes(b"the same")
    async with fresh_store(tmp_path / "store", "1+1") as store:
        for name in ("one", "two"):
            await add(store, tmp_path / "src", f"acme/{name}")
        monkeypatch.setattr(usage, "FEW", 81)
        await check(store)
        monkeypatch.setattr(usage, "FEW", 80)
        assert (await store.stats()).by_repository is None
        assert len((await store.stats(by_repository=True)).by_repository or ()) == 2


async def test_an_index_that_cannot_be_written_hides_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await fill(store, tmp_path)
        before = await store.stats()
    make_earlier(tmp_path / "store")

    def full(index: Index, counted: object) -> None:
        raise IndexDamagedError("there is no space left for the index")

    monkeypatch.setattr(Index, "note_sums", full)
    async with open_store(str(tmp_path / "store")) as store:
        assert (await store.stats()).kinds == before.kinds
    assert "count these packs again: there is no space left" in caplog.text


async def test_sums_of_a_pack_that_went_meanwhile_are_not_kept(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await fill(store, tmp_path)
        counted = {pack: sums_of(()) for pack in store.index.packs()}
        await store.remove(parse_address("acme/three"))
        await store.gc(grace=0)
        left = {pack.number for pack in store.index.packs()}
        assert {pack.number for pack in counted} - left
        store.index.note_sums(counted)
        with store.index._reading("sums") as txn:
            assert txn.stat(store.index._dbs.sums)["entries"] == len(left)


async def test_many_chunks_are_counted_by_repository_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await fill(store, tmp_path)
        monkeypatch.setattr(usage, "FEW", 3)
        assert (await store.stats()).by_repository is None
        assert len((await store.stats(by_repository=True)).by_repository or ()) == 3
    command = ["--store", str(tmp_path / "store"), "stats"]
    assert await trio.to_thread.run_sync(run, command) == 0
    assert "is counted by `modelfloat stats -l`" in capsys.readouterr().out
    assert await trio.to_thread.run_sync(run, [*command, "-l"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if line.startswith("acme/two"))
    assert row.split()[:2] == ["acme/two", "2"]
    assert any(line.split()[:2] == ["unknown", "zstd"] for line in lines)


async def test_a_manifest_that_is_missing_hides_no_other_figures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await fill(store, tmp_path)
        before = await store.stats()
        lost = store.find(parse_address("acme/two/own.txt")).object
        await store.index.write(store.index.drop_objects, [lost])
        after = await store.stats()
        # Others use the disk too, so what is free on it may be less or more by now.
        assert replace(after, backends=before.backends) == replace(before, by_repository=None)
        (record,) = (r for r in caplog.records if "what each repository takes" in r.message)
        assert record.levelname == "WARNING"
        assert lost.hex()[:16] in record.message
        with pytest.raises(IndexDamagedError):
            await store.stats(by_repository=True)


def test_sums_from_chunks_and_from_a_table_are_alike() -> None:
    chunks = samples.chunks()
    table = check_table(encode_table(chunks), sum(chunk.stored for chunk in chunks))
    sums = sums_of(chunks)
    assert sums_of_table(table) == sums
    assert decode_sums(encode_sums(sums)) == sums
    assert sum(each.chunks for each in sums) == len(chunks)
