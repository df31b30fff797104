"""An opened bucket, asked through the library obstore from worker threads; every method blocks.

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
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from ...errors import CorruptAnswerError, KeyExistsError, UnavailableError
from ...ids import Key
from ..base import Buffer
from ..conditional import PREFIX
from ..fetch import rest, short
from ..serverclock import ServerClock
from ..staging import pieces, size_of, staged
from ..upload import Approval
from .errors import NO_KEY, code_of, is_behind_the_end, is_missing
from .marks import is_genuine, is_strong, stranger
from .opening import Store
from .place import Place

if TYPE_CHECKING:
    from obstore import GetOptions

WHOLE: Final = 16 << 20
"""Bytes that are sent in one request; more goes in parts,"""
PART: Final = 8 << 20
"""of so many bytes (Amazon asks for 5 MiB at least),"""
AT_ONCE: Final = 3
"""so many at once."""
DEAR: Final = 1 << 20
"""Bytes fetched in vain that a user is told of; markers and records are small."""
FRAME: Final = 32 << 10
"""Bytes that come in one piece at least. What the library has read at a time (up to 400 KiB) is
copied from the processor's cache; put together to longer pieces first it would take memory that is
touched for the first time, and a third more processor time. Of short ones each is a turn at
Python's lock: encrypted connections bring 16 KiB at a time."""
PAGE: Final = 1000
"""Keys that a listing asks for at once; the most that S3 gives."""

log = logging.getLogger(__name__)


class Bucket:
    """The bucket at `place`, which the library knows as `store`.

    `conditional` says that its server decides conditional puts. Errors are the library's, and ours
    where we find something out ourselves.
    """

    def __init__(self, name: str, place: Place, store: Store, *, conditional: bool) -> None:
        self.name = name
        self._place = place
        self._store = store
        self._conditional = conditional
        self._clock = ServerClock(place.address)
        self._ranges = True
        self._told = False

    def _path(self, key: str) -> str:
        return f"{self._place.prefix}/{key}" if self._place.prefix else key

    def put(
        self,
        key: Key,
        parts: Sequence[Buffer],
        approval: Approval,
        if_absent: bool,
    ) -> None:
        """Store an object whole; KeyExistsError where `if_absent` finds one."""
        path = self._path(key)
        if if_absent and not self._conditional:
            if self._is_there(key):
                raise self._exists(key)
            if_absent = False
        if size_of(parts) > WHOLE and not if_absent:
            body = pieces(parts, PART, approval)
            obstore.put(self._store, path, body, chunk_size=PART, max_concurrency=AT_ONCE)
            return
        with staged(parts, approval) as view:
            try:
                mode: Any = "create" if if_absent else "overwrite"
                done = obstore.put(self._store, path, view, use_multipart=False, mode=mode)
            except AlreadyExistsError:
                raise self._exists(key) from None
        if not is_strong(done["e_tag"]):
            raise stranger(self.name, key, self._place)

    def _exists(self, key: Key) -> KeyExistsError:
        return KeyExistsError(
            f"backend {self.name}: {key} is there already", backend=self.name, key=key
        )

    def _is_there(self, key: Key) -> bool:
        try:
            self._ask(key, {"head": True})
        except FileNotFoundError:
            return False
        return True

    def _ask(self, key: str, options: "GetOptions | None" = None) -> Any:
        """What a server answers, its body not yet read; UnavailableError where another does."""
        answer = obstore.get(self._store, self._path(key), options=options)
        if not is_genuine(answer):
            raise stranger(self.name, key, self._place)
        return answer

    def check_server(self) -> None:
        """UnavailableError unless an object store answers: it tells that a key which nobody has is
        none of its keys."""
        if self._has(lambda: self._ask(f"{PREFIX}{secrets.token_hex(16)}")):
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

    def _head(self, key: Key) -> Any:
        """What is known of an object; a 404 comes with the code that a HEAD cannot have."""
        try:
            return self._ask(key, {"head": True}).meta
        except FileNotFoundError:
            return self._ask(key).meta

    def head(self, key: Key) -> int:
        """How many bytes an object has."""
        return int(self._head(key)["size"])

    def read(self, key: Key, offset: int, size: int | None, most: int | None = None) -> bytes:
        """`size` bytes of an object from `offset` on, or all that are there, `most` and one at
        most."""
        if size is None:
            return self._read_rest(key, offset, most)
        data = bytearray(size)
        self.read_into(key, offset, memoryview(data))
        return bytes(data)

    def _read_rest(self, key: Key, offset: int, most: int | None) -> bytes:
        """All from `offset` on, in one answer: between two the object may be another one."""
        answer = self._ask(key)
        data = bytearray(rest(self.name, key, int(answer.meta["size"]), offset, most))
        done = _fill(answer, offset, memoryview(data))
        if done < len(data):
            raise self._broken_off(key, done, len(data))
        return bytes(data)

    def read_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """Fill `buffer` with an object's bytes from `offset` on."""
        if not len(buffer):
            rest(self.name, key, self.head(key), offset)
            return
        try:
            done = self._receive(key, offset, buffer)
        except BaseError as error:
            if not is_behind_the_end(error):
                raise
            done = 0
        if done < len(buffer):
            size = self.head(key)
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

    def _receive(self, key: Key, offset: int, buffer: memoryview) -> int:
        """How many bytes came into `buffer`."""
        if self._ranges:
            window = (offset, offset + len(buffer))
            try:
                return _fill(self._ask(key, {"range": window}), 0, buffer)
            except BaseError as error:
                if "non-partial" not in str(error):
                    raise
        answer = self._ask(key)
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

    def age(self, key: Key) -> float:
        """Seconds since an object was written, by its server's clock."""
        written = self._head(key)["last_modified"].timestamp()
        try:
            return max(0.0, self._clock.now() - float(written))
        except OSError:
            raise UnavailableError(
                f"backend {self.name}: {key}: {self._place.host} does not tell the time; check its "
                "URL, the network and the server",
                backend=self.name,
                key=key,
            ) from None

    def delete(self, key: Key) -> None:
        """Delete an object, if it is there."""
        if self._has(lambda: self._head(key)):
            self._has(lambda: obstore.delete(self._store, self._path(key)))

    def delete_many(self, paths: Sequence[Key], store: Store) -> None:
        """Delete objects by one request to `store`, which is this one. Nobody looks first whether
        it is an object store that answers: who is none does not answer as one does."""
        obstore.delete(store, [self._path(key) for key in paths])

    def pages(self, folder: str) -> Any:
        """What is below `folder`, some keys at a time, as the library tells them."""
        return iter(obstore.list(self._store, self._path(folder) or None, chunk_size=PAGE))


def _fill(answer: Any, skip: int, buffer: memoryview) -> int:
    """Copy what comes after `skip` bytes into `buffer`; how many bytes that were."""
    done = 0
    for piece in answer.stream(min_chunk_size=FRAME):
        came = memoryview(piece)[skip:]
        skip = max(0, skip - len(piece))
        came = came[: len(buffer) - done]
        buffer[done : done + len(came)] = came
        done += len(came)
        if done == len(buffer):
            break
    return done
