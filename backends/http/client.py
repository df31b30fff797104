"""HTTP for backends: one client, answers that are read in time, failures in our words.

Redirects are not followed: who wants to go elsewhere decides by itself what may be told there.

Concurrency: one client an object, made at its first request, for one event loop. A call that is
cancelled closes its connection, so nothing is written into a caller's buffer afterwards.
"""

import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

import httpx2
import trio

from ...errors import BackendError, TimedOutError, UnavailableError
from ...redaction import redact_text
from ..base import Buffer

PATIENCE: Final = httpx2.Timeout(30.0, connect=10.0, pool=None)
"""Seconds without a byte after which a connection counts as dead."""
SLICE: Final = 256 << 10
SHORT: Final = 4096
"""Bytes of a body that is read although nobody wants it."""
DEEPEST: Final = 8
"""Causes of an error that are looked at."""
_LOST: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)

log = logging.getLogger(__name__)
for _name in ("httpx2", "httpcore2"):  # they tell each request
    logging.getLogger(_name).setLevel(logging.WARNING)


class TooLongError(ValueError):
    """A body is longer than anything that was asked for."""


class HttpClient:
    """Requests on behalf of the backend `name`, over at most `kept` connections that stay open."""

    def __init__(self, name: str, *, kept: int, patience: httpx2.Timeout = PATIENCE) -> None:
        self.name = name
        self._kept = kept
        self._patience = patience
        self._made: httpx2.AsyncClient | None = None

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
        sized: bool = True,
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to a request about `key`, its body not yet read; UnavailableError while there
        is none, also while it is read within the context.

        With `again` it is sent once more where a connection was lost before an answer came. A body
        goes in chunks of HTTP, and its length is not told before, unless it is `sized`.
        """
        where = httpx2.URL(url)
        sending = functools.partial(
            self.send, method, where, headers or {}, parts, again=again, sized=sized
        )
        async with self.asked(key, where.host, sending) as answer:
            yield answer

    @contextlib.asynccontextmanager
    async def asked(
        self, key: str, host: str, sending: Callable[[], Awaitable[httpx2.Response]]
    ) -> AsyncIterator[httpx2.Response]:
        """What `sending` brings, its failures and those of reading it in our words; closed at the
        end."""
        try:
            answer = await sending()
            try:
                yield answer
                if _is_short(answer):  # so that the connection can be used again
                    await self.read(answer, lambda _: None)
            finally:
                await answer.aclose()
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self._unreachable(key, host, error) from error

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

    async def body(self, answer: httpx2.Response, most: int) -> bytes:
        """A whole body; TooLongError where it has more than `most` bytes."""
        data = bytearray()

        def take(piece: bytes) -> None:
            if len(data) + len(piece) > most:
                raise TooLongError(f"more than {most} bytes")
            data.extend(piece)

        await self.read(answer, take)
        return bytes(data)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._made is not None:
            await self._made.aclose()
            self._made = None

    def _unreachable(self, key: str, host: str, error: Exception) -> UnavailableError:
        what = f"backend {self.name}: {key}" if key else f"backend {self.name}"
        if isinstance(error, httpx2.TimeoutException):
            return TimedOutError(
                f"{what}: {host} does not answer; check the server and the network",
                backend=self.name,
                key=key,
            )
        said = redact_text(" ".join(innermost(error).split()))
        return UnavailableError(
            f"{what}: {host} cannot be reached ({said}); check the server and the network",
            backend=self.name,
            key=key,
        )

    async def send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        parts: Sequence[Buffer] | None,
        *,
        again: bool,
        sized: bool = True,
    ) -> httpx2.Response:
        """Send once, and once more with `again` where a connection was lost; within `asked`."""
        headers = {"Accept-Encoding": "identity", **headers}
        body = None if parts is None else Body(parts)
        if body is not None and sized:
            headers["Content-Length"] = str(len(body))
        client = self._client()
        try:
            return await client.send(
                client.build_request(method, url, headers=headers, content=body), stream=True
            )
        except _LOST:
            if not again:
                raise
        return await client.send(
            client.build_request(method, url, headers=headers, content=body), stream=True
        )

    def _client(self) -> httpx2.AsyncClient:
        if self._made is None:
            self._made = httpx2.AsyncClient(
                timeout=self._patience,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._kept),
                headers={"User-Agent": "modelfloat"},
            )
        return self._made


class Body:
    """A request's body, in slices; it can be sent more than once."""

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(memoryview(part).nbytes for part in self._parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            view = memoryview(part).cast("B")
            for start in range(0, len(view), SLICE):
                yield bytes(view[start : start + SLICE])


def innermost(error: BaseException) -> str:
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
