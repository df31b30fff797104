"""Files that are as an earlier add has read them are not read again, as long as all is stored."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.add import filepass, largefiles, smallfiles, unchanged
from modelfloat.cas.add.report import AddReport
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.add.scan import Item
from modelfloat.cas.formats.journal import NO_ID
from modelfloat.cas.index.checknotes import Check
from modelfloat.cas.index.index import Index
from modelfloat.cas.index.records import ShardState
from modelfloat.cas.index.sourcerows import SourceRow, source_key
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ModelFloatError, QuotaError
from modelfloat.ids import ObjectId
from modelfloat.tests.support import samples
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store, read, weights


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that were opened to be read; files count as old enough at once."""
    names: list[str] = []
    real = largefiles.open_item

    def open_item(item: Item) -> int:
        names.append(os.path.basename(os.fsdecode(item.source)))
        return real(item)

    for module in (largefiles, smallfiles):
        monkeypatch.setattr(module, "open_item", open_item)
    monkeypatch.setattr(unchanged, "RACY", 0)
    return names


async def add(store: Store, *sources: Path, **more: object) -> AddReport:
    where = parse_address("acme/model")
    request = AddRequest([str(s) for s in sources], where, **more)  # type: ignore[arg-type]
    return await store.carry_out(request)


def folder(path: Path) -> Path:
    path.mkdir()
    weights(path / "large", 5_000_000)
    (path / "small").write_bytes(noise("small", 3_000))
    (path / "empty").write_bytes(b"")
    return path


async def test_nothing_is_read_twice(tmp_path: Path, opened: list[str]) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        first = await add(store, source)
        assert (first.unchanged, first.unchanged_files, first.already) == (0, 0, 0)
        assert sorted(opened) == ["empty", "large", "small"]
        opened.clear()
        again = await add(store, source)
        assert opened == []
        assert again.commit is None
        assert (again.unchanged, again.unchanged_files) == (first.logical, 3)
        assert again.logical == again.deduplicated == again.already == first.logical
        assert (await add(store, source, reread=True)).unchanged_files == 0
        assert sorted(opened) == ["empty", "large", "small"]


@pytest.mark.parametrize("keep_mtime", [False, True])
async def test_a_changed_file_is_read(tmp_path: Path, opened: list[str], keep_mtime: bool) -> None:
    source = folder(tmp_path / "src")
    small = source / "small"
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        before = small.stat()
        small.write_bytes(noise("other", 3_000))
        if keep_mtime:
            os.utime(small, ns=(before.st_atime_ns, before.st_mtime_ns))
        await add(store, source)
        assert opened == ["small"]
        assert await read(store, "acme/model/small") == noise("other", 3_000)


async def test_another_file_in_its_place_is_read(tmp_path: Path, opened: list[str]) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        (tmp_path / "new").write_bytes(noise("other", 3_000))
        os.replace(tmp_path / "new", source / "small")
        await add(store, source)
        assert opened == ["small"]


async def test_a_moved_file_is_known_by_its_inode(tmp_path: Path, opened: list[str]) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        os.rename(source, tmp_path / "elsewhere")
        await add(store, tmp_path / "elsewhere")
        assert opened == []


async def test_files_too_young_to_tell_are_read_again(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, "RACY", 3600 * 10**9)
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        await add(store, source)
        assert sorted(opened) == ["empty", "large", "small"]
        assert len(store.index.sources) == 0


async def test_what_is_not_whole_any_more_is_read_and_stored_again(
    tmp_path: Path, opened: list[str]
) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        for pack in store.index.packs():
            if pack.raw > 4_000_000:
                store.index.note_checks([Check(pack.number, (ShardState.DAMAGED,) * pack.n, 1)])
        report = await add(store, source)
        assert opened == ["large"]
        assert report.new > 4_000_000
        opened.clear()
        assert (await add(store, source)).unchanged_files == 3


async def test_lost_objects_make_files_read_again(tmp_path: Path, opened: list[str]) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        opened.clear()
        for pack in store.index.packs():
            if pack.raw < 4_000:
                store.index.note_checks([Check(pack.number, (ShardState.MISSING,) * pack.n, 1)])
        await add(store, source)
        assert set(opened) >= {"large", "small"}


async def test_sha256_is_made_where_it_is_lacking(tmp_path: Path, opened: list[str]) -> None:
    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source, sha256=False)
        opened.clear()
        await add(store, source, sha256=True)
        assert sorted(opened) == ["empty", "large", "small"]
        opened.clear()
        await add(store, source, sha256=True)
        await add(store, source, sha256=False)
        assert opened == []


async def test_an_interrupted_add_goes_on_where_it_was(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filepass, "CHECKPOINT", 1)
    files = [tmp_path / name for name in ("a", "b", "c")]
    data = [weights(path, 5_000_000, path.name) for path in files]
    async with fresh_store(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            real = largefiles.check_unchanged

            def check(fd: int, item: Item) -> None:
                if item.source.endswith(b"/c"):
                    raise QuotaError("injected")
                real(fd, item)

            patch.setattr(largefiles, "check_unchanged", check)
            with pytest.raises(QuotaError, match="injected"):
                await add(store, *files)
        assert store.index.refs() == []
        opened.clear()
        # What lay in a pack that was not full yet is read again; the manifests are all there.
        report = await add(store, *files)
        assert report.new < report.logical
        opened.clear()
        assert (await add(store, *files)).unchanged_files == 3
        for path, content in zip(files, data, strict=True):
            assert await read(store, f"acme/model/{path.name}") == content


async def test_a_part_of_a_file_is_noted_and_counts_for_nothing_else(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filepass, "CHECKPOINT", 8 << 20)
    weights(tmp_path / "large", 40_000_000)

    def fail(fd: int, item: Item) -> None:
        raise QuotaError("injected")

    async with fresh_store(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(largefiles, "check_unchanged", fail)
            with pytest.raises(QuotaError, match="injected"):
                await add(store, tmp_path / "large")
        [(_, row)] = store.index.sources.each()
        assert 8 << 20 <= row.stored < row.size
        assert row.manifest == NO_ID
        opened.clear()
        await add(store, tmp_path / "large")
        assert opened == ["large"]
        [(_, row)] = store.index.sources.each()
        assert row.stored == row.size


async def test_an_index_that_cannot_take_it_costs_only_time(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_rows: object) -> None:
        raise ModelFloatError("injected")

    source = folder(tmp_path / "src")
    async with fresh_store(tmp_path / "store") as store:
        monkeypatch.setattr(store.index.sources, "put", fail)
        assert (await add(store, source)).commit is not None


def row(seen: int) -> SourceRow:
    return SourceRow(10, 1, 2, 10, seen, ObjectId(NO_ID))


@pytest.mark.parametrize(("times", "kept"), [(range(100), range(60, 100)), ([7] * 100, [7] * 40)])
def test_rows_met_longest_ago_are_pruned(tmp_path: Path, times: list[int], kept: list[int]) -> None:
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    index.sources.put({source_key(1, i): row(seen) for i, seen in enumerate(times)})
    unchanged.prune(index.sources, 1000)
    assert len(index.sources) == 100
    unchanged.prune(index.sources, 40)
    assert [row.seen for _, row in index.sources.each()] == list(kept)
    index.close()


def test_rows_are_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.cas.index.sourcerows.BATCH", 7)
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    rows = {source_key(0, i): replace(row(i), stored=i) for i in range(50)}
    index.sources.put(rows)
    assert dict(index.sources.each()) == rows
    index.sources.delete([source_key(0, 3), source_key(0, 99)])
    assert len(index.sources) == 49
    index.close()
