"""The RPC of an IPFS node (Kubo, js-ipfs): commands sent, answers told from those of others.

Every command is a POST to `/api/v0/…` whose arguments stand in the query; a failure is status 500
(js-ipfs: 4xx too) with a JSON object that holds a message, which is all there is to tell them by.
Source: Kubo's reference of its RPC API (docs.ipfs.tech/reference/kubo/rpc).

Nodes look for what they lack in the whole network and wait for it without end: every command says
`offline`, so that Kubo tells at once that a block is not there, and how long js-ipfs may look for
it.

Concurrency: `_slots` bounds the requests under way; `_clock` is assigned as a whole.
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import trio

from ...errors import BackendError, DeniedError, QuotaError, UnavailableError
from ..base import Buffer
from ..http.client import HttpClient, TooLongError
from .address import Address

CONNECTIONS: Final = 16
LARGEST: Final = 64 << 20
"""Bytes of an answer: a listing has some hundred an entry."""
FRESH: Final = 300.0
"""Seconds for which what was learned of the node's clock is trusted."""
_ABSENT: Final = ("does not exist", "not exist", "no link named", "no such file")
_PRESENT: Final = ("already has entry", "already exists")
_GONE: Final = ("not found", "could not find", "notfound", "err_not_found")
_FULL: Final = ("no space left", "enospc", "quota", "storage limit", "maximum storage")
_DENIED: Final = ("permission denied", "read-only", "not authorized", "forbidden", "is a directory")
_QUOTED: Final = 120
_SILENT: Final = frozenset({"files/cp", "files/mkdir", "files/rm"})
"""Commands that say nothing where they did what was asked."""
_ALWAYS: Final = (("offline", "true"), ("timeout", "20s"), ("cid-base", "base32"))

Arguments = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a node answered: `message` is what it said of a failure, None where it did it."""

    status: int
    body: bytes
    message: str | None

    @property
    def done(self) -> bool:
        """Whether it did what was asked."""
        return self.message is None

    @property
    def absent(self) -> bool:
        """Whether it said that a path is not there."""
        return self._says(_ABSENT)

    @property
    def present(self) -> bool:
        """Whether it said that something is there already."""
        return self._says(_PRESENT)

    @property
    def gone(self) -> bool:
        """Whether it said that it has not got a block."""
        return self._says(_GONE)

    def says(self, text: str) -> bool:
        """Whether the message holds `text`, in lower case."""
        return self._says((text,))

    def _says(self, texts: Sequence[str]) -> bool:
        said = (self.message or "").lower()
        return any(text in said for text in texts)


class Rpc:
    """Commands to one node on behalf of the backend `name`."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self._client = HttpClient(name, kept=CONNECTIONS)
        self._slots = trio.CapacityLimiter(CONNECTIONS)
        self._clock: tuple[float, float] | None = None

    async def ask(
        self,
        command: str,
        key: str,
        arguments: Arguments,
        *,
        data: Buffer | None = None,
        again: bool = True,
        most: int = LARGEST,
    ) -> Reply:
        """What the node answers to a command about `key`, `data` sent as a file of a form.

        CorruptAnswerError where that is more than `most` bytes.
        """
        url = httpx2.URL(f"{self.address.base}/api/v0/{command}").copy_merge_params(
            httpx2.QueryParams([*arguments, *_ALWAYS])
        )
        headers, parts = _form(data) if data is not None else ({}, [b""])
        if self.address.authorization is not None:
            headers["Authorization"] = self.address.authorization
        async with (
            self._slots,
            self._client.ask(
                "POST",
                str(url),
                key=key,
                headers=headers,
                parts=parts,
                again=again,
                # js-ipfs takes a body of 1 MiB whose length it was told for too long.
                sized=data is None,
            ) as answer,
        ):
            self._note(answer.headers.get("date", ""))
            try:
                body = await self._client.body(answer, most)
            except TooLongError:
                raise self.stranger(key, "an answer is longer than what was asked for") from None
        return Reply(answer.status_code, body, _message(command, answer, body))

    async def document(self, command: str, key: str, arguments: Arguments) -> Any:
        """The JSON that a command answers; an error unless it did what was asked."""
        reply = await self.ask(command, key, arguments)
        if not reply.done:
            raise self.failure(command, key, reply)
        return self.decoded(key, reply)

    def decoded(self, key: str, reply: Reply) -> Any:
        """The JSON in an answer."""
        try:
            return json.loads(reply.body)
        except (ValueError, RecursionError):
            raise self.stranger(key, "an answer is not JSON") from None

    def now(self) -> float | None:
        """The node's time in seconds since the epoch; None before it told it. Never too late, and
        as good as never earlier than it was: its answers tell whole seconds, so the highest of
        what they say together with our own clock is nearest."""
        return None if self._clock is None else self._clock[0] + time.monotonic()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def failure(self, command: str, key: str, reply: Reply) -> BackendError:
        """The error for what a node refused."""
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        if reply.status in (401, 403):
            return DeniedError(
                f"{what}: the node refuses us (status {reply.status}); set MODELFLOAT_IPFS_TOKEN, "
                "or MODELFLOAT_IPFS_USER and MODELFLOAT_IPFS_PASSWORD, as its API.Authorizations "
                "wants them",
                backend=self.name,
                key=key,
            )
        said = " ".join((reply.message or "").split())[:_QUOTED]
        if reply.status in (413, 507) or reply._says(_FULL):
            return QuotaError(
                f"{what}: the node has no room for it ({said}); raise its Datastore.StorageMax, "
                "make room there or add a backend",
                backend=self.name,
                key=key,
            )
        if reply._says(_DENIED) or reply.status in (400, 405):
            return DeniedError(
                f"{what}: the node refuses {command} ({said}); look at the node",
                backend=self.name,
                key=key,
            )
        return UnavailableError(
            f"{what}: the node answers {command} with status {reply.status} ({said}); look at the "
            "node",
            backend=self.name,
            key=key,
        )

    def stranger(self, key: str, problem: str) -> UnavailableError:
        """The error for an answer that no node gives."""
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        return UnavailableError(
            f"{what}: {problem}, as no IPFS node does; check its URL, and whether a proxy or a "
            "login page answers in its place",
            backend=self.name,
            key=key,
        )

    def _note(self, date: str) -> None:
        try:
            told = parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        at = time.monotonic()
        ahead = told - at
        if self._clock is None or ahead > self._clock[0] or at - self._clock[1] > FRESH:
            self._clock = (ahead, at)


def _message(command: str, answer: httpx2.Response, body: bytes) -> str | None:
    """What an answer says of a failure, None where there was none."""
    well = answer.status_code == 200
    if well and (command not in _SILENT or not body.strip()):
        return None
    try:
        said = json.loads(body)
        if well and isinstance(said, str):
            return said  # Kubo begins with 200, and then tells what it could not remove
        if said["Type"] == "error":
            return str(said["Message"])
    except (ValueError, RecursionError, TypeError, KeyError):
        pass  # a page of somebody else says nothing of what is there
    return "no error of a node"


def _form(data: Buffer) -> tuple[dict[str, str], list[Buffer]]:
    """A form with one file (RFC 7578), as headers and body."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="data"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    end = f"\r\n--{boundary}--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return headers, [head.encode(), data, end.encode()]
