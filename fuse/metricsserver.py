"""The smallest HTTP/1.1 server that Prometheus can ask: GET /metrics, on the loopback only.

Every answer closes its connection (RFC 9112, section 9.6). Who names another host than the loopback
is refused: a web page that had its name resolve to 127.0.0.1 could read the answer otherwise.

Concurrency: one task a connection, few of them, each with a deadline; whatever one of them meets
ends that connection alone.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Final

import trio

from ..errors import ModelFloatError
from .endpoint import Endpoint, is_loopback
from .metrics import CONTENT_TYPE

PATIENCE: Final = 5.0
"""Seconds that a connection lasts at most."""
MOST: Final = 8
"""Connections at once; those beyond are closed at once."""
_LONGEST: Final = 8 << 10
"""Bytes of a request's head."""
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}

log = logging.getLogger(__name__)


@contextlib.contextmanager
def listening_on(endpoint: Endpoint | None) -> Iterator[tuple[str, socket.socket | None]]:
    """The URL to ask, and the socket behind it; neither where none is wanted.

    ModelFloatError where somebody else listens there.
    """
    if endpoint is None:
        yield "", None
        return
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        server = socket.create_server((endpoint.host, endpoint.port), family=family, backlog=MOST)
    except OSError as error:
        raise ModelFloatError(
            f"metrics cannot be served on {endpoint}: {os.strerror(error.errno or 0)}; "
            "name another port"
        ) from error
    with server:
        server.setblocking(False)
        found = Endpoint(endpoint.host, server.getsockname()[1])
        yield f"http://{found}/metrics", server


async def serve_metrics(server: socket.socket, tell: Callable[[], bytes]) -> None:
    """Answer everybody with what `tell` says at that moment. Runs until it is cancelled."""
    under_way = 0

    async def answer(stream: trio.SocketStream) -> None:
        nonlocal under_way
        if under_way >= MOST:
            return
        under_way += 1
        try:
            with trio.move_on_after(PATIENCE):
                await _answer(stream, tell)
        except trio.BrokenResourceError:
            pass  # who asked went away
        except Exception:
            log.exception("metrics cannot be told")
        finally:
            under_way -= 1

    await trio.serve_listeners(
        answer, [trio.SocketListener(trio.socket.from_stdlib_socket(server))]
    )


async def _answer(stream: trio.SocketStream, tell: Callable[[], bytes]) -> None:
    head = await _head(stream)
    if not head:
        return  # it said nothing
    method, _, rest = head[0].partition(" ")
    target, _, version = rest.partition(" ")
    status = _status(method, target, version, head[1:])
    body = tell() if status == 200 else f"{status} {_REASONS[status]}\n".encode()
    await stream.send_all(_reply(status, body, bare=method == "HEAD"))
    await stream.send_eof()
    await stream.receive_some(1)  # a reset would overtake the answer: who asked closes first


async def _head(stream: trio.SocketStream) -> list[str]:
    """The lines of a request's head; none where it does not come."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        part = await stream.receive_some(_LONGEST)
        if not part or len(data) + len(part) > _LONGEST:
            return []
        data += part
    return data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")


def _status(method: str, target: str, version: str, lines: list[str]) -> int:
    fields = [line.partition(":") for line in lines]
    hosts = [value.strip() for name, _, value in fields if name.lower() == "host"]
    # A blank before the colon would hide a field from us and not from others (RFC 9112, 5.1).
    odd = any(name.split() != [name] for name, _, _ in fields)
    if odd or not version.startswith("HTTP/1.") or len(hosts) > 1:
        return 400
    if hosts and not is_loopback(_name_of(hosts[0])):
        return 403
    if target.partition("?")[0] != "/metrics":
        return 404
    return 200 if method in {"GET", "HEAD"} else 405


def _name_of(host: str) -> str:
    """A Host field without its port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _reply(status: int, body: bytes, *, bare: bool) -> bytes:
    head = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Allow: GET, HEAD"] if status == 405 else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + (b"" if bare else body)
