"""A folder on Google Drive as a backend.

A key is a file; `files` says which, `uploads` how it comes there, `known` what is remembered of
both. What is written here is read here at once, and listed, though Drive's listings are late; what
others wrote is there when a listing shows it. Until then a shard counts as missing, and is read
from parity.

A value is replaced by new content of its file, which Drive does at once. Drive decides nothing
between two writers: `if_absent` looks before and after, and of two at one moment both may win.

An account may upload 750 GB a day. What Google says then is what it says of any haste; so where an
upload is refused for that still after all waits, nothing is uploaded for ten minutes: puts are
QuotaError and no space is free, so the backend counts as full until then.

Concurrency: puts and deletes of one key wait for each other here; other processes and machines do
not, see `files`.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

import trio
from httpx2 import Response

from ...errors import BackendError, KeyExistsError, UnavailableError
from ...ids import Key
from ...rate import Rate
from ..base import Buffer, Listed, Properties, Usage
from ..fetch import fetch, rest, short
from ..http.client import TooLongError
from ..http.ranges import Filling, last_of, size_without
from ..keys import check_key, check_prefix
from .address import Place, parse_place
from .answers import failure, stopped, stranger
from .api import CONNECTIONS, DriveApi
from .files import Files, order
from .grant import grant_if_any
from .known import UPLOADS, File, Known
from .uploads import GoneError, Uploads

LATENCY: Final = 0.15
"""Seconds; what a read takes is learned while reading."""
RATE: Final = Rate(requests=100.0, burst=800, daily=750 * 10**9, put=40)
"""Google allows 12,000 requests a minute and user, of which we take half, and 750 GB of uploads a
day ("Usage limits", Drive API guides). Of files made it is known to allow 2 or 3 a second for long,
and more for a while."""
ABUSE: Final = "cannotDownloadAbusiveFile"
"""Google takes a file for malware; its owner may read it who says so."""
_ANYWAY: Final = "&acknowledgeAbuse=true"
TRIES: Final = 3
"""Files of one key, or folders for it, that are tried before it counts as one out of reach."""


class GDriveBackend:
    """Keys as files below a folder; see `Backend` for the methods.

    Opening asks nobody anything, but for a file of ours in `state`, the folder in which it is
    remembered who is logged in and what lies where; None remembers nothing.
    """

    def __init__(
        self, name: str, place: Place, *, domain: str | None = None, state: str | None = None
    ) -> None:
        self.name = name
        self._place = place
        self._api = DriveApi(name, place, state)
        path = None if state is None else os.path.join(state, f"gdrive-{place.label}.known")
        self._known = Known(path)
        self._files = Files(self._api, self._known)
        self._uploads = Uploads(self._api, self._files, self._known)
        self._turns: dict[str, tuple[trio.Lock, int]] = {}
        grant = grant_if_any(name, place, state)
        account = place.drive or ("" if grant is None else grant.account)
        self.properties = Properties(
            url=place.url,
            domain=domain if domain is not None else f"gdrive:{account}".rstrip(":"),
            conditional_put=False,
            concurrency=CONNECTIONS,
            latency=LATENCY,
            rate=replace(RATE, account="" if grant is None else f"gdrive:{grant.whose}"),
        )

    @classmethod
    def from_url(
        cls, name: str, url: str, *, domain: str | None, create: bool, state: str | None = None
    ) -> "GDriveBackend":
        """Open a `gdrive://` URL; UsageError where it cannot be one. Folders have ids that Google
        gives, so `create` makes none: `modelfloat backend login --new-folder` does."""
        return cls(name, parse_place(name, url), domain=domain, state=state)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. One that is cancelled leaves nothing or, where all was sent, all."""
        check_key(key)
        await trio.lowlevel.checkpoint()
        seconds = await self._known.stopped(UPLOADS)
        if seconds:
            raise stopped(self.name, seconds)
        async with self._alone(key):
            if not if_absent:
                await self._replace(key, parts)
            elif not await self._make(key, parts):
                raise KeyExistsError(
                    f"backend {self.name}: {key} is there already", backend=self.name, key=key
                )

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        if offset < 0:
            raise ValueError(f"offset {offset} of {key} is negative")
        target = buffer.cast("B")
        if not len(target):
            rest(self.name, key, await self.head(key), offset)
            return
        tried: set[str] = set()
        while (file := await self._files.next_of(key, tried)) is not None:
            if await self._read(key, file.id, offset, target):
                return
            await self._files.lost(key, file.id)
            tried.add(file.id)
        raise await self._files.missing(key)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        return await fetch(self, key, offset, size, most)

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        file, _ = await self._files.look(key)
        return file.size

    async def age(self, key: Key) -> float:
        """See `Backend.age`; too small by up to a second."""
        check_key(key)
        file, now = await self._files.look(key)
        try:
            modified = datetime.fromisoformat(file.modified).timestamp()
        except ValueError:
            modified = None
        if now is None or modified is None:
            raise stranger(self.name, key, "no time is told")
        return max(0.0, now - modified)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`. Files of it that no listing shows yet stay."""
        check_key(key)
        async with self._alone(key):
            files = await self._files.all_of(key)
            for file in files:
                await self._files.remove(key, file.id)
            if files:
                await self._known.remove(key, [file.id for file in files])
            await self._known.abandon(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`. What others wrote or removed may show late."""
        check_prefix(prefix)
        await trio.lowlevel.checkpoint()
        await self._files.homes.check_root()
        ours = await self._known.recent(prefix)
        async with aclosing(self._files.pages(prefix)) as pages:
            async for page in pages:
                late = {key: ours.pop(key) for key, _ in page if key in ours}
                best = [(key, max(file, late.get(key, file), key=order)) for key, file in page]
                await self._known.found(best)
                for key, file in best:
                    yield Listed(Key(key), file.size)
        for key, file in ours.items():  # none of the pages had them: are they there?
            there = await self._files.about(key, file.id)
            if there is not None:
                yield Listed(Key(key), there[0].size)

    async def usage(self) -> Usage:
        """See `Backend.usage`. A shared drive tells nothing. While nothing may be uploaded nothing
        is free."""
        if await self._known.stopped(UPLOADS):
            return Usage(0, None)
        if self._place.drive:
            return Usage(None, None)
        url = self._api.plain_url("/drive/v3/about", fields="storageQuota,user(permissionId)")
        said = await self._api.got("GET", url)
        quota, user = said.get("storageQuota"), said.get("user")
        if not isinstance(quota, dict) or not isinstance(user, dict):
            raise stranger(self.name, "", "a quota is asked for and none comes")
        limit, used = (str(quota.get(name, "")) for name in ("limit", "usage"))
        space = f"gdrive:{user.get('permissionId')}"
        if not limit.isdecimal() or not used.isdecimal():  # an account without a limit
            return Usage(None, None, space)
        return Usage(max(0, int(limit) - int(used)), int(limit), space)

    async def aclose(self) -> None:
        """Close the connections, and what is remembered."""
        await self._api.aclose()
        await self._known.aclose()

    async def _make(self, key: Key, parts: Sequence[Buffer]) -> bool:
        """Make the file of a key that has none; False where it has one, or another was first."""
        if await self._is_there(key):
            return False
        file = await self._send(key, parts, None)
        earlier = [each for each in await self._files.all_of(key) if order(each) < order(file)]
        for each in earlier:
            if await self._files.about(key, each.id) is not None:
                await self._files.remove(key, file.id)
                await self._known.remove(key, [file.id])
                return False
        return True

    async def _is_there(self, key: Key) -> bool:
        tried: set[str] = set()
        while (file := await self._files.next_of(key, tried)) is not None:
            if await self._files.about(key, file.id) is not None:
                return True
            await self._files.lost(key, file.id)
            tried.add(file.id)
        return False

    async def _replace(self, key: Key, parts: Sequence[Buffer]) -> None:
        """Give the file of a key that content, or make one; its doubles go."""
        file = await self._files.candidate(key)
        sent = await self._send(key, parts, file)
        doubles = [each for each in self._files.doubles.pop(key, []) if each != sent.id]
        for each in doubles:
            with suppress(BackendError):
                await self._files.remove(key, each)
                await self._known.remove(key, [each])

    async def _send(self, key: Key, parts: Sequence[Buffer], file: File | None) -> File:
        tried: set[str] = set()
        for _ in range(TRIES):
            try:
                sent = await self._uploads.send(key, parts, None if file is None else file.id)
            except GoneError:
                if file is None:
                    await self._files.homes.forget()
                    await self._files.homes.check_root()
                else:
                    await self._files.lost(key, file.id)
                    tried.add(file.id)
                    file = await self._files.next_of(key, tried)
            else:
                await self._known.wrote(key, sent)
                return sent
        raise UnavailableError(
            f"backend {self.name}: {key}: its folder on Google Drive goes away while it is "
            "written; look who removes it",
            backend=self.name,
            key=key,
        )

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """One at a time for each key."""
        lock, waiting = self._turns.get(key, (trio.Lock(), 0))
        self._turns[key] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(key)
            if waiting > 1:
                self._turns[key] = lock, waiting - 1

    async def _read(self, key: Key, id_: str, offset: int, target: memoryview) -> bool:
        """Whether the range was read; False where the file is gone."""
        url = self._files.url(id_, alt="media")
        headers = {"Range": f"bytes={offset}-{offset + len(target) - 1}"}
        tried = 0
        while True:
            tried += 1
            async with self._api.ask("GET", url, key=key, headers=headers) as answer:
                if answer.status_code == 206:
                    await self._fill(key, offset, target, answer)
                    return True
                size = size_without(answer.headers.get("content-range", ""))
                if answer.status_code == 416 and size is not None:
                    raise short(self.name, key, offset + len(target), size)
                if answer.status_code < 400:
                    raise stranger(self.name, key, "a range is answered by something else")
                said = await self._api.refusal(answer)
            if said.gone:
                return False
            if said.status == 416:
                raise short(self.name, key, offset + len(target), await self.head(key))
            if said.reason == ABUSE and not url.endswith(_ANYWAY):
                url += _ANYWAY
                continue
            if not said.passes:
                raise failure(self.name, key, said)
            await self._api.pause(tried, said, key)

    async def _fill(self, key: Key, offset: int, target: memoryview, answer: Response) -> None:
        end = offset + len(target) - 1
        last = last_of(answer.headers.get("content-range", ""), offset, end)
        if last is None or answer.headers.get("content-encoding", "identity") != "identity":
            raise stranger(self.name, key, "another range comes than was asked for")
        if last < end:
            raise short(self.name, key, end + 1, last + 1)
        filling = Filling(target)
        try:
            await self._api.http.read(answer, filling.take)
        except TooLongError:
            raise stranger(self.name, key, "a range is longer than it says") from None
        if filling.done < len(target):
            raise stranger(self.name, key, "a range is shorter than it says")
