"""A small HTTP/1.1 server for fakes of services: keep-alive, a delay, so many bytes a second.

    async def answer(request: Asked) -> Said:
        return Said(200, b"hello")

    async with serve_web(answer, Line(delay=0.08, rate=20e6)) as url:
        …

A connection is cut in the middle of an answer where the answer says so (`cut`), and closed without
any where its status is 0.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio

HOST = "127.0.0.1"
PIECE = 256 << 10
LARGEST = 64 << 20
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)


@dataclass(slots=True)
class Asked:
    """One request; names of `headers` are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Said:
    """One answer. With `cut` only so many bytes of the body come, and the connection ends."""

    status: int
    body: bytes | memoryview = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


@dataclass(slots=True)
class Line:
    """What lies between a server and who asks it: seconds before an answer begins, and bytes a
    second of each connection's bodies, each way; 0 is no limit."""

    delay: float = 0.0
    rate: float = 0.0

    async def passes(self, size: int) -> None:
        """As many bytes are on their way."""
        if self.rate and size:
            await trio.sleep(size / self.rate)


Answer = Callable[[Asked], Awaitable[Said]]


@contextlib.asynccontextmanager
async def serve_web(answer: Answer, line: Line | None = None) -> AsyncIterator[str]:
    """The URL of a server on loopback, as long as the context lasts."""
    async with trio.open_nursery() as nursery:
        serve = partial(_serve, answer, line or Line())
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host=HOST))
        yield f"http://{HOST}:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _serve(answer: Answer, line: Line, stream: trio.SocketStream) -> None:
    """One connection, request by request."""
    connection = h11.Connection(h11.SERVER)
    with contextlib.suppress(*_BROKEN):
        async with stream:
            while True:
                asked = await _request(connection, stream, line)
                if asked is None:
                    return
                await trio.sleep(line.delay)
                said = await answer(asked)
                if said.status == 0:
                    return
                await _say(connection, stream, line, asked, said)
                if said.cut is not None or connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()


async def _request(
    connection: h11.Connection, stream: trio.SocketStream, line: Line
) -> Asked | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(go_on))
            connection.receive_data(await stream.receive_some(PIECE))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            assert len(body) <= LARGEST
            await line.passes(len(event.data))
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return _asked(head, bytes(body))
        else:
            return None


def _asked(head: h11.Request, body: bytes) -> Asked:
    target = urlsplit(head.target.decode("ascii"))
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
    return Asked(head.method.decode(), unquote(target.path), query, headers, body)


async def _say(
    connection: h11.Connection, stream: trio.SocketStream, line: Line, asked: Asked, said: Said
) -> None:
    body = memoryview(said.body)
    headers = {"Content-Length": str(len(body)), **said.headers}
    head = h11.Response(status_code=said.status, headers=list(headers.items()))
    await stream.send_all(connection.send(head) or b"")
    if asked.method == "HEAD":
        body = body[:0]
    for start in range(0, len(body if said.cut is None else body[: said.cut]), PIECE):
        piece = body[start : min(start + PIECE, len(body) if said.cut is None else said.cut)]
        await stream.send_all(connection.send(h11.Data(data=bytes(piece))) or b"")
        await line.passes(len(piece))
    if said.cut is None:
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
