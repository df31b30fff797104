"""Uploads: in one request where they are small, else in a session that goes on where it broke off.

A session has an address, which is remembered with the SHA-256 of what it sends: who puts the same
bytes under the same key, in this process or a later one, goes on with it. Other bytes begin anew.
A file comes into being, or changes, when all of its bytes are there. Drive answers with what it
got; a file whose SHA-256 is another is removed. Source: Google's "Upload file data" (Drive API
guides): 308 with `Range` tells what is there, 404 that the session is gone, and what is sent in
parts comes in multiples of 256 KiB; here all that is missing comes in one request.

Concurrency: one object a backend, any number of uploads; those of one key are the caller's to keep
apart. Cancelled, an upload closes its connection; what was sent by then stays in its session.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import trio

from ...errors import BackendError, CorruptAnswerError, UnavailableError
from ..base import Buffer
from .answers import Refusal, failure, stopped, stranger
from .api import JSON, DriveApi
from .files import Files
from .known import UPLOADS, File, Known, Upload

SMALL: Final = 5 << 20
"""Bytes that are sent in one request with their name; Google asks for a session above."""
STOP: Final = 600.0
"""Seconds for which nothing is uploaded where an account seems to have used up its day's bytes."""
MEDIA: Final = "application/octet-stream"
FIELDS: Final = "id,size,sha256Checksum,modifiedTime,trashed"
_RANGE: Final = re.compile(r"bytes=0-([0-9]{1,18})")
_MORE: Final = 308
_LOST: Final = 499


class GoneError(Exception):
    """The file to be changed, or the folder to make it in, is not there."""


class Uploads:
    """Uploads of the backend whose API that is."""

    def __init__(self, api: DriveApi, files: Files, known: Known) -> None:
        self._api = api
        self._files = files
        self._known = known

    async def send(self, key: str, parts: Sequence[Buffer], target: str | None) -> File:
        """Make a file of a key, or give `target` that content; the file as Drive then has it.

        GoneError where the target or the folder is gone. QuotaError, DeniedError and
        UnavailableError as Drive refuses it.
        """
        size = sum(memoryview(part).nbytes for part in parts)
        digest = await trio.to_thread.run_sync(sha256, parts, abandon_on_cancel=True)
        begun = await self._known.upload(key)
        if begun is not None and begun.digest == digest and begun.session:
            said = await self._go_on(key, parts, size, begun.session, None)
            if said is not None:
                return await self._checked(key, said, size, digest)
        if begun is not None and target is None and await self._files.about(key, begun.id):
            target = begun.id  # it came into being, and nobody heard of it
        said = await self._begin(key, parts, size, digest, target)
        return await self._checked(key, said, size, digest)

    async def _begin(
        self, key: str, parts: Sequence[Buffer], size: int, digest: bytes, target: str | None
    ) -> Mapping[str, Any]:
        if target is None:
            folder, name = await self._files.homes.home_of(key)
            id_ = await self._files.homes.new_id()
            method, path = "POST", "/upload/drive/v3/files"
            metadata: dict[str, object] = {"id": id_, "name": name, "parents": [folder]}
        else:
            id_, method, path = target, "PATCH", f"/upload/drive/v3/files/{target}"
            metadata = {}
        metadata["mimeType"] = MEDIA
        upload = Upload(id_, "", digest)
        await self._known.begin(key, upload)
        if size <= SMALL:
            return await self._at_once(key, method, path, metadata, parts, id_)
        session = await self._session(key, method, path, metadata, size)
        await self._known.begin(key, replace(upload, session=session))
        said = await self._go_on(key, parts, size, session, 0)
        if said is None:
            await self._known.abandon(key)
            raise stranger(self._api.name, key, "its upload was forgotten")
        return said

    async def _at_once(
        self,
        key: str,
        method: str,
        path: str,
        metadata: Mapping[str, object],
        parts: Sequence[Buffer],
        id_: str,
    ) -> Mapping[str, Any]:
        """Metadata and content in one request (RFC 2387)."""
        edge = secrets.token_hex(16)
        head = f"--{edge}\r\nContent-Type: {JSON}\r\n\r\n{json.dumps(metadata)}\r\n"
        head += f"--{edge}\r\nContent-Type: {MEDIA}\r\n\r\n"
        whole = [head.encode(), *parts, f"\r\n--{edge}--\r\n".encode()]
        url = self._api.url(path, uploadType="multipart", fields=FIELDS)
        headers = {"Content-Type": f"multipart/related; boundary={edge}"}
        tried = 0
        while True:
            tried += 1
            async with self._api.ask(method, url, key=key, headers=headers, parts=whole) as answer:
                said = await self._api.said(answer, key)
            if not isinstance(said, Refusal):
                return said
            if said.status == 409:  # an earlier try has made it; what it holds is looked at
                return await self._api.got("GET", self._files.url(id_, fields=FIELDS), key=key)
            if said.gone:
                raise GoneError
            if not said.passes:
                raise failure(self._api.name, key, said)
            await self._pause(tried, said, key)

    async def _session(
        self, key: str, method: str, path: str, metadata: Mapping[str, object], size: int
    ) -> str:
        """The address of a new session."""
        url = self._api.url(path, uploadType="resumable", fields=FIELDS)
        headers = {
            "Content-Type": JSON,
            "X-Upload-Content-Type": MEDIA,
            "X-Upload-Content-Length": str(size),
        }
        body = [json.dumps(metadata).encode()]
        tried = 0
        while True:
            tried += 1
            async with self._api.ask(method, url, key=key, headers=headers, parts=body) as answer:
                onward = answer.headers.get("location", "")
                if 200 <= answer.status_code < 300:
                    return self._address(key, url, onward)
                said = await self._api.refusal(answer)
            if said.gone:
                raise GoneError
            if not said.passes:
                raise failure(self._api.name, key, said)
            await self._pause(tried, said, key)

    async def _pause(self, tried: int, refusal: Refusal, key: str) -> None:
        """Wait before an upload is begun again; QuotaError where its account may upload no more."""
        hasty = refusal.reason == "userRateLimitExceeded"
        if hasty and self._api.backoff.wait(tried, refusal.after) is None:
            await self._known.stop(UPLOADS, STOP)
            raise stopped(self._api.name, STOP)
        await self._api.pause(tried, refusal, key)

    def _address(self, key: str, url: str, onward: str) -> str:
        try:
            whole = urljoin(url, onward)
            scheme = urlsplit(whole).scheme
        except ValueError:
            scheme = ""
        if not onward or scheme not in ("https", urlsplit(url).scheme):
            raise stranger(self._api.name, key, "an upload begins and has no address")
        return whole

    async def _go_on(
        self, key: str, parts: Sequence[Buffer], size: int, session: str, there: int | None
    ) -> Mapping[str, Any] | None:
        """Send what a session lacks until it has all; None where the session is gone.

        `there` is how many bytes it has, None where it is to be asked.
        """
        most = tried = 0
        while True:
            if there is None:
                said = await self._ask_session(key, session, size)
                if not isinstance(said, int):
                    return said
                there = said
            if there > most:
                most, tried = there, 0
            tried += 1
            try:
                sent = await self._put(key, session, _from(parts, there), there, size)
            except UnavailableError:
                # The connection broke off, or the server is busy. What it has it tells.
                wait = self._api.backoff.wait(tried, None)
                if wait is None:
                    raise
                await trio.sleep(wait)
                there = None
                continue
            if not isinstance(sent, int):
                return sent
            there = sent

    async def _ask_session(
        self, key: str, session: str, size: int
    ) -> Mapping[str, Any] | int | None:
        """How many bytes a session has, or the file that it made; None where it is gone."""
        tried = 0
        while True:
            tried += 1
            headers = {"Content-Range": f"bytes */{size}"}
            async with self._api.ask("PUT", session, key=key, headers=headers, parts=[]) as answer:
                if answer.status_code == _MORE:
                    return self._there(key, answer.headers.get("range", ""), size)
                said = await self._api.said(answer, key)
            if not isinstance(said, Refusal):
                return said
            if said.gone or said.status in (400, _LOST):
                return None
            if not said.passes:
                raise failure(self._api.name, key, said)
            await self._api.pause(tried, said, key)

    async def _put(
        self, key: str, session: str, parts: Sequence[Buffer], start: int, size: int
    ) -> Mapping[str, Any] | int:
        """The file that came of it, or how many bytes are there.

        UnavailableError where that must be asked: what was sent may be there in part.
        """
        headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}", "Content-Type": MEDIA}
        async with self._api.ask(
            "PUT", session, key=key, headers=headers, parts=parts, again=False
        ) as answer:
            if answer.status_code == _MORE:
                there = self._there(key, answer.headers.get("range", ""), size)
                if there <= start:
                    raise stranger(self._api.name, key, "an upload takes nothing of what is sent")
                return there
            said = await self._api.said(answer, key)
        if not isinstance(said, Refusal):
            return said
        if said.gone or said.status in (400, _LOST):
            raise stranger(self._api.name, key, "an upload breaks off")
        raise failure(self._api.name, key, said)

    def _there(self, key: str, said: str, size: int) -> int:
        """How many bytes a header `Range` speaks of; without one there are none."""
        if not said:
            return 0
        match = _RANGE.fullmatch(said)
        if match is None or int(match[1]) >= size:
            raise stranger(self._api.name, key, "an upload has more than was sent")
        return int(match[1]) + 1

    async def _checked(self, key: str, said: Mapping[str, Any], size: int, digest: bytes) -> File:
        """The file that an upload made; CorruptAnswerError where it is not what was sent."""
        await self._known.abandon(key)
        if said.get("trashed") is True:
            said = await self._restored(key, said)
        file = self._files.file_of(key, said)
        there = said.get("sha256Checksum")
        if file.size != size or (isinstance(there, str) and there != digest.hex()):
            await self._discard(key, file.id)
            raise CorruptAnswerError(
                f"backend {self._api.name}: {key} came to Google Drive as other bytes than were "
                "sent; it is sent again",
                backend=self._api.name,
                key=key,
            )
        return file

    async def _restored(self, key: str, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """A file out of the trash; GoneError where it stays there, as its folder is in it."""
        url = self._files.url(str(said.get("id")), fields=FIELDS)
        there = await self._api.call("PATCH", url, key=key, document={"trashed": False})
        if isinstance(there, Refusal) or there.get("trashed") is not False:
            await self._files.homes.forget()
            raise GoneError
        return there

    async def _discard(self, key: str, id_: str) -> None:
        try:
            await self._files.remove(key, id_)
        except BackendError:
            return
        await self._known.remove(key, [id_])


def sha256(parts: Sequence[Buffer]) -> bytes:
    """The SHA-256 of the concatenation of `parts`."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(memoryview(part).cast("B"))
    return digest.digest()


def _from(parts: Sequence[Buffer], start: int) -> list[Buffer]:
    """`parts` without their first `start` bytes."""
    left: list[Buffer] = []
    for part in parts:
        view = memoryview(part).cast("B")
        left += [view[start:]] if start < len(view) else []
        start = max(0, start - len(view))
    return left
