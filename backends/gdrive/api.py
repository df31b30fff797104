"""Requests to the Drive API: with a token, tried again where Google asks for that, as documents.

Google asks clients to come back after waits that grow where it answers 403 with a rate's reason,
429 or 5xx ("Resolve errors", Drive API guides). That is done here, for some seconds; longer waits
are the caller's, who has other backends.

Concurrency: nothing of its own; see `tokens` and `HttpClient`.
"""

import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import trio
from httpx2 import Response

from ..base import Buffer
from ..http.client import HttpClient, TooLongError
from .address import Place
from .answers import DEEPEST, Refusal, failure, refusal_of, stranger
from .grant import Grant
from .tokens import Tokens

CONNECTIONS: Final = 16
LARGEST: Final = 8 << 20
"""Bytes of a document; a page of a listing has a thousand files."""
JSON: Final = "application/json; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how long, in seconds: waits double from `first` to `cap`, each drawn from its
    upper half; Google's own `Retry-After` is heeded up to `patience`."""

    tries: int = 5
    first: float = 0.5
    cap: float = 8.0
    patience: float = 20.0

    def wait(self, tried: int, asked: float | None) -> float | None:
        """How long to wait after `tried` tries; None where it is too long."""
        longest = min(self.cap, self.first * 2.0 ** min(tried - 1, 30))
        wait = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        wait = max(wait, asked or 0.0)
        return None if tried >= self.tries or wait > self.patience else wait


BACKOFF: Final = Backoff()


class DriveApi:
    """Requests to the server of `place` on behalf of the backend `name`, which has `grant`, or
    looks for it in its surroundings and in the folder `state`."""

    def __init__(
        self, name: str, place: Place, state: str | None, grant: Grant | None = None
    ) -> None:
        self.name = name
        self.place = place
        self.backoff = BACKOFF
        self.http = HttpClient(name, kept=CONNECTIONS)
        self._tokens = Tokens(name, place, state, self.http, grant)

    def url(self, path: str, **query: str | int) -> str:
        """The URL of files on the server, those of shared drives allowed."""
        return self.plain_url(path, supportsAllDrives="true", **query)

    def plain_url(self, path: str, **query: str | int) -> str:
        """The URL of something else on the server."""
        return f"{self.place.endpoint}{path}?{urlencode(query)}"

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        parts: Sequence[Buffer] | None = None,
        again: bool = True,
    ) -> AsyncIterator[Response]:
        """The answer to one request, its body not yet read; our token goes to our server alone.

        A token that is refused is asked for anew once. `again` as in `HttpClient.ask`.
        """
        ours = urlsplit(url)[:2] == urlsplit(self.place.endpoint)[:2]
        for tried in range(2):
            token = await self._tokens.take() if ours else ""
            known = {"Authorization": f"Bearer {token}"} if ours else {}
            asked = {**(headers or {}), **known}
            async with self.http.ask(
                method, url, key=key, headers=asked, parts=parts, again=again
            ) as answer:
                if answer.status_code != 401 or tried or not ours:
                    yield answer
                    return
            self._tokens.refused(token)

    async def call(
        self,
        method: str,
        url: str,
        *,
        key: str = "",
        document: Mapping[str, object] | None = None,
    ) -> Mapping[str, Any] | Refusal:
        """The document that answers a request which may be repeated, or how it is refused."""
        said, _ = await self.dated(method, url, key=key, document=document)
        return said

    async def dated(
        self,
        method: str,
        url: str,
        *,
        key: str = "",
        document: Mapping[str, object] | None = None,
    ) -> tuple[Mapping[str, Any] | Refusal, float | None]:
        """The same, and the time by Drive's clock; None where it does not tell."""
        headers = {} if document is None else {"Content-Type": JSON}
        parts = None if document is None else [json.dumps(document).encode()]
        tried = 0
        while True:
            tried += 1
            async with self.ask(method, url, key=key, headers=headers, parts=parts) as answer:
                said = await self.said(answer, key)
                now = seconds(answer.headers.get("date", ""))
            if not isinstance(said, Refusal) or not said.passes:
                return said, now
            await self.pause(tried, said, key)

    async def got(
        self, method: str, url: str, *, key: str = "", document: Mapping[str, object] | None = None
    ) -> Mapping[str, Any]:
        """The same where a refusal is a failure."""
        said = await self.call(method, url, key=key, document=document)
        if isinstance(said, Refusal):
            raise failure(self.name, key, said)
        return said

    async def said(self, answer: Response, key: str) -> Mapping[str, Any] | Refusal:
        """The document of an answer, {} of one that has none; or the refusal that it is."""
        status = answer.status_code
        if status == 204:
            return {}
        if not 200 <= status < 300:
            return await self.refusal(answer)
        try:
            document = json.loads(await self.http.body(answer, LARGEST))
        except (ValueError, TooLongError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise stranger(self.name, key, "a page comes where a document should")
        return document

    async def refusal(self, answer: Response) -> Refusal:
        """What an answer without success says."""
        try:
            body = await self.http.body(answer, DEEPEST)
        except TooLongError:
            body = b""
        return refusal_of(answer.status_code, body, answer.headers.get("retry-after", ""))

    async def pause(self, tried: int, refusal: Refusal, key: str) -> None:
        """Wait before the next try; the refusal as an error where that would be too long."""
        wait = self.backoff.wait(tried, refusal.after)
        if wait is None:
            raise failure(self.name, key, refusal)
        await trio.sleep(wait)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.http.aclose()


def seconds(date: str) -> float | None:
    """Seconds since the epoch of a date in HTTP; None of what is none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
