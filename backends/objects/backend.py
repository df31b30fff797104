"""A bucket as a backend: S3, Google Cloud Storage and Azure, through the library obstore.

Keys are objects below a prefix. What is sent is copied first (`staging`), what comes is copied once
into the caller's buffer. Servers differ, and what they get wrong is met here:

* A condition on a put may be ignored, and the object overwritten (`rclone serve s3`). So it counts
  only where a probe found it kept (`conditional`); elsewhere `put(if_absent=True)` looks first, and
  two writers at the same moment may both win.
* An answer to HEAD has no body: a missing bucket looks like a missing key. A 404 counts as a key's
  only when an answer with a body says so; a bucket that is gone is no lack of keys.
* A server that keeps keys as files may delete the file `a` when asked to delete `a/b`. So a delete
  looks first.
* Somebody else may answer, a login page for one (`marks`). What comes of a delete the library
  does not tell, and of a listing the keys alone: before the one and after the other we ask for what
  only an object store can tell.
* A range may be answered with status 200. What is sent then is not trusted to be the range: the
  object is read from its beginning.

Concurrency: each call is one hop to a worker thread, which blocks in the library with the GIL
released; it is abandoned on cancellation, and its place given away (`threads`). Shared between
threads: the library's store, made once under a lock, and the server's clock.
"""

import logging
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import obstore
import trio
from obstore.exceptions import AlreadyExistsError, BaseError

from ...errors import CorruptAnswerError, KeyExistsError, UnavailableError
from ...ids import Key
from ..base import Buffer, Listed, Properties, Usage
from ..conditional import PREFIX
from ..fetch import rest, short
from ..keys import check_key, check_prefix, is_key
from ..serverclock import ServerClock
from ..staging import pieces, size_of, staged
from ..threads import Threads
from ..upload import Approval
from .errors import NO_KEY, code_of, is_behind_the_end, is_missing, translate
from .marks import is_genuine, is_strong, stranger
from .opening import Store, open_store
from .place import Place, parse_place

if TYPE_CHECKING:
    from obstore import GetOptions

THREADS: Final = 16
"""Calls that run at once: one connection brings some tens of MB/s over a distance."""
FAR: Final = 0.03
NEAR: Final = 0.002
"""Seconds that an answer takes from another machine, and from this one; reads measure it anew."""
WHOLE: Final = 16 << 20
"""Bytes that are sent in one request; more goes in parts,"""
PART: Final = 8 << 20
"""of so many bytes (Amazon asks for 5 MiB at least),"""
AT_ONCE: Final = 3
"""so many at once."""
DEAR: Final = 1 << 20
"""Bytes fetched in vain that a user is told of; markers and records are small."""
STREAMED: Final = 4 << 20
"""Reads longer than this come in pieces of so many bytes, so that little is held besides."""
PAGE: Final = 1000
"""Keys that a listing asks for at once; the most that S3 gives."""

T = TypeVar("T")

log = logging.getLogger(__name__)


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
        self._opened: Store | None = None
        self._clock = ServerClock(place.address)
        self._threads = Threads(THREADS)
        self._ranges = True
        self._told = False
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
                key, lambda store: self._put(store, key, parts, approval, if_absent), holds=True
            )
        except trio.Cancelled:
            approval.abandon()
            raise

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        _check_offset(key, offset)
        await self._run(key, lambda store: self._read_into(store, key, offset, buffer.cast("B")))

    async def get(self, key: Key, offset: int = 0, size: int | None = None) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        _check_offset(key, offset)
        return await self._run(key, lambda store: self._read(store, key, offset, size))

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return await self._run(key, lambda store: int(self._head(store, key)["size"]))

    async def age(self, key: Key) -> float:
        """See `Backend.age`; too small by up to a second."""
        check_key(key)
        return await self._run(key, lambda store: self._age(store, key))

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        await self._run(key, lambda store: self._delete(store, key))

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. The server lists whole folders, so a prefix that ends in the middle
        of a name costs as much as its folder. An end that another than it may have told is
        UnavailableError."""
        check_prefix(prefix)
        folder = prefix.rpartition("/")[0]
        pages = await self._run("", lambda store: self._pages(store, folder))
        while page := await self._run("", lambda _: next(pages, None)):
            for found in page:
                text = self._key_of(str(found["path"]))
                if text.startswith(prefix) and is_key(text):
                    yield Listed(Key(text), int(found["size"]))
        await self._run("", self._check_server)

    async def usage(self) -> Usage:
        """Nothing is known: buckets have no end, or none that they tell."""
        await trio.lowlevel.checkpoint()
        return Usage(free=None, total=None)

    async def aclose(self) -> None:
        """Let go of the connections; calls under way end by themselves."""
        await trio.lowlevel.checkpoint()
        self._opened = None

    async def _run(self, key: str, function: Callable[[Store], T], *, holds: bool = False) -> T:
        return await self._threads.run(lambda: self._guard(key, function), holds=holds)

    # From here on everything runs in worker threads.

    def _guard(self, key: str, function: Callable[[Store], T]) -> T:
        try:
            return function(self._store())
        except (BaseError, FileNotFoundError) as error:
            # The library's text holds URLs, which may be signed: it is not carried along.
            raise translate(error, self.name, key, self._place) from None
        except BaseException as error:
            if type(error).__module__ != "pyo3_runtime":
                raise
            # The library panicked: that must not end the process, of a mount for one.
            raise translate(error, self.name, key, self._place) from None

    def _store(self) -> Store:
        with self._opening:
            if self._opened is None:
                self._opened = open_store(self.name, self._place)
            return self._opened

    def _path(self, key: str) -> str:
        return f"{self._place.prefix}/{key}" if self._place.prefix else key

    def _key_of(self, path: str) -> str:
        return path[len(self._place.prefix) + 1 :] if self._place.prefix else path

    def _put(
        self,
        store: Store,
        key: Key,
        parts: Sequence[Buffer],
        approval: Approval,
        if_absent: bool,
    ) -> None:
        path = self._path(key)
        if if_absent and not self.properties.conditional_put:
            if self._is_there(store, key):
                raise self._exists(key)
            if_absent = False
        if size_of(parts) > WHOLE and not if_absent:
            body = pieces(parts, PART, approval)
            obstore.put(store, path, body, chunk_size=PART, max_concurrency=AT_ONCE)
            return
        with staged(parts, approval) as view:
            try:
                mode: Any = "create" if if_absent else "overwrite"
                done = obstore.put(store, path, view, use_multipart=False, mode=mode)
            except AlreadyExistsError:
                raise self._exists(key) from None
        if not is_strong(done["e_tag"]):
            raise stranger(self.name, key, self._place)

    def _exists(self, key: Key) -> KeyExistsError:
        return KeyExistsError(
            f"backend {self.name}: {key} is there already", backend=self.name, key=key
        )

    def _is_there(self, store: Store, key: Key) -> bool:
        try:
            self._ask(store, key, {"head": True})
        except FileNotFoundError:
            return False
        return True

    def _ask(self, store: Store, key: str, options: "GetOptions | None" = None) -> Any:
        """What a server answers, its body not yet read; UnavailableError where another does."""
        answer = obstore.get(store, self._path(key), options=options)
        if not is_genuine(answer):
            raise stranger(self.name, key, self._place)
        return answer

    def _check_server(self, store: Store) -> None:
        """UnavailableError unless an object store answers: it tells that a key which nobody has is
        none of its keys."""
        if self._has(lambda: self._ask(store, f"{PREFIX}{secrets.token_hex(16)}")):
            raise stranger(self.name, "", self._place)

    def _has(self, call: Callable[[], object]) -> bool:
        """Whether `call` finds its key; that there is none is believed of who says why."""
        try:
            call()
        except (BaseError, FileNotFoundError) as error:
            if is_missing(error) and code_of(error) in NO_KEY:
                return False
            raise
        return True

    def _head(self, store: Store, key: Key) -> Any:
        """What is known of an object; a 404 comes with the code that a HEAD cannot have."""
        try:
            return self._ask(store, key, {"head": True}).meta
        except FileNotFoundError:
            return self._ask(store, key).meta

    def _read(self, store: Store, key: Key, offset: int, size: int | None) -> bytes:
        if size is None:
            return self._read_rest(store, key, offset)
        data = bytearray(size)
        self._read_into(store, key, offset, memoryview(data))
        return bytes(data)

    def _read_rest(self, store: Store, key: Key, offset: int) -> bytes:
        """All from `offset` on, in one answer: between two the object may be another one."""
        answer = self._ask(store, key)
        data = bytearray(rest(self.name, key, int(answer.meta["size"]), offset))
        done = _fill(answer, offset, memoryview(data))
        if done < len(data):
            raise self._broken_off(key, done, len(data))
        return bytes(data)

    def _read_into(self, store: Store, key: Key, offset: int, buffer: memoryview) -> None:
        if not len(buffer):
            rest(self.name, key, int(self._head(store, key)["size"]), offset)
            return
        try:
            done = self._receive(store, key, offset, buffer)
        except BaseError as error:
            if not is_behind_the_end(error):
                raise
            done = 0
        if done < len(buffer):
            size = int(self._head(store, key)["size"])
            if size >= offset + len(buffer):
                raise self._broken_off(key, done, len(buffer))
            raise short(self.name, key, offset + len(buffer), size)

    def _broken_off(self, key: Key, done: int, wanted: int) -> CorruptAnswerError:
        return CorruptAnswerError(
            f"backend {self.name}: {key}: {done} bytes came of {wanted} that are there; check the "
            "server and what stands between",
            backend=self.name,
            key=key,
        )

    def _receive(self, store: Store, key: Key, offset: int, buffer: memoryview) -> int:
        """How many bytes came into `buffer`."""
        if self._ranges:
            window = (offset, offset + len(buffer))
            try:
                return _fill(self._ask(store, key, {"range": window}), 0, buffer)
            except BaseError as error:
                if "non-partial" not in str(error):
                    raise
        answer = self._ask(store, key)
        if self._ranges:
            self._ranges = False
        if offset >= DEAR and not self._told:
            self._told = True
            log.warning(
                "backend %s: its server does not answer ranges as HTTP asks for: each read "
                "fetches all that stands before it too",
                self.name,
            )
        return _fill(answer, offset, buffer)

    def _age(self, store: Store, key: Key) -> float:
        written = self._head(store, key)["last_modified"].timestamp()
        try:
            return max(0.0, self._clock.now() - float(written))
        except OSError:
            raise UnavailableError(
                f"backend {self.name}: {key}: {self._place.host} does not tell the time; check its "
                "URL, the network and the server",
                backend=self.name,
                key=key,
            ) from None

    def _delete(self, store: Store, key: Key) -> None:
        if self._has(lambda: self._head(store, key)):
            self._has(lambda: obstore.delete(store, self._path(key)))

    def _pages(self, store: Store, folder: str) -> Any:
        return iter(obstore.list(store, self._path(folder) or None, chunk_size=PAGE))


def _fill(answer: Any, skip: int, buffer: memoryview) -> int:
    """Copy what comes after `skip` bytes into `buffer`; how many bytes that were."""
    done = 0
    for piece in answer.stream(min_chunk_size=STREAMED):
        came = memoryview(piece)[skip:]
        skip = max(0, skip - len(piece))
        came = came[: len(buffer) - done]
        buffer[done : done + len(came)] = came
        done += len(came)
        if done == len(buffer):
            break
    return done


def _check_offset(key: Key, offset: int) -> None:
    if offset < 0:
        raise ValueError(f"offset {offset} of {key} is negative")
