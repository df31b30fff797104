"""Whether the fake Google Drive is one: rclone, which knows the real one, works with it, and finds
what our backend wrote as ours finds what it wrote. Part of the slow matrix."""

import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from modelfloat.backends.base import Backend
from modelfloat.backends.keys import check_key
from modelfloat.backends.registry import open_backend
from modelfloat.tests.servers.gdrive import CLIENT, FakeDrive, serve_gdrive
from modelfloat.tests.servers.gdrive.oauth import DRIVE
from modelfloat.tests.support.connectproxy import ConnectProxy, connect_proxy
from modelfloat.tests.support.sources import noise

pytestmark = pytest.mark.slow

KEY = check_key("packs/ab")
BIG = noise(7, (20 << 20) + 4321)
HOSTS = ("www.googleapis.com", "oauth2.googleapis.com")


@dataclass
class Rclone:
    """rclone with a remote `drive:` that believes to speak to Google."""

    folder: Path
    drive: FakeDrive
    proxy: ConnectProxy

    async def __call__(self, *arguments: str) -> bytes:
        """Run a command, which must end well; what it prints."""
        command = [str(Path(sys.prefix, "bin", "rclone")), *arguments]
        command += ["--config", str(self.folder / "rclone.conf"), "--ca-cert", self.proxy.ca_file]
        command += ["--drive-chunk-size", "4M", "--drive-pacer-min-sleep", "1ms"]
        command += ["--retries", "1", "--low-level-retries", "3"]
        environment = {**os.environ, "HTTPS_PROXY": self.proxy.url, "NO_PROXY": ""}
        done = await trio.run_process(
            command,
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    async def listed(self) -> dict[str, int]:
        """All files, by their paths."""
        found = json.loads(await self("lsjson", "-R", "--files-only", "drive:"))
        return {each["Path"]: each["Size"] for each in found}


@pytest.fixture
async def rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rclone]:
    async with serve_gdrive(tmp_path / "drive") as drive:
        for name, value in drive.credentials().items():
            monkeypatch.setenv(name, value)
        token = {
            "access_token": "too old",
            "token_type": "Bearer",
            "refresh_token": drive.oauth.grant(DRIVE),
            "expiry": "2020-01-01T00:00:00Z",
        }
        lines = [
            "[drive]",
            "type = drive",
            "scope = drive",
            f"client_id = {CLIENT.id}",
            f"client_secret = {CLIENT.secret}",
            f"root_folder_id = {drive.models}",
            f"token = {json.dumps(token)}",
        ]
        await trio.Path(tmp_path / "rclone.conf").write_text("\n".join(lines))
        async with connect_proxy(dict.fromkeys(HOSTS, drive.url)) as proxy:
            yield Rclone(tmp_path, drive, proxy)
            assert proxy.refused == []


@pytest.fixture
async def backend(rclone: Rclone) -> AsyncIterator[Backend]:
    backend = open_backend("d0", rclone.drive.backend_url(), rate="none")
    yield backend
    await backend.aclose()


async def test_rclone_copies_there_and_back(rclone: Rclone, tmp_path: Path) -> None:
    """Small files in one request, large ones in a session of several parts; both are compared."""
    source, back = trio.Path(tmp_path / "source"), trio.Path(tmp_path / "back")
    await (source / "below").mkdir(parents=True)
    await (source / "big").write_bytes(BIG)
    await (source / "below" / "small").write_bytes(b"small")
    await (source / "below" / "empty").write_bytes(b"")
    await rclone("copy", str(source), "drive:")
    assert await rclone.listed() == {"big": len(BIG), "below/small": 5, "below/empty": 0}
    await rclone("check", "--download", str(source), "drive:")
    await rclone("check", str(source), "drive:")  # by the checksums that the fake tells
    await rclone("copy", "drive:", str(back))
    assert await (back / "big").read_bytes() == BIG
    assert (
        await rclone("cat", "--offset", "1000000", "--count", "5", "drive:big") == BIG[10**6 :][:5]
    )
    await (source / "below" / "small").write_bytes(b"changed")
    await rclone("copy", str(source), "drive:")  # which changes a file that is there
    assert await rclone("cat", "drive:below/small") == b"changed"
    await rclone("moveto", "drive:big", "drive:below/larger")
    await rclone("deletefile", "drive:below/small")
    assert await rclone.listed() == {"below/larger": len(BIG), "below/empty": 0}
    about = json.loads(await rclone("about", "--json", "drive:"))
    assert about["used"] == rclone.drive.state.used()


async def test_rclone_gets_over_what_goes_wrong(rclone: Rclone, tmp_path: Path) -> None:
    source = trio.Path(tmp_path / "big")
    await source.write_bytes(BIG)
    rclone.drive.faults.refuse(403, "userRateLimitExceeded", 2)
    rclone.drive.faults.refuse(429, "rateLimitExceeded", 1, about=lambda r: r.method == "GET")
    await rclone("copyto", str(source), "drive:big")
    assert await rclone("cat", "drive:big") == BIG


async def test_rclone_finds_what_we_wrote(rclone: Rclone, backend: Backend) -> None:
    await backend.put(KEY, [BIG])
    await backend.put(check_key("modelfloat.json"), [b"marker"])
    assert await rclone.listed() == {"packs/ab": len(BIG), "modelfloat.json": 6}
    assert await rclone("cat", "drive:packs/ab") == BIG
    await rclone("deletefile", "drive:packs/ab")  # into the trash
    assert [each.key async for each in backend.list()] == ["modelfloat.json"]
    await backend.put(KEY, [b"again"])
    assert await rclone("cat", "drive:packs/ab") == b"again"


async def test_we_find_what_rclone_wrote(rclone: Rclone, backend: Backend, tmp_path: Path) -> None:
    """A folder that was copied by another program is the same backend."""
    source = trio.Path(tmp_path / "source")
    await (source / "packs").mkdir(parents=True)
    await (source / "packs" / "ab").write_bytes(BIG)
    await (source / "modelfloat.json").write_bytes(b"marker")
    await rclone("copy", str(source), "drive:")
    assert await backend.get(KEY, 5_000_000, 100) == BIG[5_000_000:5_000_100]
    listed = {each.key: each.size async for each in backend.list()}
    assert listed == {KEY: len(BIG), "modelfloat.json": 6}
