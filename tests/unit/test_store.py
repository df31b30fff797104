"""Adding and reading back: what goes in comes out, and what is there is not stored again."""

import os
from pathlib import Path

import pytest

from modelfloat.backendchanges import add_backend
from modelfloat.cas.add import smallfiles
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import BackendSpec, create_store
from modelfloat.errors import (
    ExistsError,
    FormatError,
    MarkerError,
    ModelFloatError,
    NotFoundError,
    SourceChangedError,
    UsageError,
)
from modelfloat.opening import open_store
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


async def test_a_model_comes_back(tmp_path: Path) -> None:
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, tmp_path / "model.safetensors")
        assert (report.files, report.logical, report.new) == (1, len(data), len(data))
        assert report.stored > report.encoded > 0
        assert await read(store, "acme/model/model.safetensors") == data
        file = store.open_file(parse_address("acme/model/model.safetensors"))
        assert file.size == len(data)
        assert bytes(await file.read(len(data) - 5, 100)) == data[-5:]
        assert bytes(await file.read(len(data), 1)) == b""
        assert bytes(await file.read(1_048_570, 12)) == data[1_048_570:1_048_582]


async def test_what_is_there_is_not_stored_again(tmp_path: Path) -> None:
    weights(tmp_path / "a.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "a.safetensors")
        before = shard_files(tmp_path / "store")
        again = await add(store, tmp_path / "a.safetensors")
        assert (again.new, again.stored, again.commit) == (0, 0, None)
        assert again.deduplicated == again.logical
        assert shard_files(tmp_path / "store") == before
        os.rename(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
        moved = await add(store, tmp_path / "b.safetensors", "other/name")
        assert (moved.new, moved.encoded) == (0, 0)
        assert moved.commit is not None


async def test_a_fine_tune_costs_its_difference(tmp_path: Path) -> None:
    data = bytearray(weights(tmp_path / "base.safetensors"))
    data[-100:] = bytes(100)
    (tmp_path / "tuned.safetensors").write_bytes(data)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "base.safetensors")
        report = await add(store, tmp_path / "tuned.safetensors")
        assert report.new <= 1_000_000
        assert await read(store, "acme/model/tuned.safetensors") == data


async def test_a_folder_keeps_its_shape(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "empty").mkdir(parents=True)
    (source / "config.json").write_text("{}")
    (source / "nothing").write_bytes(b"")
    (source / "sub" / "größe \n.txt").write_text("ä")
    (source / os.fsdecode(b"\xff.bin")).write_bytes(b"not utf-8")
    (source / "run.sh").write_text("#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "latest").symlink_to("sub")
    (tmp_path / "blob").write_bytes(b"outside")
    (source / "snapshot").symlink_to("../blob")
    (source / "loop").mkdir()
    (source / "loop" / "up").symlink_to(source)
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("x")
    (source / "x.incomplete").write_text("x")
    os.mkfifo(source / "pipe")
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        commit = store.objects.commit(store.refs.resolve(parse_address("acme/model").repo))
        tree = store.objects.directory(commit.tree)
        names = {os.fsdecode(e.name): e for e in tree.entries()}
        assert set(names) == {
            "config.json", "latest", "loop", "nothing", "run.sh", "snapshot", "sub",
            os.fsdecode(b"\xff.bin"),
        }  # fmt: skip
        assert names["latest"].target == b"sub"
        assert names["run.sh"].mode == 0o755
        assert len(report.skipped) == 2
        assert await read(store, "acme/model/snapshot") == b"outside"
        assert await read(store, "acme/model/nothing") == b""
        assert await read(store, "acme/model/sub/größe \n.txt") == "ä".encode()
        assert store.find(parse_address("acme/model/sub/empty")).size == 0


async def test_paths_are_taken_as_cp_takes_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "a", "acme/model/dir/renamed")
        assert await read(store, "acme/model/dir/renamed") == b"a"
        await add(store, tmp_path / "b", "acme/model/dir")
        assert await read(store, "acme/model/dir/b") == b"b"
        both = [str(tmp_path / "a"), str(tmp_path / "b")]
        await store.add(both, parse_address("acme/model/two"))
        assert await read(store, "acme/model/two/b") == b"b"


async def test_history_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "a"
    async with fresh_store(tmp_path / "store") as store:
        for text in ("one", "two", "three"):
            source.write_text(text)
            await add(store, source)
        assert await read(store, "acme/model/a") == b"three"
        assert await read(store, "acme/model@main~2/a") == b"one"
        commit = store.refs.resolve(parse_address("acme/model").repo, "main~1")
        assert await read(store, f"acme/model@{commit.hex()[:10]}/a") == b"two"
        await store.add([str(source)], parse_address("acme/model"), tag="v1")
        source.write_text("four")
        await add(store, source)
        assert await read(store, "acme/model@v1/a") == b"three"
        with pytest.raises(ExistsError, match="a tag v1 already"):
            await store.add([str(source)], parse_address("acme/model"), tag="v1")
        await add(store, source, "acme/model@dev")
        assert await read(store, "acme/model@dev/a") == b"four"


async def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        (tmp_path / "a").write_text("a")
        await add(store, tmp_path / "a")
        for address, problem in [
            ("acme/other/a", "no repository acme/other"),
            ("acme/model/b", "acme/model/b is not there; `modelfloat ls acme/model` shows"),
            (
                "acme/model@main/b",
                "model@main/b is not there; `modelfloat ls acme/model@main` shows",
            ),
            ("acme/model@nope/a", "no branch, tag or commit 'nope'"),
            ("acme/model@main~1/a", "history is shorter"),
            ("acme/model@main~999999999999/a", "history is shorter"),
        ]:
            with pytest.raises(NotFoundError, match=problem):
                store.open_file(parse_address(address))
        with pytest.raises(UsageError, match="name a file in it"):
            store.open_file(parse_address("acme/model"))
        with pytest.raises(NotFoundError, match="No such file"):
            await add(store, tmp_path / "missing")


async def test_many_small_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(600):
        (source / f"{number:04}").write_bytes(noise(f"{number % 500}", number))
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, source)
        assert report.files == 600
        for number in (0, 1, 123, 599):
            expected = noise(f"{number % 500}", number)
            assert await read(store, f"acme/model/{number:04}") == expected
    # A file's journal, index and refs outlive the process.
    async with open_store(str(tmp_path / "store")) as store:
        assert len(await read(store, "acme/model/0599")) == 599


async def test_a_file_that_changes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a"
    source.write_bytes(bytes(10))
    real = smallfiles.open_item

    def touch_then_open(item: smallfiles.Item) -> int:
        source.write_bytes(bytes(20))
        return real(item)

    monkeypatch.setattr(smallfiles, "open_item", touch_then_open)
    async with fresh_store(tmp_path / "store") as store:
        with pytest.raises(SourceChangedError, match="add it again"):
            await add(store, source)
        assert store.refs.repositories() == []


async def test_init_refuses_what_is_there(tmp_path: Path) -> None:
    await create_store(str(tmp_path / "store"), None, [], reserve=0)
    with pytest.raises(ExistsError, match="is a store already"):
        await create_store(str(tmp_path / "store"), None, [], reserve=0)


@pytest.mark.parametrize(
    ("count", "scheme"), [(1, "8+1"), (2, "1+1"), (3, "2+1"), (4, "2+2"), (5, "3+2"), (6, "4+2")]
)
async def test_the_scheme_follows_the_backends(tmp_path: Path, count: int, scheme: str) -> None:
    specs = [BackendSpec(f"b{i}", str(tmp_path / f"b{i}")) for i in range(count)]
    report = await create_store(str(tmp_path / "store"), None, specs, reserve=0)
    assert str(report.scheme) == scheme
    (tmp_path / "f").write_bytes(noise("f", 3_000_000))
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "f")
        assert await read(store, "acme/model/f") == noise("f", 3_000_000)
        assert not (await store.verify()).problems


async def test_a_backend_joins(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(noise("f", 3_000_000))
    async with fresh_store(tmp_path / "store", "2+1"):
        pass
    await add_backend(str(tmp_path / "store"), "extra", str(tmp_path / "extra"), "elsewhere")
    with pytest.raises(ExistsError, match="has a backend extra already"):
        await add_backend(str(tmp_path / "store"), "extra", str(tmp_path / "x"))
    async with open_store(str(tmp_path / "store")) as store:
        assert len(store.members.up()) == 4
        await add(store, tmp_path / "f")
        statuses = {status.name: status for status in await store.backends()}
        assert statuses["extra"].shards > 0
        assert statuses["extra"].domain == "elsewhere"


async def test_a_backend_whose_adding_was_interrupted_joins_when_it_is_added_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "store")
    async with fresh_store(tmp_path / "store", "2+1"):
        pass

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelfloat.backendchanges.write_config", die)
    with pytest.raises(KeyboardInterrupt):
        await add_backend(path, "extra", str(tmp_path / "extra"))
    monkeypatch.undo()
    await add_backend(path, "extra", str(tmp_path / "extra"))
    async with open_store(path) as store:
        assert len(store.members.up()) == 4


async def test_a_newer_index_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.cas.index.index.FORMAT", b"5")
    with pytest.raises(FormatError, match=r"has format '5', this release reads up to '4'; upgrade"):
        async with fresh_store(tmp_path / "store"):
            pass


async def test_names_are_not_hidden_by_new_ones(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    async with fresh_store(tmp_path / "store") as store:
        commit = (await add(store, tmp_path / "a")).commit
        assert commit is not None
        await store.add([str(tmp_path / "a")], parse_address("acme/model"), tag="v1")
        for address in ("acme/model@v1", f"acme/model@{commit.hex()[:12]}"):
            with pytest.raises(ExistsError, match="choose"):
                await add(store, tmp_path / "a", address)
        with pytest.raises(UsageError, match="choose another tag"):
            await store.add([str(tmp_path / "a")], parse_address("acme/model"), tag="main")
        await add(store, tmp_path / "a", "acme/model@dev")
        with pytest.raises(ExistsError, match="has a branch dev"):
            await store.add([str(tmp_path / "a")], parse_address("acme/model"), tag="dev")


async def test_what_is_named_must_be_storable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with fresh_store(tmp_path / "store") as store:
        for source in (tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(ModelFloatError, match="neither a file nor a folder"):
                await add(store, source)


async def test_a_slash_at_the_end_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "a", "acme/model/folder/")
        assert await read(store, "acme/model/folder/a") == b"a"


async def test_the_store_is_not_added_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, tmp_path)
        assert report.files == 1
        assert any("the store itself" in line for line in report.skipped)


async def test_a_clash_is_told_before_anything_is_stored(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for folder in ("one", "two"):
        (tmp_path / folder / "same").write_text(folder)
    async with fresh_store(tmp_path / "store") as store:
        both = [str(tmp_path / "one"), str(tmp_path / "two")]
        with pytest.raises(UsageError, match="same is added twice"):
            await store.add(both, parse_address("acme/model"))
        assert shard_files(tmp_path / "store") == []


async def test_a_failed_init_leaves_no_marks(tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    twice = [BackendSpec("a", place), BackendSpec("b", place)]
    with pytest.raises(MarkerError):
        await create_store(str(tmp_path / "store"), None, twice)
    await create_store(str(tmp_path / "store"), None, twice[:1], reserve=0)
    with pytest.raises(UsageError, match="keeps nothing"):
        await create_store(str(tmp_path / "other"), None, [BackendSpec("m", "memory://x")])


async def test_deep_folders(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    deep = source.joinpath(*["d"] * 390)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, source)
        assert await read(store, "acme/model/" + "d/" * 390 + "file") == b"deep"
        assert (await store.stats()).files == 1
        (deep / "e").joinpath(*["e"] * 30).mkdir(parents=True)
        with pytest.raises(ModelFloatError, match="nests deeper"):
            await add(store, source)


async def test_a_file_that_becomes_a_pipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a"
    source.write_bytes(bytes(10))
    real = smallfiles.open_item

    def swap_then_open(item: smallfiles.Item) -> int:
        source.unlink()
        os.mkfifo(source)
        return real(item)

    monkeypatch.setattr(smallfiles, "open_item", swap_then_open)
    async with fresh_store(tmp_path / "store") as store:
        with pytest.raises(SourceChangedError, match="add it again"):
            await add(store, source)


async def test_a_file_in_the_current_folder_is_named_without_a_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r").write_bytes(b"here")
    monkeypatch.chdir(tmp_path)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, Path("r"))
        assert await read(store, "acme/model/r") == b"here"
