"""The contract over real S3 servers: one that decides conditional puts, and one that ignores them;
and over Microsoft's emulator of Azure.

Each test gets a bucket of its own."""

from collections.abc import AsyncIterator

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.conditional import keeps_conditions
from modelfloat.backends.objects.backend import ObjectBackend
from modelfloat.backends.registry import open_backend
from modelfloat.tests.contract.suite import BackendContract
from modelfloat.tests.support.azurite import Azurite
from modelfloat.tests.support.servers import RcloneS3, SeaweedFS


class TestSeaweedFS(BackendContract):
    @pytest.fixture
    async def backend(self, seaweedfs: SeaweedFS) -> AsyncIterator[Backend]:
        url = seaweedfs.s3_url(seaweedfs.new_bucket(), "a/Prefix")
        backend = open_backend("d0", url, conditional_put=True)
        yield backend
        await backend.aclose()


class TestRclone(BackendContract):
    @pytest.fixture
    async def backend(self, rclone_s3: RcloneS3) -> AsyncIterator[Backend]:
        url = rclone_s3.s3_url(rclone_s3.new_bucket())
        backend = ObjectBackend.from_url("d0", url, domain=None, create=False)
        yield backend
        await backend.aclose()


@pytest.mark.slow
class TestAzurite(BackendContract):
    @pytest.fixture
    async def backend(self, azurite: Azurite) -> AsyncIterator[Backend]:
        url = azurite.url(azurite.new_container())
        backend = open_backend("d0", url, conditional_put=True)
        yield backend
        await backend.aclose()

    async def test_conditional_puts_are_found_by_the_probe(self, azurite: Azurite) -> None:
        trial = open_backend("d0", azurite.url(azurite.new_container()), conditional_put=True)
        assert await keeps_conditions(trial)
        await trial.aclose()
