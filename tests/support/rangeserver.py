"""A small HTTP server on this machine with the files of a hub, well or ill behaved."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

import trio

Answer = Callable[[str, int, int, bytes], bytes]
"""Makes an answer of the path, the range and the file's bytes."""


def well(_path: str, start: int, end: int, data: bytes) -> bytes:
    """The range, as RFC 9110 wants it."""
    part = data[start : end + 1]
    return head(206, len(part), f"Content-Range: bytes {start}-{end}/{len(data)}") + part


def head(status: int, length: int, *more: str) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {length}", "Connection: close", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class RangeServer:
    """`files` by path; `answers` replace the good answer for some; `asked` has every request."""

    files: dict[str, bytes]
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        """Where a file is."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection, one request."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = await stream.receive_some()
            if not more:
                return
            data += more
        lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        path = lines[0].split()[1]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
        self.asked.append((path, headers))
        start, _, end = headers["range"].removeprefix("bytes=").partition("-")
        content = self.files.get(path)
        if content is None and path not in self.answers:
            answer = head(404, 0)
        else:
            make = self.answers.get(path, well)
            answer = make(path, int(start), int(end), content or b"")
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(answer)
            if not answer:
                await trio.sleep_forever()
            await stream.aclose()


@contextlib.asynccontextmanager
async def range_server(files: dict[str, bytes]) -> AsyncIterator[RangeServer]:
    """A server, as long as the context lasts."""
    server = RangeServer(files)
    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1")
        listeners = await nursery.start(listen)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()
