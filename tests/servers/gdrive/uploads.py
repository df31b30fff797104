"""Uploads to the fake Drive: sessions (`uploadType=resumable`), one request (`multipart`, `media`).

A session takes a range that begins where it is, of a multiple of 256 KiB unless it is the last one,
and whose length is what it says; anything else is refused. Of a request that breaks off it keeps
what came, down to a multiple of 256 KiB. It answers 308 with `Range` while bytes are missing.
"""

import json
import re
import secrets
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from modelfloat.tests.servers.gdrive.documents import RefusedError
from modelfloat.tests.servers.httpd import Answer, HangupError, Request

STEP = 256 << 10
SIMPLE = 5 << 20
"""Bytes that may come in one request."""
LARGEST = 64 << 20
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_ASKED = re.compile(r"bytes \*/(\d+|\*)")


@dataclass
class Session:
    """An upload under way: what it makes (`target` "" makes a file), and what came of it."""

    metadata: dict[str, Any]
    target: str
    fields: str
    size: int | None
    path: Path
    there: int = 0
    done: dict[str, Any] | None = None


def new_session_id() -> str:
    """A name that nobody guesses."""
    return f"AFake{secrets.token_urlsafe(48)}"


async def receive(session: Session, request: Request, cut: int | None) -> Answer | None:
    """Take what a request brings; the answer while bytes are missing, None when all are there.

    After `cut` bytes of it the connection is closed, where that is not None.
    """
    said = request.headers.get("content-range", "")
    length = int(request.headers.get("content-length", "0"))
    asked, match = _ASKED.fullmatch(said), _RANGE.fullmatch(said)
    if asked is not None and not length:
        if asked[1] != "*":
            session.size = session.size if session.size is not None else int(asked[1])
        return None if session.there == session.size else _more(session)
    if match is None:
        if said:
            raise RefusedError(400, "badRequest", f"Failed to parse Content-Range header: {said}")
        start, end, total = 0, length - 1, str(length)
    else:
        start, end, total = int(match[1]), int(match[2]), match[3]
    if end - start + 1 != length or start != session.there:
        raise RefusedError(
            400, "badRequest", f"There should have been bytes from {session.there}: {said}"
        )
    if total != "*":
        if session.size not in (None, int(total)) or end >= int(total):
            raise RefusedError(400, "badRequest", f"Not the size that was announced: {said}")
        session.size = int(total)
    if end + 1 != session.size and length % STEP:
        raise RefusedError(400, "badRequest", f"No multiple of 256 KiB: {said}")
    await _write(session, request, start, cut)
    return None if session.there == session.size else _more(session)


async def _write(session: Session, request: Request, start: int, cut: int | None) -> None:
    came = 0

    def take(piece: bytes) -> None:
        nonlocal came
        _put(session.path, start + came, piece)
        came += len(piece)
        if cut is not None and came >= cut:
            raise HangupError

    try:
        await request.read(take)
    finally:
        whole = session.size is not None and start + came == session.size
        session.there = start + (came if whole else came // STEP * STEP)


def _put(path: Path, at: int, piece: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(piece)


def _more(session: Session) -> Answer:
    headers = {"Range": f"bytes=0-{session.there - 1}"} if session.there else {}
    return Answer(308, b"", headers)


async def multipart(request: Request) -> tuple[dict[str, Any], bytes]:
    """Metadata and content of a request of two parts (RFC 2387)."""
    message = Message()
    message["Content-Type"] = request.headers.get("content-type", "")
    edge = message.get_param("boundary")
    whole = await request.body(LARGEST)
    if message.get_content_type() != "multipart/related" or not isinstance(edge, str):
        raise RefusedError(400, "badContent", "Bad content type: multipart/related expected")
    pieces = whole.split(f"--{edge}".encode())
    if len(pieces) != 4 or pieces[3].strip() != b"--":
        raise RefusedError(400, "badContent", "Malformed multipart body")
    metadata, content = (piece.removeprefix(b"\r\n")[:-2] for piece in pieces[1:3])
    document = json.loads(metadata.partition(b"\r\n\r\n")[2])
    return document, content.partition(b"\r\n\r\n")[2]
