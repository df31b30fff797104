"""Commands of several processes on one store at once: they share it, or wait, or say who has it."""

import os
import subprocess
import sys
from pathlib import Path

from modelfloat.cas.locks import locked
from modelfloat.opening import open_store
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.stores import fresh_store, read, weights


def start(store: Path, *arguments: object) -> "subprocess.Popen[str]":
    """A command that goes on by itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "modelfloat.cli.main", "--store", store, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_two_adds_to_one_branch(tmp_path: Path) -> None:
    files = {name: weights(tmp_path / name, 3_000_000, name) for name in "abc"}
    async with fresh_store(tmp_path / "s", "2+1"):
        pass
    running = [start(tmp_path / "s", "add", tmp_path / name, "acme/model") for name in files]
    for process in running:
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert "waiting" not in err
    async with open_store(str(tmp_path / "s")) as store:
        for name, data in files.items():
            assert await read(store, f"acme/model/{name}") == data
        assert (await store.verify()).exit_status == 0


async def test_a_store_that_is_taken(tmp_path: Path) -> None:
    """Writers wait, or fail in one line with --no-wait; readers are never kept out."""
    data = weights(tmp_path / "a", 300_000)
    store = tmp_path / "s"
    async with fresh_store(store, "2+1"):
        pass
    assert modelfloat("--store", store, "add", tmp_path / "a", "acme/model").returncode == 0
    async with locked(str(store / "locks" / "store"), what="modelfloat gc"):
        for command in (["add", tmp_path / "a", "acme/b"], ["verify", "--repair"]):
            refused = modelfloat("--store", store, *command, "--no-wait")
            assert refused.returncode == 1
            assert refused.stderr.count("\n") == 1
            assert f"held by pid {os.getpid()} on " in refused.stderr
            assert "(modelfloat gc), since " in refused.stderr
        for command in (["ls"], ["stats"], ["verify"], ["get", "acme/model/a", tmp_path / "out"]):
            assert modelfloat("--store", store, *command, "--no-wait").returncode == 0
        assert (tmp_path / "out").read_bytes() == data
        waiting = start(store, "add", tmp_path / "a", "acme/b")
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert f"waiting for {store}/locks/store: held by pid {os.getpid()} on " in line
        assert waiting.poll() is None
    assert waiting.wait() == 0
    waiting.communicate()
