"""Objects put and fetched by obstore alone, many at once: what a store over it is compared with."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import obstore
from obstore.store import S3Store

from modelfloat.bench.harness import Run
from modelfloat.tests.support.servers import CREDENTIALS, REGION, SeaweedFS

THREADS: Final = 24
"""Calls at once: four a bucket of six. More brought nothing on loopback."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object: the number of its bucket, its key, its size in bytes."""

    bucket: int
    key: str
    size: int


class Buckets:
    """Buckets of a server, as obstore opens them."""

    def __init__(self, server: SeaweedFS, names: Sequence[str]) -> None:
        self.urls = [server.s3_url(name) for name in names]
        self._stores = [_open(server, name) for name in names]

    def objects(self) -> list[Object]:
        """All that lie there."""
        return [
            Object(number, found["path"], found["size"])
            for number, store in enumerate(self._stores)
            for batch in obstore.list(store)
            for found in batch
        ]

    def put(self, objects: Iterable[Object], data: memoryview) -> Run:
        """Put objects of those keys and sizes, with bytes of `data`."""

        def put(one: Object) -> None:
            obstore.put(self._stores[one.bucket], one.key, bytes(data[: one.size]))

        return _timed(put, objects)

    def get(self, objects: Iterable[Object]) -> Run:
        """Fetch objects, whole."""

        def get(one: Object) -> None:
            whole = obstore.get(self._stores[one.bucket], one.key).bytes()
            assert len(whole) == one.size, one.key

        return _timed(get, objects)

    def delete(self, objects: Iterable[Object]) -> None:
        """Remove objects, off the clock."""
        _timed(lambda one: obstore.delete(self._stores[one.bucket], one.key), objects)


def _timed(work: Callable[[Object], None], objects: Iterable[Object]) -> Run:
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(work, objects):
            pass
    return Run(time.perf_counter() - start)


def _open(server: SeaweedFS, bucket: str) -> S3Store:
    os.environ.update(CREDENTIALS)
    return S3Store(
        bucket,
        endpoint=server.s3,
        region=REGION,
        access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
