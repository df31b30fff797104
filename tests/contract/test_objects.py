"""The contract over real S3 servers: one that decides conditional puts, and one that ignores them;
and over Microsoft's emulator of Azure.

Each test gets a bucket of its own."""

from collections.abc import AsyncIterator

import pytest

from modelfloat.backends.base import Backend
from modelfloat.backends.bulk import bulk
from modelfloat.backends.conditional import keeps_conditions
from modelfloat.backends.keys import shard_key
from modelfloat.backends.objects.backend import ObjectBackend
from modelfloat.backends.registry import open_backend
from modelfloat.ids import PackId
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

    async def test_shards_go_by_one_request(self, backend: Backend) -> None:
        able, keys = bulk(backend), [shard_key(PackId(bytes([n] * 16)), 0, 4, 2) for n in range(9)]
        for key in keys[:6]:
            await backend.put(key, [b"goes"])
        assert able is not None
        await able.delete_many(keys)
        assert [each.key async for each in backend.list()] == []
        assert bulk(backend) is not None


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
