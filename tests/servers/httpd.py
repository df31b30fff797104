"""A small HTTP/1.1 server for fakes of providers, on trio: connections stay open, bodies stream.

    async with serving(handle, Line(delay=0.08, rate=20e6)) as url:
        ...

`handle` takes a `Request` and gives an `Answer`. Each answer begins `delay` seconds after its
request was read, and the bytes of a connection move at `rate` a second, either way; 0 is no limit.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio

PIECE = 256 << 10
LARGEST = 1 << 20
"""Bytes of a body that is read as a whole."""
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)


class HangupError(Exception):
    """Raised by a handler: the connection is closed without an answer."""


@dataclass
class Line:
    """What lies between clients and the server; `delay` in seconds, `rate` in bytes a second."""

    delay: float = 0.0
    rate: float = 0.0

    async def carry(self, size: int) -> None:
        """Take as long as that many bytes of one connection do."""
        if self.rate and size:
            await trio.sleep(size / self.rate)

    async def wait(self) -> None:
        """Take as long as an answer needs to come."""
        if self.delay:
            await trio.sleep(self.delay)


@dataclass
class Answer:
    """`body` is bytes, or gives `size` of them piece by piece: that many from there on. Only `cut`
    of them are sent, and then the connection is closed, where that is not None."""

    status: int
    body: bytes | Callable[[int, int], bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    size: int = 0
    cut: int | None = None


@dataclass
class Request:
    """One request; header names are in small letters; of doubled parameters the last counts."""

    method: str
    target: str
    headers: dict[str, str]
    _connection: "_Connection"

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    async def read(self, take: Callable[[bytes], None]) -> None:
        """Hand the body to `take`, as it comes; HangupError where the client goes away in its
        middle."""
        await self._connection.read(take)

    async def body(self, most: int = LARGEST) -> bytes:
        """The whole body."""
        data = bytearray()
        await self.read(data.extend)
        assert len(data) <= most, "a body is larger than anything that belongs here"
        return bytes(data)


Handler = Callable[[Request], Awaitable[Answer]]


class _Connection:
    def __init__(self, stream: trio.SocketStream, handle: Handler, line: Line) -> None:
        self._stream = stream
        self._handle = handle
        self._line = line
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Answer requests until one side has enough."""
        with contextlib.suppress(*_BROKEN, HangupError):
            while await self._one():
                if self._http.our_state is not h11.DONE:
                    return
                if self._http.their_state is not h11.DONE:  # a body that nobody wanted
                    return
                self._http.start_next_cycle()

    async def _one(self) -> bool:
        event = await self._next()
        if not isinstance(event, h11.Request):
            return False
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        request = Request(event.method.decode(), event.target.decode(), headers, self)
        answer = await self._handle(request)
        if self._http.their_state is not h11.DONE:
            await self.read(lambda _: None)
        await self._line.wait()
        await self._send(request, answer)
        return True

    async def read(self, take: Callable[[bytes], None]) -> None:
        """Hand a request's body to `take`."""
        if self._http.they_are_waiting_for_100_continue:
            head = h11.InformationalResponse(status_code=100, headers=[])
            await self._stream.send_all(self._http.send(head) or b"")
        while self._http.their_state is h11.SEND_BODY:
            event = await self._next()
            if isinstance(event, h11.Data):
                await self._line.carry(len(event.data))
                take(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise HangupError

    async def _send(self, request: Request, answer: Answer) -> None:
        whole = answer.body if isinstance(answer.body, bytes) else None
        size = answer.size if whole is None else len(whole)
        headers = {"Date": formatdate(usegmt=True), "Content-Length": str(size), **answer.headers}
        head = h11.Response(status_code=answer.status, headers=list(headers.items()))
        await self._stream.send_all(self._http.send(head) or b"")
        left = size if answer.cut is None else min(size, answer.cut)
        if request.method != "HEAD" and answer.status != 204:
            for start in range(0, left, PIECE):
                piece = _piece(answer.body, start, min(PIECE, left - start))
                await self._line.carry(len(piece))
                await self._stream.send_all(self._http.send(h11.Data(data=piece)) or b"")
        if answer.cut is not None:
            raise HangupError
        await self._stream.send_all(self._http.send(h11.EndOfMessage()) or b"")

    async def _next(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self._stream.receive_some(PIECE))


def _piece(body: bytes | Callable[[int, int], bytes], start: int, size: int) -> bytes:
    return body[start : start + size] if isinstance(body, bytes) else body(start, size)


@contextlib.asynccontextmanager
async def serving(handle: Handler, line: Line | None = None, port: int = 0) -> AsyncIterator[str]:
    """The URL of a server on this machine, as long as the context lasts."""

    async def connection(stream: trio.SocketStream) -> None:
        async with stream:
            await _Connection(stream, handle, line or Line()).run()

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, connection, port, host="127.0.0.1")
        listeners = await nursery.start(listen)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()
