"""The Python API, from ordinary synchronous code."""

import io
import json
import threading
from functools import partial
from pathlib import Path

import pytest
import trio

import modelfloat
from modelfloat.cas.history.showing import ShownCommit, ShownEntry
from modelfloat.cli.main import run
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import ExistsError, NotFoundError, UsageError
from modelfloat.tests.support.stores import weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    trio.run(partial(create_store, str(tmp_path / "store"), None, [], reserve=0))
    return tmp_path / "store"


def test_a_session(path: Path, tmp_path: Path) -> None:
    data = weights(tmp_path / "model.safetensors")
    with modelfloat.open(path) as store:
        assert store.ls() == []
        report = store.add(tmp_path / "model.safetensors", "acme/model", message="first")
        assert report.new == len(data)
        (repository,) = store.ls()
        assert (repository.name, repository.type, repository.size) == (
            "acme/model",
            "repository",
            len(data),
        )
        (file,) = store.ls("acme/model")
        assert (file.name, file.type, file.size) == ("model.safetensors", "file", len(data))
        assert store.ls("acme/model/model.safetensors") == [file]
        assert store.get("acme/model", tmp_path / "out", verify=True).verified == 1
        assert (tmp_path / "out" / "model.safetensors").read_bytes() == data
        assert store.get(None, tmp_path / "all").files == 1
        assert store.verify().exit_status == 0
        assert store.verify("acme/model", share=1.0, rate=1e9).packs > 0
        assert store.stats().logical == len(data)


def test_a_repository_is_as_large_as_its_files(path: Path, tmp_path: Path) -> None:
    """As the commands say: links add nothing, wherever they lie."""
    (tmp_path / "m" / "inner").mkdir(parents=True)
    (tmp_path / "m" / "file").write_bytes(b"bytes")
    (tmp_path / "m" / "link").symlink_to("file")
    (tmp_path / "m" / "inner" / "link").symlink_to("../file")
    with modelfloat.open(path) as store:
        store.add(tmp_path / "m", "acme/m")
        assert [repository.size for repository in store.ls()] == [5]
        assert [commit.size for commit in store.log("acme/m")] == [5]
        with store.diff("acme/m", "acme/m") as difference:
            summary = difference.summary
            assert (summary.old_size, summary.new_size) == (5, 5)


def test_a_tensor_is_found_and_read(path: Path, tmp_path: Path) -> None:
    data = weights(tmp_path / "m.safetensors")
    (tmp_path / "text").write_bytes(b"no tensors")
    with modelfloat.open(path) as store:
        store.add([tmp_path / "m.safetensors", tmp_path / "text"], "acme/model")
        tensors = {tensor.name: tensor for tensor in store.tensors("acme/model/m.safetensors")}
        assert list(tensors) == [f"layer.{i}.weight" for i in range(5)]
        last = tensors["layer.4.weight"]
        assert (last.type, last.shape, last.size) == ("U8", (1_000_000,), 1_000_000)
        with store.open("acme/model/m.safetensors") as file:
            file.seek(last.offset)
            assert file.read(last.size) == data[-1_000_000:]
        assert store.tensors("acme/model/text") == []
        with pytest.raises(UsageError, match="name a file in it"):
            store.tensors("acme/model")


def test_a_file_reads_like_a_file(path: Path, tmp_path: Path) -> None:
    data = weights(tmp_path / "m.safetensors")
    with modelfloat.open(str(path)) as store:
        store.add([str(tmp_path / "m.safetensors")], "acme/model")
        with store.open("acme/model/m.safetensors") as file:
            length = int.from_bytes(file.read(8), "little")
            assert "layer.0.weight" in json.loads(file.read(length))
            assert file.tell() == 8 + length
            assert file.seek(-10, io.SEEK_END) == len(data) - 10
            assert file.read() == data[-10:]
            assert file.read(5) == b""
            file.seek(0)
            assert io.BufferedReader(file, 1 << 20).read() == data
        with pytest.raises(ValueError, match="closed"):
            file.read(1)


def test_errors_are_ours(path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store"):
        modelfloat.open(path / "nowhere")
    with modelfloat.open(path) as store:
        with pytest.raises(NotFoundError, match="no repository"):
            store.open("acme/model/file")
        with pytest.raises(UsageError, match="VENDOR/NAME"):
            store.ls("acme")
    with pytest.raises(UsageError, match="is closed"):
        store.ls()
    store.close()


def test_threads_share_a_store(path: Path, tmp_path: Path) -> None:
    data = weights(tmp_path / "m.safetensors")
    found: list[bytes] = []
    with modelfloat.open(path) as store:
        store.add(tmp_path / "m.safetensors", "acme/model")

        def read() -> None:
            with store.open("acme/model/m.safetensors") as file:
                found.append(file.read())

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [data] * 8


def test_a_close_waits_for_calls_under_way(path: Path, tmp_path: Path) -> None:
    data = weights(tmp_path / "m.safetensors", 30_000_000)
    store = modelfloat.open(path)
    added = threading.Thread(target=store.add, args=(tmp_path / "m.safetensors", "acme/model"))
    added.start()
    while not store._running:
        pass
    store.close()
    added.join()
    with modelfloat.open(path) as again, again.open("acme/model/m.safetensors") as file:
        assert file.read() == data


def test_a_forked_process_is_told(path: Path) -> None:
    with modelfloat.open(path) as store:
        store._pid -= 1
        with pytest.raises(UsageError, match="before this process was forked"):
            store.ls()
        store.close()
        store._pid += 1
        assert store.ls() == []


def test_a_plan_keeps_out_of_the_stores_own_mounts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "modelfloat.api.mounted_devices", lambda _: frozenset({tmp_path.stat().st_dev})
    )
    (tmp_path / "file").write_bytes(b"content")
    with modelfloat.open(path) as store, pytest.raises(ExistsError, match="stored already"):
        store.plan(tmp_path / "file", "acme/tiny")


def test_it_lists_a_repository_as_the_command_does(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The branch main counts, also where another one is newer."""
    (tmp_path / "file").write_bytes(b"seven b")
    (tmp_path / "long").write_bytes(b"a longer one")
    with modelfloat.open(path) as store:
        store.add(tmp_path / "file", "acme/tiny")
        store.add(tmp_path / "long", "acme/tiny@other")
        (listed,) = store.ls()
    assert run(["--store", str(path), "--json", "ls"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert (listed.name, listed.size, listed.mtime_ns) == ("acme/tiny", 7, said["updated_ns"])
    assert said["size"] == 7


def test_a_store_is_joined(tmp_path: Path) -> None:
    trio.run(partial(create_store, str(tmp_path / "s"), Scheme(2, 1), [], reserve=0))
    data = weights(tmp_path / "model.safetensors", 300_000)
    with modelfloat.open(tmp_path / "s") as store:
        store.add(tmp_path / "model.safetensors", "acme/model")
    (tmp_path / "s/backends/d1").rename(tmp_path / "moved")
    there = tmp_path / "s/backends/d0"
    report = modelfloat.join(tmp_path / "other", [there], named={"d1": str(tmp_path / "moved")})
    assert (report.backends, report.down) == (("d0", "d1", "d2"), {})
    with (
        modelfloat.open(tmp_path / "other") as store,
        store.open("acme/model/model.safetensors") as f,
    ):
        assert f.read() == data


def test_it_shows_what_the_command_shows(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with modelfloat.open(path) as store:
        store.add(tmp_path / "file", "acme/tiny", tag="v1", author="Ann")
        commit = store.show("acme/tiny@v1")
        assert isinstance(commit, ShownCommit)
        assert (commit.refs, commit.size, commit.commit.author) == (("main", "v1"), 7, "Ann")
        (change,) = store.changes("acme/tiny")
        assert (change.path, change.old) == (b"file", None)
        file = store.show("acme/tiny/file")
        assert isinstance(file, ShownEntry)
        assert file.manifest is not None
        assert (file.id, file.manifest.size) == (commit.id, 7)
    for address in ("acme/tiny", "acme/tiny/file"):
        assert run(["--store", str(path), "show", address, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["commit"] == commit.id.hex()


def test_what_would_be_passed_over_is_refused(path: Path, tmp_path: Path) -> None:
    """A tag of `acme/tiny@dev` would be one of main."""
    (tmp_path / "file").write_bytes(b"content")
    with modelfloat.open(path) as store:
        store.add(tmp_path / "file", "acme/tiny")
        store.add(tmp_path / "file", "acme/tiny@dev")
        for make in (store.tag, store.branch):
            with pytest.raises(UsageError, match="takes VENDOR/NAME and nothing behind"):
                make("acme/tiny@dev", "v1")
        for tell in (store.log, store.reflog, store.undo, store.changes):
            with pytest.raises(UsageError, match="without a path"):
                tell("acme/tiny/file")
        assert {each.head.ref for each in store.signatures()} == {"main", "dev"}
