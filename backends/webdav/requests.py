"""HTTP for WebDAV: requests sent, answers streamed, what is no answer of the server's told apart.

What comes from somebody else's page (a portal that wants a login, a proxy that reports) must pass
for nothing: each method has the statuses that WebDAV gives it, redirects are followed for reading
alone, and no other server is ever told our credentials.

Concurrency: one client an object, made at its first request, for one event loop. A call that is
cancelled closes its connection, so nothing is written into a caller's buffer afterwards.
"""

import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import httpx2
import trio

from ...errors import BackendError, DeniedError, QuotaError, TimedOutError, UnavailableError
from ...redaction import redact_text
from ..base import Buffer
from .address import Address

CONNECTIONS: Final = 16
PATIENCE: Final = httpx2.Timeout(30.0, connect=10.0, pool=None)
"""Seconds without a byte after which a connection counts as dead."""
SLICE: Final = 256 << 10
SHORT: Final = 4096
"""Bytes of a body that is read although nobody wants it."""
REDIRECTS: Final = 5
DEEPEST: Final = 8
"""Causes of an error that are looked at."""
LOCKED: Final = 15.0
"""Seconds of trying again while somebody else writes to the same place, with LONGEST_WAIT at most
between two tries; a server that locks for its own writes does so as long as one of them lasts."""
LONGEST_WAIT: Final = 0.5

_FULL: Final = frozenset({413, 507})
_DENIED: Final = frozenset({400, 402, 403, 405, 406, 410, 411, 414, 415, 422, 424, 451, 501})
_LOST: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)

log = logging.getLogger(__name__)
for _name in ("httpx2", "httpcore2"):  # they tell each request
    logging.getLogger(_name).setLevel(logging.WARNING)


class DavHttp:
    """Requests to one server on behalf of the backend `name`."""

    def __init__(self, name: str, address: Address) -> None:
        self.name = name
        self.address = address
        self._made: httpx2.AsyncClient | None = None

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
        try:
            answer = await self._answer(method, key, path, headers or {}, parts)
            try:
                yield answer
                if _is_short(answer):  # so that the connection can be used again
                    await self.read(answer, lambda _: None)
            finally:
                await answer.aclose()
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self._unreachable(key, error) from error

    async def read(self, answer: httpx2.Response, take: Callable[[bytes], object]) -> None:
        """Hand a body to `take`, piece by piece; a BackendError or ValueError of it ends that."""
        failure: BackendError | ValueError | None = None
        with trio.CancelScope() as scope:
            async for data in answer.aiter_raw():
                if failure is None:
                    try:
                        take(data)
                    except (BackendError, ValueError) as error:
                        failure = error
                        # Its generators are left from the inside out, and the connection closed.
                        scope.cancel()
        if failure is not None:
            raise failure

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
        if self._made is not None:
            await self._made.aclose()
            self._made = None

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

    def _unreachable(self, key: str, error: Exception) -> UnavailableError:
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        if isinstance(error, httpx2.TimeoutException):
            return TimedOutError(
                f"{what}: {self.address.host} does not answer; check the server and the network",
                backend=self.name,
                key=key,
            )
        said = redact_text(" ".join(_innermost(error).split()))
        return UnavailableError(
            f"{what}: {self.address.host} cannot be reached ({said}); check the server and the "
            "network",
            backend=self.name,
            key=key,
        )

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
        """Send once, and once more where the server had closed the connection meanwhile."""
        headers = {"Accept-Encoding": "identity", **headers}
        if known and self.address.authorization is not None:
            headers["Authorization"] = self.address.authorization
        body = None if parts is None else _Body(parts)
        if parts is not None:
            headers["Content-Length"] = str(sum(memoryview(part).nbytes for part in parts))
        client = self._client()
        try:
            return await client.send(
                client.build_request(method, url, headers=headers, content=body), stream=True
            )
        except _LOST:
            if method == "MOVE":  # it may have happened, and would not be found a second time
                raise
        return await client.send(
            client.build_request(method, url, headers=headers, content=body), stream=True
        )

    def _client(self) -> httpx2.AsyncClient:
        if self._made is None:
            self._made = httpx2.AsyncClient(
                timeout=PATIENCE,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS),
                headers={"User-Agent": "modelfloat"},
            )
        return self._made


def _innermost(error: BaseException) -> str:
    """What the first cause said that said anything: "certificate verify failed", for one."""
    text, cause = type(error).__name__, error
    for _ in range(DEEPEST):
        text = str(cause) or text
        below = cause.__cause__ or cause.__context__
        if below is None or isinstance(below, BackendError):  # one that was being handled
            break
        cause = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below
    return text


def _is_short(answer: httpx2.Response) -> bool:
    length = answer.headers.get("content-length", "")
    return not answer.is_stream_consumed and length.isdecimal() and int(length) <= SHORT


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


class _Body:
    """A request's body, in slices; it can be sent more than once."""

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            view = memoryview(part).cast("B")
            for start in range(0, len(view), SLICE):
                yield bytes(view[start : start + SLICE])
