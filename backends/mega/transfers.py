"""Bytes to and from MEGA's storage servers, encrypted and decrypted here.

A download has an address of its own (`g`), good for many ranges: `GET address/first-last`. So has
an upload (`u`): its pieces, each one or several whole chunks, go to `POST address/offset` in any
order, and the answer to the last one is a token by which the file gets its name.

Status 509 says that the transfer quota is used up. Until the time that it names nothing is asked
for any more. Bytes that are read whole are compared with the file's MAC; ranges have none, and
those who read them know what they should be.

Concurrency: `UPLOADS` pieces are under way at once, and in memory, whatever the number of puts;
small values, as leases are, go beside them, for their deadlines do not wait for shards on a slow
line. The bytes of a put are copied while its caller waits, so nothing reads them once it gave up.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import trio
from httpx2 import Response

from ...errors import (
    BackendError,
    CorruptAnswerError,
    ThrottledError,
    UnavailableError,
    one_failure,
)
from ...ids import Key
from ..base import Buffer
from ..http.client import HttpClient, TooLongError
from .api import MegaApi
from .ciphers import FileKey, crypt, mac_of
from .codes import ABSENT, AGAIN, OVER_QUOTA, RefusedError, failure
from .nodes import Node
from .pieces import Parts, Piece, Upload

UPLOADS: Final = 6
KNOWN: Final = 4096
"""Addresses that are remembered."""
INLINE: Final = 64 << 10
"""Bytes that are decrypted faster than a thread is found for them, and uploaded at once."""
TRIES: Final = 4
PAUSE: Final = 0.5
"""Times that a piece is sent while a server is busy, and seconds before the second time."""
LEFT: Final = 600.0
"""Seconds until the next try, where a server says that the quota is used up and not for how
long."""
_ANSWER: Final = 1024
_TOKEN: Final = re.compile(r"[A-Za-z0-9_+/=-]{8,256}")
_FULL: Final = 509
_GOOD: Final = frozenset({200, 206})
_GONE: Final = frozenset({403, 404, 410})

T = TypeVar("T")


class Transfers:
    """Up- and downloads on behalf of one backend; `secure` where addresses must be of HTTPS."""

    def __init__(self, http: HttpClient, api: MegaApi, *, secure: bool) -> None:
        self._name = http.name
        self._http = http
        self._api = api
        self._secure = secure
        self._sources: dict[str, str] = {}
        self._room = trio.CapacityLimiter(UPLOADS)
        self._until = float("-inf")

    async def fetch(self, node: Node, key: Key, offset: int, target: memoryview) -> bool:
        """Fill `target` from `offset` on; False where MEGA does not have that node any more."""
        for _ in range(2):
            try:
                source = await self._source(node, key)
            except RefusedError as refused:
                if refused.code == ABSENT:
                    return False
                raise self._failure(key, refused) from None
            if await self._read(source, key, offset, target):
                await self._decrypt(node, key, offset, target)
                return True
            self._sources.pop(node.handle, None)  # addresses do not last for ever
        raise self._api.strange(key, "its storage servers do not know their own addresses")

    async def store(self, key: Key, parts: Sequence[Buffer]) -> tuple[str, FileKey]:
        """Upload a value; the token by which it gets a name, and what it was encrypted with."""
        source = Parts(parts)
        try:
            command = {"a": "u", "s": source.size, "ssl": 2}
            address = self._address(await self._api.change(command, key), "p", key)
        except RefusedError as refused:
            raise self._failure(key, refused) from None
        upload = Upload(FileKey.fresh(), source)
        with one_failure():
            await self._send_all(upload, address, key)
        if upload.token is None:
            raise self._api.strange(key, "an upload that is whole is not taken")
        return upload.token, upload.finished()

    async def _send_all(self, upload: Upload, address: str, key: Key) -> None:
        async with trio.open_nursery() as nursery:
            for piece in upload.pieces:
                if piece.length > INLINE:
                    await self._room.acquire_on_behalf_of(piece)
                nursery.start_soon(self._send, upload, piece, address, key)

    async def _send(self, upload: Upload, piece: Piece, address: str, key: Key) -> None:
        try:
            data = await trio.to_thread.run_sync(upload.sealed, piece)
            said = await self._taken(f"{address}/{piece.offset}", data, key)
        finally:
            if piece.length > INLINE:
                self._room.release_on_behalf_of(piece)
        if said:
            upload.token = said

    async def _taken(self, url: str, data: bytearray, key: Key) -> str:
        """What a server answers to a piece: a token, or nothing."""
        wait = PAUSE
        for tried in itertools.count(1):
            async with self._http.ask("POST", url, key=key, parts=[data]) as answer:
                said = await self._word(answer, key)
            if said != str(AGAIN) or tried == TRIES:
                break
            await trio.sleep(wait)
            wait *= 2
        if re.fullmatch(r"-[0-9]{1,4}", said):
            raise self._failure(key, RefusedError(int(said)))
        if said and _TOKEN.fullmatch(said) is None:
            raise self._api.strange(key, "a storage server answers with no token")
        return said

    async def _word(self, answer: Response, key: Key) -> str:
        """The short text that is the answer to a piece."""
        if answer.status_code == _FULL:
            raise self._used_up(key, answer.headers.get("x-mega-time-left", ""))
        if answer.status_code >= 500:
            return str(AGAIN)
        if answer.status_code != 200:
            raise self._status(key, answer.status_code)
        try:
            return (await self._http.body(answer, _ANSWER)).decode("ascii").strip()
        except (TooLongError, UnicodeDecodeError):
            raise self._api.strange(key, "a storage server answers with no token") from None

    async def _source(self, node: Node, key: Key) -> str:
        """The address of a file's bytes."""
        self._refuse_early(key)
        known = self._sources.get(node.handle)
        if known is None:
            command = {"a": "g", "g": 1, "n": node.handle, "ssl": 2}
            known = self._address(await self._api.ask(command, key), "g", key)
            if len(self._sources) >= KNOWN:
                self._sources.clear()
            self._sources[node.handle] = known
        return known

    def _address(self, answer: object, name: str, key: Key) -> str:
        found = answer.get(name) if isinstance(answer, dict) else None
        schemes = ("https://",) if self._secure else ("https://", "http://")
        if not isinstance(found, str) or not found.startswith(schemes):
            raise self._api.strange(key, "it names no address of a storage server")
        return found

    async def _read(self, source: str, key: Key, offset: int, target: memoryview) -> bool:
        """Fill `target` with encrypted bytes; False where the address is none any more."""
        url = f"{source}/{offset}-{offset + len(target) - 1}"
        async with self._http.ask("GET", url, key=key) as answer:
            if answer.status_code == _FULL:
                raise self._used_up(key, answer.headers.get("x-mega-time-left", ""))
            if answer.status_code in _GONE:
                return False
            if answer.status_code not in _GOOD:
                raise self._status(key, answer.status_code)
            await self._fill(answer, key, target)
        return True

    async def _fill(self, answer: Response, key: Key, target: memoryview) -> None:
        done = 0

        def take(data: bytes) -> None:
            nonlocal done
            if done + len(data) > len(target):
                raise self._api.strange(key, "a range is longer than it should be")
            target[done : done + len(data)] = data
            done += len(data)

        await self._http.read(answer, take)
        if done < len(target):
            raise self._api.strange(key, "a range is shorter than it should be")

    async def _decrypt(self, node: Node, key: Key, offset: int, target: memoryview) -> None:
        contents = node.file_key
        await _off_loop(len(target), lambda: crypt(contents, offset, target))
        if len(target) == node.size:
            mac = await _off_loop(len(target), lambda: mac_of(contents, target))
            if mac != contents.mac:
                raise CorruptAnswerError(
                    f"backend {self._name}: {key} is not what was stored: its MAC in MEGA is "
                    "another; run `modelfloat verify --repair`",
                    backend=self._name,
                    key=key,
                )

    # ---- failures --------------------------------------------------------------------------------

    def _refuse_early(self, key: str) -> None:
        left = self._until - trio.current_time()
        if left > 0:
            raise self._throttled(key, left)

    def _used_up(self, key: str, said: str) -> ThrottledError:
        """The quota is used up for so many seconds."""
        return self._wait(key, float(said) if said.isdecimal() and len(said) < 9 else LEFT)

    def _wait(self, key: str, left: float) -> ThrottledError:
        self._until = trio.current_time() + left
        return self._throttled(key, left)

    def _throttled(self, key: str, left: float) -> ThrottledError:
        return ThrottledError(
            f"backend {self._name}: {key}: the transfer quota of the MEGA account, or of this "
            f"address, is used up; it is asked again in {_minutes(left)}",
            backend=self._name,
            key=key,
            seconds=left,
        )

    def _failure(self, key: str, refused: RefusedError) -> BackendError:
        if refused.code == OVER_QUOTA and refused.wait is not None:
            return self._wait(key, refused.wait)
        return failure(self._name, key, refused)

    def _status(self, key: str, status: int) -> UnavailableError:
        return UnavailableError(
            f"backend {self._name}: {key}: a storage server of MEGA answers with status {status}; "
            "it is tried again later",
            backend=self._name,
            key=key,
        )


async def _off_loop(size: int, work: Callable[[], T]) -> T:
    return work() if size <= INLINE else await trio.to_thread.run_sync(work)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
