"""The contract, over every backend and every wrapper. A new one adds a function and a line."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.limit import LimitBackend, Limits
from modelfloat.backends.local import LocalBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.backends.rated import RateBackend
from modelfloat.backends.registry import open_backend
from modelfloat.backends.retry import RetryBackend, RetryPolicy
from modelfloat.rate import Rate
from modelfloat.tests.contract.suite import BackendContract
from modelfloat.tests.servers.kubo import serve_kubo
from modelfloat.tests.servers.mega.server import FakeMega
from modelfloat.tests.support.jsipfs import JsIpfs
from modelfloat.tests.support.servers import RcloneWebdav, SeaweedFS


def _local(path: Path) -> LocalBackend:
    return LocalBackend.create("d0", str(path / "root"))


OPENERS: dict[str, Callable[[Path], Backend]] = {
    "memory": lambda _: MemoryBackend("d0"),
    "local": _local,
    "retry(memory)": lambda _: RetryBackend(MemoryBackend("d0")),
    "limit(memory)": lambda _: LimitBackend(MemoryBackend("d0"), Limits(concurrency=2)),
    "limit(local)": lambda path: LimitBackend(_local(path), Limits(concurrency=3)),
    "rate(memory)": lambda _: RateBackend(MemoryBackend("d0"), Rate(1e5, 1000, 10**12)),
    "rate(limit(local))": lambda path: RateBackend(LimitBackend(_local(path)), Rate(1e5, 9)),
    "faulty(memory)": lambda _: FaultyBackend(MemoryBackend("d0")),
    "faulty(local)": lambda path: FaultyBackend(_local(path)),
    "registry: a path": lambda path: open_backend("d0", str(path / "root"), create=True),
    "registry: file": lambda path: open_backend(
        "d0", f"file://{path}/a%20root", create=True, policy=RetryPolicy()
    ),
    "registry: memory": lambda _: open_backend("d0", "memory://", policy=RetryPolicy()),
}


class TestContract(BackendContract):
    @pytest.fixture(params=OPENERS)
    async def backend(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> AsyncIterator[Backend]:
        backend = OPENERS[request.param](tmp_path)
        yield backend
        await backend.aclose()


class TestMega(BackendContract):
    @pytest.fixture
    async def backend(self, mega: FakeMega) -> AsyncIterator[Backend]:
        backend = open_backend("d0", mega.address(), create=True)
        yield backend
        await backend.aclose()


@pytest.mark.slow
class TestWebdavOfSeaweedFS(BackendContract):
    @pytest.fixture
    async def backend(self, seaweedfs: SeaweedFS) -> AsyncIterator[Backend]:
        backend = open_backend("d0", seaweedfs.webdav_url(seaweedfs.new_folder()))
        yield backend
        await backend.aclose()


class TestWebdavOfRclone(BackendContract):
    @pytest.fixture
    async def backend(self, rclone_webdav: RcloneWebdav) -> AsyncIterator[Backend]:
        backend = open_backend("d0", rclone_webdav.webdav_url(rclone_webdav.new_folder()))
        yield backend
        await backend.aclose()


class TestIpfs(BackendContract):
    @pytest.fixture
    async def backend(self, tmp_path: Path) -> AsyncIterator[Backend]:
        async with serve_kubo(tmp_path) as kubo:
            kubo.node.make("/a/folder", parents=True)
            backend = open_backend("d0", f"{kubo.url}/a/folder")
            yield backend
            await backend.aclose()


@pytest.mark.slow
class TestIpfsOfJsIpfs(BackendContract):
    @pytest.fixture
    async def backend(self, js_ipfs: JsIpfs) -> AsyncIterator[Backend]:
        backend = open_backend("d0", f"{js_ipfs.url}{js_ipfs.new_folder()}")
        yield backend
        await backend.aclose()
