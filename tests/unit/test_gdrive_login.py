"""Logging in to Google Drive: by a browser, by a code, and by the command from end to end."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import trio

from modelfloat.backends.gdrive import login
from modelfloat.backends.gdrive.address import Place, parse_place
from modelfloat.backends.gdrive.api import Backoff
from modelfloat.backends.gdrive.grant import Grant, write_grant
from modelfloat.backends.gdrive.known import Known
from modelfloat.errors import DeniedError, UsageError
from modelfloat.tests.servers.gdrive import CLIENT, FakeDrive, serve_gdrive

OURS = Grant(CLIENT.id, CLIENT.secret, "")


@pytest.fixture
async def drive(tmp_path: Path) -> AsyncIterator[FakeDrive]:
    async with serve_gdrive(tmp_path / "drive") as drive:
        drive.oauth.interval = 0.001
        yield drive


def place_of(drive: FakeDrive, folder: str = "") -> Place:
    return parse_place("g", f"gdrive://{folder}?endpoint={drive.url}", whole=False)


class Browser:
    """A user with a browser: what they are told, they open."""

    def __init__(self, *, twice: bool = False) -> None:
        self.told: list[str] = []
        self.pages: list[str] = []
        self._came, self._to = trio.open_memory_channel[str](1)[::-1]
        self._twice = twice

    def tell(self, text: str) -> None:
        self.told.append(text)
        self._to.send_nowait(text.split()[-1])

    async def run(self) -> None:
        where = await self._came.receive()
        async with httpx2.AsyncClient(follow_redirects=False) as client:
            answer = await client.get(where)
            back = answer.headers["location"]
            for wrong in (back.replace("state=", "state=x"), back.partition("?")[0]):
                assert (await client.get(wrong)).status_code == 404  # not from Google: not heard
            self.pages.append((await client.get(back)).text)


async def logged_in(drive: FakeDrive, scope: str = login.OWN_FILES) -> Grant:
    """What somebody granted who opens what they are told to."""
    browser = Browser()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(browser.run)
        grant = await login.by_browser("g", place_of(drive), OURS, scope, browser.tell)
    assert CLIENT.secret not in browser.told[0]
    assert grant.refresh not in "".join(browser.pages)
    return grant


async def test_by_a_browser(drive: FakeDrive) -> None:
    grant = await logged_in(drive)
    assert drive.oauth.refresh == {grant.refresh: login.OWN_FILES}
    assert drive.oauth.codes == {}
    assert grant.refresh not in repr(grant)


async def test_the_browser_is_asked_as_google_wants_it(drive: FakeDrive) -> None:
    await logged_in(drive)
    asked = next(each for each in drive.asked if "/auth?" in each)
    query = parse_qs(urlsplit(asked).query)
    assert query["access_type"] == ["offline"]
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"][0].startswith("http://127.0.0.1:")


async def test_the_user_says_no(drive: FakeDrive) -> None:
    drive.oauth.consents = False
    with pytest.RaisesGroup(pytest.RaisesExc(DeniedError, match="nobody said yes")):
        await logged_in(drive)


async def test_by_a_code(drive: FakeDrive) -> None:
    """It is asked again and again until the user has typed it."""
    told: list[str] = []
    drive.oauth.patience = 3
    grant = await login.by_code("g", place_of(drive), OURS, told.append)
    assert drive.oauth.refresh == {grant.refresh: login.OWN_FILES}
    assert "https://www.google.com/device" in told[0]
    assert told[0].endswith(*drive.oauth.users)
    assert drive.count("POST /token") == 4


async def test_nobody_types_the_code(drive: FakeDrive) -> None:
    def tell(text: str) -> None:
        drive.oauth.approve(text.split()[-1], yes=False)

    with pytest.raises(DeniedError, match="nobody typed the code"):
        await login.by_code("g", place_of(drive), OURS, tell)


async def test_a_client_that_google_does_not_know(drive: FakeDrive) -> None:
    with pytest.raises(DeniedError, match="invalid_client"):
        await login.by_code("g", place_of(drive), Grant("x", "y", ""), lambda _: None)


@pytest.mark.parametrize("id_", ["", "\ud800", "a\nb"])
def test_a_file_whose_client_cannot_be(tmp_path: Path, id_: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"installed": {"client_id": id_}}))
    with pytest.raises(UsageError, match="is no client"):
        login.read_client(str(path))


async def test_a_folder_that_is_not_shown(drive: FakeDrive) -> None:
    """One made in a browser is not ours, so the login for our own files does not show it."""
    grant = await logged_in(drive)
    with pytest.raises(DeniedError, match="--new-folder NAME"):
        await login.settled("g", place_of(drive, drive.models), grant, "")
    place, kept = await login.settled("g", place_of(drive), grant, "mine")
    assert drive.state.files[place.folder].name == "mine"
    assert kept.account == drive.state.account.number
    again, _ = await login.settled("g", place, kept, "")
    assert again == place
    everything = await logged_in(drive, login.ALL_FILES)
    await login.settled("g", place_of(drive, drive.models), everything, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
async def test_what_root_makes_is_the_stores_owners(drive: FakeDrive, tmp_path: Path) -> None:
    store, place = tmp_path / "store", place_of(drive, drive.models)
    store.mkdir()
    os.chown(store, 12345, 12346)
    state = str(store / "accounts")
    write_grant(state, place, replace(OURS, refresh="x"))
    known = Known(str(store / "accounts" / "g.known"))
    await known.no_folders()
    await known.aclose()
    for path in (store / "accounts", *(store / "accounts").iterdir()):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (12345, 12346), path
        assert found.st_mode & 0o077 == 0


def test_waits_grow_and_end() -> None:
    backoff = Backoff(tries=5, first=0.5, cap=8.0, patience=20.0)
    waits = [backoff.wait(tried, None) for tried in range(1, 5)]
    for wait, longest in zip(waits, (0.5, 1, 2, 4), strict=True):
        assert wait is not None
        assert longest / 2 <= wait <= longest
    assert backoff.wait(1, 12.0) == 12.0  # as Google asks
    assert backoff.wait(1, 21.0) is None
    assert backoff.wait(5, None) is None


async def _visit(process: trio.Process) -> None:
    """Open what the command tells its user to open."""
    assert process.stderr is not None
    said = b""
    while not said.endswith(b"\n") or b"http" not in said:
        said += await process.stderr.receive_some()
    async with httpx2.AsyncClient(follow_redirects=True) as client:
        assert (await client.get(said.decode().split()[-1])).status_code == 200


async def _run(
    *arguments: object, user: Callable[[trio.Process], object] | None = None
) -> tuple[int, str]:
    """A command's status and results; with a `user` who reads what stands on stderr."""
    command = [sys.executable, "-m", "modelfloat.cli.main", *map(str, arguments)]
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            command,
            check=False,
            capture_stdout=True,
            stderr=subprocess.PIPE if user else subprocess.STDOUT,
        )
        done: list[subprocess.CompletedProcess[bytes]] = []

        async def run(task_status: trio.TaskStatus[trio.Process]) -> None:
            done.append(await start(task_status=task_status))

        process = await nursery.start(run)
        if user is not None:
            await user(process)  # type: ignore[misc]
    return done[0].returncode, done[0].stdout.decode()


async def test_from_the_login_to_a_store(drive: FakeDrive, tmp_path: Path) -> None:
    """A store gets a backend on Drive, keeps what is added there, and no secret anywhere else."""
    store, client = tmp_path / "store", trio.Path(tmp_path / "client.json")
    installed = {"client_id": CLIENT.id, "client_secret": CLIENT.secret}
    await client.write_text(json.dumps({"installed": installed}))
    source = trio.Path(tmp_path / "source")
    await source.mkdir()
    content = os.urandom(3_000_000)
    await (source / "file").write_bytes(content)
    common = ("--store", store)
    where = f"gdrive://?endpoint={drive.url}"
    options = ("--client", client, "--new-folder", "models", "--json")
    status, said = await _run("backend", "login", where, *options, *common, user=_visit)
    assert status == 0
    document = json.loads(said)
    assert document["account"] == drive.state.account.number
    (kept,) = (store / "accounts").glob("*.json")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    backends = ("--backend", f"d0={tmp_path}/d0", "--backend", f"g={document['url']},rate=none")
    status, added = await _run("init", *backends, *common)
    assert status == 0, added
    outputs = [added]
    assert (await _run("add", source, "acme/model", *common))[0] == 0
    shards = [file for file in drive.state.files.values() if file.size > 1_000_000]
    assert len(shards) == 1
    shutil.rmtree(tmp_path / "d0")
    tokens = drive.count("POST /token")
    for command in (("get", "acme/model", tmp_path / "out"), ("backend", "ls", "--json")):
        status, said = await _run(*command, *common)
        assert status == 0, (command, said)
        outputs.append(said)
    assert await trio.Path(tmp_path / "out" / "file").read_bytes() == content
    assert drive.count("POST /token") == tokens  # what an earlier command was given is good still
    drive.oauth.revoke()
    status, said = await _run("backend", "ls", *common)
    assert "log in with `modelfloat backend login`" in said
    status, _ = await _run("backend", "login", "g", "--quiet", *common, user=_visit)
    assert status == 0  # with the client of the last login
    status, said = await _run("backend", "ls", *common)
    assert "log in with" not in said
    secrets = [CLIENT.secret, *drive.oauth.refresh, *drive.oauth.access]
    texts = "".join(outputs) + (store / "config.toml").read_text()
    assert [secret for secret in secrets if secret in texts] == []


def test_a_client_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory; name the right file"):
        login.read_client(str(tmp_path))
