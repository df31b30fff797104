"""The fake MEGA is taken for MEGA by clients that others wrote, and they read what we wrote.

rclone cannot be pointed at another server: a proxy shows it the fake as MEGA's hosts.
"""

import json
import os
import sys
from pathlib import Path

import pytest
import trio

from modelfloat.backends.keys import check_key
from modelfloat.backends.mega import secrets
from modelfloat.backends.registry import open_backend
from modelfloat.tests.servers.mega.account import MEGA_PASSWORD, MEGA_USER, ROUNDS, Account
from modelfloat.tests.servers.mega.server import FakeMega
from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.clientvenv import python_with
from modelfloat.tests.support.connectproxy import ConnectProxy, connect_proxy
from modelfloat.tests.support.sources import noise

HERE = ROOT / "tests" / "servers" / "mega"
RCLONE = str(Path(sys.prefix, "bin", "rclone"))
SIZES = (0, 1, 131_072, 131_073, 5_000_001)

pytestmark = pytest.mark.slow


@pytest.fixture(params=[1, 2])
async def version(
    mega: FakeMega, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> int:
    """The account is of either version; others do as many rounds as MEGA wants."""
    monkeypatch.setattr(secrets, "ROUNDS_V2", ROUNDS)
    mega.accounts[MEGA_USER] = Account(MEGA_USER, MEGA_PASSWORD, request.param)
    return mega.account.version


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder, by path."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def write_all(folder: Path) -> dict[str, bytes]:
    """Files of telling sizes."""
    folder.mkdir()
    for size in SIZES:
        (folder / f"{size}").write_bytes(noise(size, size))
    return files(folder)


async def put_all(mega: FakeMega, folder: str) -> dict[str, bytes]:
    """Values of telling sizes, put by our backend."""
    backend = open_backend("d0", mega.address(folder), create=True)
    values = {f"v{size}": noise(size + 1, size) for size in SIZES}
    for name, value in values.items():
        await backend.put(check_key(name), [value])
    await backend.aclose()
    return values


async def got_all(mega: FakeMega, folder: str) -> dict[str, bytes]:
    """All that our backend reads in a folder."""
    backend = open_backend("d0", mega.address(folder))
    found = {str(each.key): await backend.get(each.key) async for each in backend.list()}
    await backend.aclose()
    return found


async def run(*command: str, **environment: str) -> str:
    """What a program prints, which ends well."""
    done = await trio.run_process(
        command,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return done.stdout.decode()


async def test_async_mega_py(mega: FakeMega, version: int, tmp_path: Path) -> None:
    python = await trio.to_thread.run_sync(python_with, HERE / "clients.txt")
    mega.faults.work = 240
    ours = await put_all(mega, "models")
    file = tmp_path / "file"
    file.write_bytes(noise(7, 5_000_001))
    answer = await run(
        python,
        str(HERE / "async_client.py"),
        mega.url,
        MEGA_USER,
        MEGA_PASSWORD,
        "models",
        str(file),
    )
    told = json.loads(answer)
    assert mega.account.version == version
    assert sorted(told["before"]) == sorted(ours)
    assert files(tmp_path / "found") == ours
    assert files(tmp_path / "file.back") == {"file": file.read_bytes()}
    assert told["after"] == {"file": 5_000_001, **{name: len(v) for name, v in ours.items()}}
    assert told["used"] == sum(map(len, mega.account.contents.values()))
    assert await got_all(mega, "models") == {**ours, "file": file.read_bytes()}
    assert mega.solved >= 2


async def test_rclone(mega: FakeMega, version: int, tmp_path: Path) -> None:
    mega.faults.work = 240
    secret = (await run(RCLONE, "obscure", MEGA_PASSWORD)).strip()
    theirs = await trio.to_thread.run_sync(write_all, tmp_path / "theirs")
    ours = await put_all(mega, "ours")
    async with connect_proxy({"*.mega.co.nz": mega.url}) as proxy:
        mega.api = "https://g.api.mega.co.nz"
        mega.storage = "https://gfs270n001.userstorage.mega.co.nz"
        for command in (
            ("copy", tmp_path / "theirs", "m:models/deep/er"),
            ("copy", "m:models/deep/er", tmp_path / "back"),
            ("copy", "m:ours", tmp_path / "ours"),
            ("moveto", "m:ours/v1", "m:models/moved"),
            ("deletefile", "m:ours/v131072"),
        ):
            await rclone(proxy, secret, *map(str, command))
        quota = json.loads(await rclone(proxy, secret, "about", "--json", "m:"))
        assert not proxy.refused
    assert mega.account.version == version
    assert files(tmp_path / "back") == theirs
    assert files(tmp_path / "ours") == ours
    assert quota["total"] == mega.account.total
    assert quota["used"] == mega.account.used
    mega.storage = mega.url
    moved = ours.pop("v1")
    del ours["v131072"]
    assert await got_all(mega, "models") == {
        "moved": moved,
        **{f"deep/er/{name}": data for name, data in theirs.items()},
    }
    assert await got_all(mega, "ours") == ours


async def rclone(proxy: ConnectProxy, secret: str, *arguments: str) -> str:
    """What rclone prints, for which the fake is MEGA."""
    return await run(
        *(RCLONE, "--http-proxy", proxy.url, "--ca-cert", proxy.ca_file, "--retries", "1"),
        *arguments,
        RCLONE_CONFIG=os.devnull,
        RCLONE_CONFIG_M_TYPE="mega",
        RCLONE_CONFIG_M_USER=MEGA_USER,
        RCLONE_CONFIG_M_PASS=secret,
        RCLONE_CONFIG_M_USE_HTTPS="true",
        RCLONE_CONFIG_M_HARD_DELETE="true",
    )
