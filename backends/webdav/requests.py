"""HTTP for WebDAV: requests sent, answers streamed, what is no answer of the server's told apart.

What comes from somebody else's page (a portal that wants a login, a proxy that reports) must pass
for nothing: each method has the statuses that WebDAV gives it, redirects are followed for reading
alone, and no other server is ever told our credentials.

Concurrency: as `HttpClient` says.
"""

import contextlib
import functools
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio

from ...errors import BackendError, DeniedError, QuotaError, UnavailableError
from ..base import Buffer
from ..http.client import HttpClient
from .address import Address

CONNECTIONS: Final = 16
REDIRECTS: Final = 5
LOCKED: Final = 15.0
"""Seconds of trying again while somebody else writes to the same place, with LONGEST_WAIT at most
between two tries; a server that locks for its own writes does so as long as one of them lasts."""
LONGEST_WAIT: Final = 0.5

_FULL: Final = frozenset({413, 507})
_DENIED: Final = frozenset({400, 402, 403, 405, 406, 410, 411, 414, 415, 422, 424, 451, 501})


class DavHttp:
    """Requests to one server on behalf of the backend `name`."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self._client = HttpClient(name, kept=CONNECTIONS)
        self.read = self._client.read

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        key: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        parts: Sequence[Buffer] | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a request about `key`, its body not yet read; UnavailableError while there
        is none, also while it is read within the context."""
        sending = functools.partial(self._answer, method, key, path, headers or {}, parts)
        async with self._client.asked(key, self.address.host, sending) as answer:
            yield answer

    async def status(
        self,
        method: str,
        key: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        parts: Sequence[Buffer] | None = None,
    ) -> int:
        """The status of the answer to a request; asked again while the place is locked."""
        until, wait = trio.current_time() + LOCKED, 0.01
        while True:
            async with self.ask(method, key, path, headers, parts) as answer:
                if answer.is_redirect:
                    raise self.elsewhere(key, answer.headers.get("location", ""))
                if answer.status_code != 423 or trio.current_time() > until:
                    return answer.status_code
            await trio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
            wait = min(LONGEST_WAIT, wait * 2)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def failure(self, method: str, key: str, status: int) -> BackendError:
        """The error for an answer that is neither what was wanted nor that something is absent."""
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        if status == 401:
            return DeniedError(
                f"{what}: the server refuses our credentials; set MODELFLOAT_WEBDAV_USER and "
                "MODELFLOAT_WEBDAV_PASSWORD, or correct ~/.netrc",
                backend=self.name,
                key=key,
            )
        if status in _FULL:
            return QuotaError(
                f"{what}: the server has no room for it (status {status}); make room there or "
                "add a backend",
                backend=self.name,
                key=key,
            )
        if status in _DENIED:
            return DeniedError(
                f"{what}: the server refuses {method} with status {status}; check what this user "
                "may do there",
                backend=self.name,
                key=key,
            )
        return UnavailableError(
            f"{what}: the server answers {method} with status {status}; look at the server",
            backend=self.name,
            key=key,
        )

    def stranger(self, key: str, problem: str) -> UnavailableError:
        """The error for an answer that no WebDAV server gives."""
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        return UnavailableError(
            f"{what}: {problem}, as no WebDAV server does; check its URL, and whether a proxy or a "
            "login page answers in its place",
            backend=self.name,
            key=key,
        )

    def elsewhere(self, key: str, location: str) -> UnavailableError:
        """The error for a redirect that is not followed."""
        try:
            host = urlsplit(location).hostname or self.address.host
        except ValueError:
            host = self.address.host
        return self.stranger(key, f"the server sends us on to {host}")

    async def _answer(
        self,
        method: str,
        key: str,
        path: str,
        headers: Mapping[str, str],
        parts: Sequence[Buffer] | None,
    ) -> httpx2.Response:
        """The answer, of another place where reading is redirected."""
        url = httpx2.URL(self.address.url(path))
        known = True
        for _ in range(REDIRECTS):
            answer = await self._send(method, url, headers, parts, known=known)
            if method != "GET" or not answer.is_redirect:
                return answer
            onward = url.join(answer.headers.get("location", ""))
            if onward.scheme not in ("https", url.scheme) or not onward.host:
                return answer
            await answer.aclose()
            url, known = onward, known and _origin(onward) == self.address.origin
        raise self.elsewhere(key, str(url))

    async def _send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        parts: Sequence[Buffer] | None,
        *,
        known: bool,
    ) -> httpx2.Response:
        if known and self.address.authorization is not None:
            headers = {**headers, "Authorization": self.address.authorization}
        # A MOVE may have happened, and would not be found a second time.
        return await self._client.send(method, url, headers, parts, again=method != "MOVE")


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)
