"""Importing Hugging Face caches: every snapshot under its commit, checked, and only once."""

import os
from pathlib import Path

import pytest

from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import NotFoundError, UsageError
from modelfloat.hub.hfcache import read_cache
from modelfloat.hub.importing import Adding, ImportReport, import_cache
from modelfloat.tests.support.hfcaches import HfRepository, commit_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import flip_bit, fresh_store, read

OLD, NEW = commit_of("old"), commit_of("new")
WEIGHTS = noise("weights", 5_000_000)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def llama(cache: Path) -> HfRepository:
    """Two snapshots that share their weights; main is at the newer one."""
    repository = HfRepository(cache, "models--acme--llama")
    weights = repository.blob(WEIGHTS, large=True)
    repository.snapshot(OLD, {"config.json": repository.blob(b"{}"), "model.bin": weights})
    new = repository.snapshot(
        NEW,
        {"config.json": repository.blob(b'{"v": 2}'), "model.bin": weights, "onnx/x": weights},
        ref="main",
    )
    os.utime(new.parent / OLD, (1_000_000_000, 1_000_000_000))
    return repository


async def run(store: Store, cache: Path) -> ImportReport:
    return await import_cache(store, str(cache), Adding("Ada"))


def refs(store: Store, repo: str) -> set[str]:
    return {head.ref for head in store.refs.heads(RepoName(*repo.split("/")))}


async def test_every_snapshot_has_its_commit(
    cache: Path, llama: HfRepository, tmp_path: Path
) -> None:
    async with fresh_store(tmp_path / "store") as store:
        report = await run(store, cache)
        assert (report.exit_status, report.failed, report.skipped) == (0, [], [])
        assert refs(store, "acme/llama") == {OLD, NEW, "main"}
        assert await read(store, f"acme/llama@{OLD}/config.json") == b"{}"
        assert await read(store, f"acme/llama@{NEW}/onnx/x") == WEIGHTS
        assert await read(store, "acme/llama/config.json") == b'{"v": 2}'
        new = sum(each.new for each in report.added)
        assert new == len(WEIGHTS) + len(b"{}") + len(b'{"v": 2}'), "blobs are stored once"
        entry = store.find(parse_address(f"acme/llama@{OLD}/model.bin"))
        manifest = store.objects.manifest(entry.object)
        assert manifest.sha256 is not None
        assert manifest.sha256.hex() in os.listdir(llama.path / "blobs")
        commit = store.objects.commit(store.refs.resolve(RepoName("acme", "llama")))
        assert commit.message == f"Hugging Face acme/llama {NEW}"
        assert commit.author == "Ada"


async def test_again_only_what_is_new(cache: Path, llama: HfRepository, tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        await run(store, cache)
        again = await run(store, cache)
        assert [each.commit for each in again.added] == [None] * 3
        assert sum(each.new for each in again.added) == 0
        # More of a snapshot was downloaded, and main has moved on.
        (llama.path / "snapshots" / OLD / "README.md").symlink_to(
            f"../../blobs/{llama.blob(b'# Llama').name}"
        )
        newest = commit_of("newest")
        llama.snapshot(newest, {"config.json": llama.blob(b"[]")}, ref="main")
        third = await run(store, cache)
        changed = {each.branch for each in third.added if each.commit is not None}
        assert changed == {OLD, newest, "main"}
        assert await read(store, f"acme/llama@{OLD}/README.md") == b"# Llama"
        assert await read(store, "acme/llama/config.json") == b"[]"
        assert await read(store, "acme/llama@main~1/config.json") == b'{"v": 2}'
        with pytest.raises(NotFoundError):
            store.find(parse_address("acme/llama/model.bin"))


@pytest.mark.parametrize("damaged", ["large", "small", "missing"])
async def test_a_damaged_snapshot_is_refused_and_the_rest_goes_on(
    cache: Path, llama: HfRepository, tmp_path: Path, damaged: str
) -> None:
    blob = llama.blob(b'{"v": 2}')
    if damaged == "large":
        blob = llama.blob(noise("other", 5_000_000), large=True)
        (llama.path / "snapshots" / NEW / "other.bin").symlink_to(f"../../blobs/{blob.name}")
    if damaged == "missing":
        blob.unlink()
    else:
        flip_bit(blob, 3)
    HfRepository(cache, "models--zoo--cat").snapshot(OLD, {"x": b"x"}, ref="main")
    async with fresh_store(tmp_path / "store") as store:
        report = await run(store, cache)
        assert report.exit_status == 1
        (line,) = report.failed
        assert line.startswith(f"acme/llama@{NEW[:12]}: {llama.path}/snapshots/{NEW}/")
        assert "download it again" in line
        assert ("in git, expected is" in line) == (damaged == "small")
        assert refs(store, "acme/llama") == {OLD}, "main stays where it was: nowhere"
        assert await read(store, "zoo/cat/x") == b"x"


async def test_names_and_kinds(cache: Path, tmp_path: Path) -> None:
    HfRepository(cache, "models--gpt2").snapshot(OLD, {"x": b"gpt2"}, ref="main")
    HfRepository(cache, "datasets--glue").snapshot(OLD, {"x": b"glue"})
    HfRepository(cache, "spaces--zoo--cat")
    HfRepository(cache, "models--a--b--c")
    HfRepository(cache, "models--.hidden--x")
    pull = HfRepository(cache, "models--zoo--pull")
    pull.snapshot(OLD, {"x": b"pull"}, ref="refs/pr/1")
    pull.ref("main", NEW)
    (pull.path / "blobs" / f"{OLD}.incomplete").write_bytes(b"half")
    (pull.path / "snapshots" / "not a commit").mkdir()
    (pull.path / ".no_exist" / OLD).mkdir(parents=True)
    (cache / ".locks" / "models--zoo--pull").mkdir(parents=True)
    (cache / "version.txt").write_text("1")
    async with fresh_store(tmp_path / "store") as store:
        report = await run(store, cache)
        assert set(map(str, store.refs.repositories())) == {"huggingface/gpt2", "zoo/pull"}
        assert refs(store, "zoo/pull") == {OLD}
        assert report.exit_status == 0
        assert sorted(report.skipped) == sorted(
            [
                "datasets--glue: a dataset, only models are imported",
                "models--.hidden--x: its name is no VENDOR/NAME",
                "models--a--b--c: its name is no VENDOR/NAME",
                "spaces--zoo--cat: a space, only models are imported",
                f"{pull.path}/blobs/{OLD}.incomplete: its download is unfinished",
                f"zoo/pull main: the cache has no {NEW[:12]}",
                f"zoo/pull refs/pr/1: cannot name a branch; what it is at is zoo/pull@{OLD}",
            ]
        )


async def test_blobs_that_repositories_share(cache: Path, tmp_path: Path) -> None:
    one, two = (HfRepository(cache, f"models--acme--{name}") for name in ("one", "two"))
    for repository in (one, two):
        files = {"model.bin": repository.shared_blob(WEIGHTS)}
        repository.snapshot(OLD, files, ref="main")
    async with fresh_store(tmp_path / "store") as store:
        report = await run(store, cache)
        assert sum(each.new for each in report.added) == len(WEIGHTS)
        assert await read(store, "acme/two/model.bin") == WEIGHTS
        shared = (one.path / "blobs" / os.listdir(one.path / "blobs")[0]).resolve()
        flip_bit(shared, 1000)
        assert (await run(store, cache)).exit_status == 1


async def test_no_cache(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such file or directory; name the folder"):
        read_cache(str(tmp_path / "nothing"))
    async with fresh_store(tmp_path / "store") as store:
        (tmp_path / "empty").mkdir()
        with pytest.raises(UsageError, match="no Hugging Face cache"):
            await run(store, tmp_path / "empty")
