"""A bucket as a backend: S3, Google Cloud Storage and Azure, through the library obstore.

What is asked of the library, and what servers get wrong, is in `bucket`.

Concurrency: each call is one hop to a worker thread, which blocks in the library with the GIL
released; it is abandoned on cancellation, and its place given away (`threads`). Shared between
threads: the bucket, opened once under a lock, and its server's clock.
"""

import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, TypeVar

import trio
from obstore.exceptions import BaseError

from ...errors import BackendError
from ...ids import Key
from ..base import Buffer, Listed, Properties, Usage
from ..keys import check_key, check_prefix, is_key
from ..threads import Threads
from ..upload import Approval
from .bucket import Bucket
from .errors import translate
from .opening import Store, open_bulk, open_store
from .place import Place, parse_place

THREADS: Final = 16
"""Calls that run at once: one connection brings some tens of MB/s over a distance."""
FAR: Final = 0.03
NEAR: Final = 0.002
"""Seconds that an answer takes from another machine, and from this one; reads measure it anew."""

T = TypeVar("T")


class ObjectBackend:
    """Keys as objects in the bucket at `place`; see `Backend` for the methods.

    `conditional_put` says what a probe found; None where there was none, which counts as False.
    Opening asks the network nothing; what is wrong with the place or the credentials every call
    says.
    """

    def __init__(
        self, name: str, url: str, place: Place, *, domain: str | None, conditional_put: bool | None
    ) -> None:
        self.name = name
        self._place = place
        self._opening = threading.Lock()
        self._opened: Bucket | None = None
        self._many: Store | None = None
        self._deletes_many = place.scheme == "s3"
        self._threads = Threads(THREADS)
        self.properties = Properties(
            url=url,
            domain=domain if domain is not None else place.domain,
            conditional_put=bool(conditional_put),
            concurrency=THREADS,
            latency=NEAR if place.near else FAR,
        )

    @classmethod
    def from_url(
        cls,
        name: str,
        url: str,
        *,
        domain: str | None,
        create: bool,
        conditional_put: bool | None = None,
    ) -> "ObjectBackend":
        """Open an `s3://`, `gs://` or `az://` URL. Buckets are made by their owner, not here."""
        place = parse_place(name, url)
        return cls(name, url, place, domain=domain, conditional_put=conditional_put)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. One that is cancelled before it has read all of `parts` stores
        nothing; cancelled later it may still happen, in whole."""
        check_key(key)
        await self._threads.room()
        approval = Approval()
        try:
            await self._run(
                key, lambda bucket: bucket.put(key, parts, approval, if_absent), holds=True
            )
        except trio.Cancelled:
            approval.abandon()
            raise

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        _check_offset(key, offset)
        await self._run(key, lambda bucket: bucket.read_into(key, offset, buffer.cast("B")))

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        _check_offset(key, offset)
        return await self._run(key, lambda bucket: bucket.read(key, offset, size, most))

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return await self._run(key, lambda bucket: bucket.head(key))

    async def age(self, key: Key) -> float:
        """See `Backend.age`; too small by up to a second."""
        check_key(key)
        return await self._run(key, lambda bucket: bucket.age(key))

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        await self._run(key, lambda bucket: bucket.delete(key))

    @property
    def bulk(self) -> "ObjectBackend | None":
        """See `bulk`; none where the server was found not to know such requests."""
        return self if self._deletes_many else None

    async def delete_many(self, keys: Sequence[Key]) -> None:
        """See `Bulk.delete_many`. Once that failed it is not tried again."""
        for key in keys:
            check_key(key)
        try:
            await self._run(keys[0], lambda bucket: self._delete_many(bucket, keys))
        except BackendError:
            self._deletes_many = False
            raise

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. The server lists whole folders, so a prefix that ends in the middle
        of a name costs as much as its folder. An end that another than it may have told is
        UnavailableError."""
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        pages = await self._run("", lambda bucket: bucket.pages(folder))
        while page := await self._run("", lambda _: next(pages, None)):
            for found in page:
                text = self._key_of(str(found["path"]))
                if text.startswith(prefix) and is_key(text):
                    yield Listed(Key(text), int(found["size"]))
        await self._run("", Bucket.check_server)

    async def usage(self) -> Usage:
        """Nothing is known: buckets have no end, or none that they tell."""
        await trio.lowlevel.checkpoint()
        return Usage(free=None, total=None)

    async def aclose(self) -> None:
        """Let go of the connections; calls under way end by themselves."""
        await trio.lowlevel.checkpoint()
        self._opened = None

    async def _run(self, key: str, function: Callable[[Bucket], T], *, holds: bool = False) -> T:
        return await self._threads.run(lambda: self._guard(key, function), holds=holds)

    def _key_of(self, path: str) -> str:
        return path[len(self._place.prefix) + 1 :] if self._place.prefix else path

    # In worker threads.

    def _delete_many(self, bucket: Bucket, keys: Sequence[Key]) -> None:
        with self._opening:
            self._many = self._many or open_bulk(self.name, self._place)
        if self._many is not None:
            bucket.delete_many(keys, self._many)

    def _guard(self, key: str, function: Callable[[Bucket], T]) -> T:
        try:
            return function(self._bucket())
        except (BaseError, FileNotFoundError) as error:
            # The library's text holds URLs, which may be signed: it is not carried along.
            raise translate(error, self.name, key, self._place) from None
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":
                raise
            # The library panicked: that must not end the process, of a mount for one.
            raise translate(error, self.name, key, self._place) from None

    def _bucket(self) -> Bucket:
        with self._opening:
            if self._opened is None:
                store = open_store(self.name, self._place)
                conditional = self.properties.conditional_put
                self._opened = Bucket(self.name, self._place, store, conditional=conditional)
            return self._opened


def _check_offset(key: Key, offset: int) -> None:
    if offset < 0:
        raise ValueError(f"offset {offset} of {key} is negative")
