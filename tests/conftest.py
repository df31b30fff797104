"""Named Hypothesis profiles: the same examples in every run, many more in the slow matrix."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import pytest
from hypothesis import settings

from modelfloat.tests.servers.mega.account import (
    MEGA_CREDENTIALS,
    MEGA_PASSWORD,
    MEGA_USER,
    QUICK,
    Account,
)
from modelfloat.tests.servers.mega.server import FakeMega, serve_mega
from modelfloat.tests.support.azurite import ACCOUNT, KEY, Azurite
from modelfloat.tests.support.jsipfs import JsIpfs
from modelfloat.tests.support.servers import (
    CREDENTIALS,
    RcloneS3,
    RcloneWebdav,
    SeaweedFS,
    Server,
)

ServerT = TypeVar("ServerT", bound=Server)

# Each store that a test's command makes would keep 256 MiB aside.
os.environ["MODELFLOAT_RESERVE"] = "0"

settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("slow", max_examples=500, deadline=None, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """A command that ran in the test's process, or for several tests, has set up its log."""
    _reset_logging()
    yield
    _reset_logging()


def _reset_logging() -> None:
    logger = logging.getLogger("modelfloat")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def _servers() -> Iterator[dict[str, Server]]:
    """The servers that were asked for, by name; a session has one of each kind."""
    servers: dict[str, Server] = {}
    yield servers
    for server in servers.values():
        server.kill()  # a server that is asked to stop waits until idle connections are old


def _serving(
    kind: type[ServerT],
    servers: dict[str, Server],
    folders: pytest.TempPathFactory,
    environment: pytest.MonkeyPatch,
) -> ServerT:
    """The session's server of that kind, up, with its credentials in the environment."""
    for name, value in CREDENTIALS.items():
        environment.setenv(name, value)
    server = servers.get(kind.__name__)
    if server is None:
        server = servers[kind.__name__] = kind(folders.mktemp(kind.__name__))
    server.start()
    assert isinstance(server, kind)
    return server


@pytest.fixture
def seaweedfs(
    _servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> SeaweedFS:
    """SeaweedFS, up; a test that kills it leaves it to the next one to start it again."""
    return _serving(SeaweedFS, _servers, tmp_path_factory, monkeypatch)


@pytest.fixture
def rclone_s3(
    _servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> RcloneS3:
    """rclone's S3 server, up."""
    return _serving(RcloneS3, _servers, tmp_path_factory, monkeypatch)


@pytest.fixture
def rclone_webdav(
    _servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> RcloneWebdav:
    """rclone's WebDAV server, up."""
    return _serving(RcloneWebdav, _servers, tmp_path_factory, monkeypatch)


@pytest.fixture
async def mega(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeMega]:
    """A fake MEGA with one account, whose credentials are in the environment."""
    for name, value in MEGA_CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("modelfloat.backends.mega.secrets.ROUNDS_V2", QUICK)
    async with serve_mega(Account(MEGA_USER, MEGA_PASSWORD, rounds=QUICK)) as fake:
        yield fake


@pytest.fixture
def js_ipfs(
    _servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> JsIpfs:
    """A node of js-ipfs, up."""
    return _serving(JsIpfs, _servers, tmp_path_factory, monkeypatch)


@pytest.fixture
def azurite(
    _servers: dict[str, Server],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Azurite:
    """Azurite, up, and the key of its account in the environment."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    return _serving(Azurite, _servers, tmp_path_factory, monkeypatch)
