"""`move`: sources go when nothing can be lost by it, and only those."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cas.add import moving, readback
from modelfloat.cas.add.committing import Committer
from modelfloat.cas.add.report import AddReport
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import NotFoundError, UsageError
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    fresh_store,
    read,
    shard_files,
    truncate,
    weights,
)


async def move(store: Store, *sources: Path | str, to: str = "acme/m") -> AddReport:
    request = AddRequest([str(s) for s in sources], parse_address(to), move=True)
    return await store.carry_out(request)


def left(folder: Path) -> list[str]:
    """Everything below a folder, by its path there."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def test_a_folder_is_moved_in(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "sub" / "empty").mkdir(parents=True)
    data = weights(source / "model.safetensors", 6_000_000)
    (source / "sub" / "small").write_bytes(b"small")
    (source / "nothing").write_bytes(b"")
    (source / "link").symlink_to("sub/small")
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source)
        assert (report.moved, report.moved_bytes, report.kept) == (3, report.logical, [])
        assert left(source) == []
        assert await read(store, "acme/m/model.safetensors") == data
        assert await read(store, "acme/m/sub/small") == b"small"
        commit = store.refs.resolve(report.repo)
        link = store.objects.find(store.objects.commit(commit).tree, (b"link",))
        assert link is not None
        assert link.target == b"sub/small"
        assert store.find(parse_address("acme/m/sub/empty")).size == 0
        again = await move(store, source)
        assert (again.moved, again.commit) == (0, None)
        assert await read(store, "acme/m/model.safetensors") == data


async def test_what_was_left_out_or_skipped_stays_with_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "src"
    (source / "a").mkdir(parents=True)
    (source / "b").mkdir()
    for name in ("a/in", "a/out.log", "b/in"):
        (source / name).write_bytes(name.encode())
    os.mkfifo(source / "pipe")
    async with fresh_store(tmp_path / "store") as store:
        where = parse_address("acme/m")
        report = await store.carry_out(
            AddRequest([str(source)], where, move=True, exclude=["*.log"])
        )
        assert (report.moved, report.kept) == (2, [])
        assert left(source) == ["a", "a/out.log", "pipe"]


async def test_links_go_and_what_they_lead_to_elsewhere_stays(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "1"
    blobs.mkdir(parents=True)
    (blobs / "folder").mkdir()
    (blobs / "folder" / "inner").write_bytes(b"inner")
    (blobs / "abc").write_bytes(b"weights")
    snapshot.mkdir(parents=True)
    (snapshot / "model").symlink_to("../../blobs/abc")
    (snapshot / "folder").symlink_to("../../blobs/folder")
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, snapshot)
        assert left(blobs) == ["abc", "folder", "folder/inner"]
        assert left(snapshot) == ["folder"]
        assert report.moved == 1
        assert [line.split(": ", 1)[1] for line in report.kept] == [
            "it lies in a folder elsewhere, which a link leads to"
        ]
        assert await read(store, "acme/m/model") == b"weights"
        assert await read(store, "acme/m/folder/inner") == b"inner"


async def test_files_that_are_named_go_themselves(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_bytes(b"a")
    (source / "target").write_bytes(b"t")
    (source / "b").symlink_to("target")
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source / "a", source / "b")
        assert (report.moved, report.kept) == (2, [])
        assert left(source) == ["target"]


async def test_both_names_of_one_file_go(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_bytes(b"x")
    os.link(source / "a", source / "b")
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source)
        assert (report.moved, report.kept, left(source)) == (2, [], [])


async def test_sources_that_were_moved_already_are_no_error_when_repeated(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    async with fresh_store(tmp_path / "store") as store:
        await move(store, tmp_path / "a")
        report = await move(store, tmp_path / "a", tmp_path / "b")
        assert report.moved == 1
        assert report.warnings == [f"{tmp_path / 'a'} was moved already"]
        await move(store, tmp_path / "a", to="acme/m/a")
        with pytest.raises(NotFoundError):
            await move(store, tmp_path / "never")
        with pytest.raises(NotFoundError):
            await move(store, tmp_path / "a", to="acme/other")


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    """Other bytes with the same size and mtime, as after a change in one tick of the clock."""
    status = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    status = path.stat()
    new = path.with_name("new")
    new.write_bytes(b"other")
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(new, path)


@pytest.mark.parametrize("change", [grow, rewrite, replaced])
async def test_a_source_that_changed_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(name.encode() * 5)
    real = Committer.run

    async def run(*arguments: object) -> object:
        commit = await real(*arguments)  # type: ignore[arg-type]
        change(source / "a")
        return commit

    monkeypatch.setattr(Committer, "run", run)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source)
        assert left(source) == ["a"]
        assert report.moved == 1
        assert report.kept == [f"{source / 'a'}: it changed after it was read; add it again"]
        assert await read(store, "acme/m/a") == b"aaaaa"
        monkeypatch.undo()
        assert (await move(store, source)).kept == []
        assert left(source) == []


async def test_a_young_source_is_compared_byte_by_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"aaaaa")
    real = Committer.run

    async def run(*arguments: object) -> object:
        commit = await real(*arguments)  # type: ignore[arg-type]
        (tmp_path / "a").write_bytes(b"other")
        return commit

    monkeypatch.setattr(Committer, "run", run)
    # As if the change had left no trace.
    monkeypatch.setattr(moving.Mover, "_has_same_status", lambda *_: True)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, tmp_path / "a")
        assert (report.moved, len(report.kept)) == (0, 1)
        assert (tmp_path / "a").read_bytes() == b"other"


@pytest.mark.parametrize("hurt", [lambda p: flip_bit(p, 100), lambda p: truncate(p, 9), os.unlink])
async def test_nothing_goes_when_a_shard_is_not_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hurt: Callable[[Path], None]
) -> None:
    source = tmp_path / "src"
    source.mkdir()
    weights(source / "w", 6_000_000)
    real = Committer.run

    async def run(*arguments: object) -> object:
        commit = await real(*arguments)  # type: ignore[arg-type]
        # Parity, which reading alone would never notice.
        hurt(next(p for p in data_shards(tmp_path / "store") if p.name == "5-4-2"))
        return commit

    monkeypatch.setattr(Committer, "run", run)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source)
        assert (report.moved, left(source)) == (0, ["w"])
        assert "verify --repair" in report.kept[0]
        monkeypatch.undo()
        await store.verify(repair=True)
        assert (await move(store, source)).kept == []
        assert left(source) == []


async def test_damage_to_what_was_stored_before_keeps_only_the_files_that_need_it(
    tmp_path: Path,
) -> None:
    source = tmp_path / "src"
    source.mkdir()
    weights(source / "old", 6_000_000)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source / "old")
        flip_bit(data_shards(tmp_path / "store")[-1], 50)
        (source / "new").write_bytes(noise("new", 2_000_000))
        report = await move(store, source)
        assert (report.moved, left(source)) == (1, ["old"])


async def test_a_lost_manifest_pack_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    real = Committer.run

    async def run(*arguments: object) -> object:
        commit = await real(*arguments)  # type: ignore[arg-type]
        for path in shard_files(tmp_path / "store"):
            path.unlink()
        return commit

    monkeypatch.setattr(Committer, "run", run)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, tmp_path / "a")
        assert (report.moved, len(report.kept)) == (0, 1)
        assert (tmp_path / "a").read_bytes() == b"a"


async def test_a_branch_that_has_moved_on_keeps_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "b").write_bytes(b"theirs")
    real = Committer.run
    async with fresh_store(tmp_path / "store") as store:

        async def run(*arguments: object) -> object:
            commit = await real(*arguments)  # type: ignore[arg-type]
            monkeypatch.setattr(Committer, "run", real)
            await add(store, tmp_path / "b", "acme/m/a")
            return commit

        monkeypatch.setattr(Committer, "run", run)
        report = await move(store, tmp_path / "a")
        assert report.kept == [
            f"{tmp_path / 'a'}: the branch has something else there by now; add it again"
        ]
        assert (tmp_path / "a").read_bytes() == b"mine"


async def test_a_file_that_may_not_be_unlinked_stays_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: bytes) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(moving, "unlink", refuse)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, tmp_path / "a")
        assert report.kept == [f"{tmp_path / 'a'}: Permission denied"]


async def test_a_wrong_whole_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that are right each, but not in the order of the file."""
    source = tmp_path / "w"
    weights(source, 6_000_000)
    real = readback.extents
    monkeypatch.setattr(
        readback, "extents", lambda spans, longest: reversed(list(real(spans, longest)))
    )
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, source)
        assert "not what was read" in report.kept[0]
        assert source.exists()


async def test_the_stores_own_folders_are_refused(tmp_path: Path) -> None:
    from modelfloat.creating import BackendSpec

    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_bytes(b"a")
    backends = (BackendSpec("d", str(tmp_path / "disk" / "mf")),)
    async with fresh_store(tmp_path / "store", "1+1", backends) as store:
        for source in ("store", "store/index", "disk/mf"):
            with pytest.raises(UsageError, match="the store itself"):
                await move(store, tmp_path / source)
        report = await move(store, tmp_path / "disk")
        assert report.moved == 1
        assert (tmp_path / "disk" / "mf" / "modelfloat.json").exists()
        assert (await store.verify()).exit_status == 0


async def test_moving_and_syncing_at_once_is_refused(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    request = AddRequest([str(tmp_path / "src")], parse_address("a/b"), move=True, sync=True)
    async with fresh_store(tmp_path / "store") as store:
        with pytest.raises(UsageError, match="do not go together"):
            await store.carry_out(request)


async def test_a_file_with_pages_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.cas.formats.manifest.INLINE_CHUNKS", 2)
    monkeypatch.setattr("modelfloat.cas.formats.manifest.PAGE_CHUNKS", 3)
    data = weights(tmp_path / "w", 9_000_000)
    async with fresh_store(tmp_path / "store") as store:
        report = await move(store, tmp_path / "w")
        assert (report.moved, report.kept) == (1, [])
        entry = store.find(parse_address("acme/m/w"))
        assert len(store.objects.manifest(entry.object).pages) > 2
        assert await read(store, "acme/m/w") == data
