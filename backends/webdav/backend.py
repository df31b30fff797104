"""A folder on a WebDAV server as a backend: one file a key, laid out as in a directory.

A value goes to a name in `tmp/` first and is moved to its own (RFC 4918, sections 9.7 and 9.9), so
nobody ever sees half of it. A server that moves onto a file which is there may remove that first:
for a moment there is none, which `atomic_replace` tells. Where other values do come (`is_replaced`)
the upload's name tells the key: whoever misses it looks again, and no listing leaves it out.
`if_absent` is a move that may not overwrite: the server decides it, but no rule says that it does
so atomically.

A folder is never deleted, as that would delete all that lies in it; empty ones stay behind.

Sizes and times come from PROPFIND, values from ranged GET alone: what answers anything but 206 is
not taken for the range. How credentials are found is told in `address`.

Concurrency: as `requests` and `tree` say; of this object only `_swept` and `_ahead` change.
"""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import trio
from httpx2 import Response

from ...errors import BackendError, DeniedError, KeyExistsError, QuotaError
from ...ids import Key
from ..base import Buffer, Listed, Properties, Usage
from ..fetch import fetch, rest, short
from ..http.client import TooLongError
from ..http.ranges import Filling, last_of, size_without
from ..keys import check_key, check_prefix, is_replaced
from .address import address_of
from .requests import CONNECTIONS, DavHttp
from .tree import DavTree

LATENCY: Final = 0.05
"""Seconds: what a server on another continent takes is learned while reading."""
LEFTOVER_AGE: Final = 3600.0
"""Seconds after which an upload that nobody finished is removed."""
CLEANUP: Final = 5.0
"""Seconds that removing an upload that failed may take."""
TRIES: Final = 3
"""Reads of a key that is replaced each time it is looked for; moves into a folder that is gone;
uploads that are gone."""
_DONE: Final = frozenset({201, 204})
_LOCKED: Final = 423
_GONE: Final = 404
_NOWHERE: Final = frozenset({403, _GONE, 409, 410})
"""What servers say of a move of something that is not there."""


class WebDavBackend:
    """Keys as files below a folder; see `Backend` for the methods.

    Opening asks the server nothing. With `create` the folder is made at the first write.
    """

    def __init__(
        self, name: str, url: str, *, domain: str | None = None, create: bool = False
    ) -> None:
        address = address_of(name, url)
        self.name = name
        self._http = DavHttp(name, address)
        self._tree = DavTree(self._http, create=create)
        self._swept = False
        self._ahead: float | None = None
        self.properties = Properties(
            url=url,
            domain=domain if domain is not None else f"host:{address.host}",
            conditional_put=False,
            concurrency=CONNECTIONS,
            latency=LATENCY,
            atomic_replace=False,
        )

    @classmethod
    def from_url(cls, name: str, url: str, *, domain: str | None, create: bool) -> "WebDavBackend":
        """Open a `webdav://` or `webdavs://` URL; UsageError where it cannot be one."""
        return cls(name, url, domain=domain, create=create)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. What a cancelled one had uploaded is removed by a later sweep."""
        check_key(key)
        await self._tree.prepare(key)
        for _ in range(TRIES):
            if await self._stored(key, parts, if_absent=if_absent):
                self._tree.saw(key)
                return
        raise self._http.failure("MOVE", key, _GONE)

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        target = buffer.cast("B")
        if not len(target):
            rest(self.name, key, await self.head(key), offset)
            return
        for tried in range(TRIES):
            if await self._read(key, offset, target, last=tried == TRIES - 1):
                break
        self._tree.saw(key)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        found, _ = await self._tree.find(key)
        return found.size or 0

    async def age(self, key: Key) -> float:
        """See `Backend.age`: against the time that the server gives a file written now, as its
        files may come from a machine with another clock."""
        check_key(key)
        found, now = await self._tree.find(key)
        if found.modified is None or now is None:
            raise self._http.stranger(key, "the server tells no time")
        if self._ahead is None:
            self._ahead = await self._clock()
        return max(0.0, now + self._ahead - found.modified)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        found = await self._tree.lies(key)
        if found is None or found.folder:  # which would be deleted with all that lies in it
            return
        status = await self._http.status("DELETE", key, self._tree.path(key))
        if status in (204, 404, 410):
            return
        if not 200 <= status < 300:
            raise self._http.failure("DELETE", key, status)
        if await self._tree.lies(key) is not None:
            raise self._http.stranger(key, "what the server said to delete is there still")

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        folders = [check_prefix(prefix).rpartition("/")[0]]
        await trio.lowlevel.checkpoint()
        if is_replaced(prefix):
            for listed in await self._tree.list_replaced(prefix):
                yield listed
            return
        while folders:
            for listed in await self._tree.list_round(folders, prefix):
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`; where the server tells quotas (RFC 4331)."""
        root = await self._tree.root()
        total = None if root.free is None or root.used is None else root.free + root.used
        return Usage(root.free, total, space=f"webdav:{self._http.address.host}")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _stored(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool) -> bool:
        """Store a value; False where the server lost it before it had its name."""
        temporary = self._tree.upload_name(key)
        try:
            await self._upload(temporary, key, parts)
            return await self._publish(temporary, key, if_absent=if_absent)
        except BackendError:
            await self._discard(temporary)
            raise

    async def _upload(self, temporary: str, key: str, parts: Sequence[Buffer]) -> None:
        """Store a value under a temporary name."""
        await self._tree.prepare(temporary)
        if not self._swept:
            self._swept = True
            await self._sweep()
        status = await self._http.status("PUT", key, self._tree.path(temporary), parts=parts)
        if status in (404, 409):  # the folder of uploads was removed by somebody
            self._tree.forget(temporary)
            await self._tree.prepare(temporary)
            status = await self._http.status("PUT", key, self._tree.path(temporary), parts=parts)
        if not 200 <= status < 300:
            raise self._http.failure("PUT", key, status)

    async def _publish(self, temporary: str, key: Key, *, if_absent: bool) -> bool:
        """Give an upload its name; False where it is not there any more, for servers that remove
        empty folders may remove one that has just been written to. Overwriting is asked for only
        where a file is in the way: of a folder it would remove all that lies in it."""
        status = await self._move(temporary, key, overwrite=False)
        for _ in range(TRIES):
            if status in (*_DONE, 412, _LOCKED):  # a lock was waited for already
                break
            # Its folder may be gone; some servers call that no more than forbidden. One that
            # removes empty folders by itself may do so again, while others delete there.
            self._tree.forget(key)
            await self._tree.prepare(key)
            status = await self._move(temporary, key, overwrite=False)
        if status == 412:
            if if_absent:
                raise KeyExistsError(
                    f"backend {self.name}: {key} is there already", backend=self.name, key=key
                )
            await self._refuse_folder(key)
            status = await self._move(temporary, key, overwrite=True)
        if status in _DONE:
            return True
        if status in _NOWHERE and await self._tree.lies(temporary) is None:
            return False
        raise self._http.failure("MOVE", key, status)

    async def _discard(self, temporary: str) -> None:
        """Remove an upload, best effort."""
        with trio.move_on_after(CLEANUP), contextlib.suppress(BackendError):
            await self._http.status("DELETE", "", self._tree.path(temporary))

    async def _sweep(self) -> None:
        """Remove uploads that nobody finished, best effort."""
        with contextlib.suppress(BackendError):
            for temporary in await self._tree.leftovers(LEFTOVER_AGE):
                await self._discard(temporary)

    async def _clock(self) -> float:
        """Seconds that a file written now is ahead of the server's own time."""
        temporary = self._tree.upload_name("")
        try:
            await self._upload(temporary, temporary, [b"?"])
            found, now = await self._tree.file(temporary)
        except (DeniedError, QuotaError):
            return 0.0  # it cannot be written to
        finally:
            await self._discard(temporary)
        return 0.0 if found.modified is None or now is None else found.modified - now

    async def _move(self, temporary: str, key: Key, *, overwrite: bool) -> int:
        destination = self._http.address.url(self._tree.path(key))
        headers = {"Destination": destination, "Overwrite": "T" if overwrite else "F"}
        return await self._http.status("MOVE", key, self._tree.path(temporary), headers)

    async def _refuse_folder(self, key: Key) -> None:
        found = await self._tree.lies(key)
        if found is not None and found.folder:
            raise DeniedError(
                f"backend {self.name}: {key} is in the way of a folder, or a folder of it; "
                "look what lies there",
                backend=self.name,
                key=key,
            )

    async def _read(self, key: Key, offset: int, target: memoryview, *, last: bool) -> bool:
        """Whether the range was read; False where it was not there, and then was: just replaced."""
        end = offset + len(target) - 1
        headers = {"Range": f"bytes={offset}-{end}"}
        async with self._http.ask("GET", key, self._tree.path(key), headers) as answer:
            status = answer.status_code
            if status == 206:
                self._check_range(key, offset, end, answer.headers.get("content-range", ""))
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise self._http.stranger(key, "a range comes compressed")
                await self._fill(key, target, answer)
                return True
            size = size_without(answer.headers.get("content-range", ""))
            onward = answer.headers.get("location", "")
        if status == 416 and size is not None:
            raise short(self.name, key, end + 1, size)
        if 200 <= status < 300:
            raise self._http.stranger(key, "a range is answered by a whole page")
        await self._tree.find(key)  # a folder, or nothing, is answered by all kinds of statuses
        if 300 <= status < 400:
            raise self._http.elsewhere(key, onward)
        if last or status not in (404, 410):
            raise self._http.failure("GET", key, status)
        return False

    def _check_range(self, key: Key, offset: int, last: int, said: str) -> None:
        comes = last_of(said, offset, last)
        if comes is None:
            raise self._http.stranger(key, "another range comes than was asked for")
        if comes < last:
            raise short(self.name, key, last + 1, comes + 1)

    async def _fill(self, key: Key, target: memoryview, answer: Response) -> None:
        filling = Filling(target)
        try:
            await self._http.read(answer, filling.take)
        except TooLongError:
            raise self._http.stranger(key, "a range is longer than it says") from None
        if filling.done < len(target):
            raise self._http.stranger(key, "a range is shorter than it says")
