"""A store of which one backend lies in MEGA, when MEGA's allowances are used up."""

import json
import shutil
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from modelfloat.cli.main import run
from modelfloat.tests.servers.mega.server import FakeMega
from modelfloat.tests.support.stores import weights

Run = Callable[..., Awaitable[str]]


@pytest.fixture
async def command(
    mega: FakeMega, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Awaitable[str]]:
    """A command on a store 2+1 over MEGA and two directories, that holds acme/model."""

    async def call(*arguments: object, status: int = 0) -> str:
        argv = ["--store", str(tmp_path / "store"), *map(str, arguments)]
        ended = await trio.to_thread.run_sync(partial(run, argv))
        said = capfd.readouterr()
        assert ended == status, said
        return said.out + said.err

    places = [f"cloud={mega.address()}", f"one={tmp_path / 'one'}", f"two={tmp_path / 'two'}"]
    backends = [word for place in places for word in ("--backend", place)]
    await call("init", "--erasure", "2+1", *backends)
    await trio.to_thread.run_sync(weights, tmp_path / "model", 5_000_000)
    await call("add", tmp_path / "model", "acme/model")
    return call


async def states(command: Run) -> dict[str, tuple[str, str]]:
    """State and reason of each backend."""
    told = json.loads(await command("backend", "ls", "--json"))
    return {each["name"]: (each["state"], each.get("reason") or "") for each in told}


async def test_a_used_up_quota_is_told_with_its_time(
    mega: FakeMega, command: Run, tmp_path: Path
) -> None:
    mega.faults.used_up = 2700
    state, reason = (await states(command))["cloud"]
    assert state == "down"
    assert "the transfer quota" in reason
    assert "is asked again in 45 min" in reason
    await command("get", "acme/model", tmp_path / "out")
    assert (tmp_path / "out" / "model").read_bytes() == (tmp_path / "model").read_bytes()
    mega.faults.used_up = None
    assert (await states(command))["cloud"] == ("up", "")
    await command("verify")


async def test_a_full_account_is_told(mega: FakeMega, command: Run, tmp_path: Path) -> None:
    mega.account.total = mega.account.used
    await trio.to_thread.run_sync(weights, tmp_path / "more", 6_000_000)
    said = await command("add", tmp_path / "more", "acme/more", "--min-shards", "2")
    assert "cloud" in said
    await command("get", "acme/more", tmp_path / "out")
    assert (tmp_path / "out" / "more").read_bytes() == (tmp_path / "more").read_bytes()


async def test_a_wrong_password_is_no_damage(
    mega: FakeMega, command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "store" / "accounts")
    with monkeypatch.context() as patch:
        patch.setenv("MODELFLOAT_MEGA_PASSWORD", "another")
        said = await command("verify", status=1)
    assert "see why cloud refuses us" in said
    assert "or another password" in said
    await command("verify")
