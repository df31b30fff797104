"""HTTP answered by a test: by itself, or by a real server with what the test makes of its answers.

    async with meddling(seaweedfs.webdav) as meddler:
        meddler.after = lambda request, answer: answer[:100]
        backend = open_backend("d0", f"webdav://{meddler.host}/folder")

One request a connection, so that nothing has to be parsed but heads and lengths.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import trio

PIECE = 64 << 10


@dataclass
class Request:
    """One request: its head as it came, and what the head says."""

    method: str
    target: str
    headers: dict[str, str]
    head: bytes
    body: bytes


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    """An answer, as `answer("200 OK", b"<html>", content_type="text/html")`."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", "Date: Sun, 01 Nov 2026 12:00:00 GMT"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "content_length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Meddler:
    """`before` may answer a request itself; `after` may change what the server answered.

    `rate` is how many bytes of bodies pass in a second, both ways together; 0 is no limit.
    """

    upstream: str = ""
    before: Callable[[Request], bytes | None] = lambda _: None
    after: Callable[[Request, bytes], bytes] = lambda _, whole: whole
    rate: float = 0.0
    requests: list[Request] = field(default_factory=list)
    host: str = ""
    _awaited: list[tuple[tuple[str, ...], trio.Event]] = field(default_factory=list)

    async def seen(self, *methods: str) -> None:
        """Wait for the next request of such a method."""
        came = trio.Event()
        self._awaited.append((methods, came))
        await came.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the one request of a connection."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                request = await _request(stream)
                if request is None:
                    return
                self.requests.append(request)
                for methods, came in self._awaited:
                    if request.method in methods:
                        came.set()
                await self._pass(len(request.body))
                whole = self.before(request)
                if whole is None:
                    whole = self.after(request, await self._forward(request))
                await self._pass(len(whole))
                for start in range(0, len(whole), PIECE):
                    await stream.send_all(whole[start : start + PIECE])

    async def _pass(self, size: int) -> None:
        if self.rate:
            await trio.sleep(size / self.rate)

    async def _forward(self, request: Request) -> bytes:
        where = urlsplit(self.upstream)
        assert where.hostname is not None
        assert where.port is not None
        try:
            stream = await trio.open_tcp_stream(where.hostname, where.port)
        except OSError:
            return b""
        async with stream:
            lines = request.head.split(b"\r\n")
            kept = [line for line in lines if not line.lower().startswith(b"connection:")]
            head = b"\r\n".join([kept[0], b"Connection: close", *kept[1:]])
            await stream.send_all(head + b"\r\n\r\n" + request.body)
            whole = bytearray()
            async for data in stream:
                whole += data
            return bytes(whole)


async def _request(stream: trio.SocketStream) -> Request | None:
    data = bytearray()
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(PIECE)
        if not more:
            return None
        data += more
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    rest = bytearray(body)
    while len(rest) < int(headers.get("content-length", "0")):
        more = await stream.receive_some(PIECE)
        if not more:
            return None
        rest += more
    return Request(method, target, headers, head, bytes(rest))


@contextlib.asynccontextmanager
async def meddling(upstream: str = "") -> AsyncIterator[Meddler]:
    """A meddler that serves on loopback, in front of `upstream` where one is given."""
    meddler = Meddler(upstream)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, meddler.serve, 0, host="127.0.0.1")
        listeners = await nursery.start(serve)
        meddler.host = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield meddler
        nursery.cancel_scope.cancel()
