"""Asking for metrics over TCP: whoever asks, and however badly, nothing but a connection ends."""

import contextlib
import http.client
import logging
import socket
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import pytest
import trio

from modelfloat.errors import ModelFloatError
from modelfloat.fuse import metricsserver
from modelfloat.fuse.endpoint import Endpoint
from modelfloat.fuse.metrics import CONTENT_TYPE
from modelfloat.fuse.metricsserver import MOST, listening_on, serve_metrics

HOME = Endpoint("127.0.0.1", 0)
GET = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextlib.asynccontextmanager
async def served(
    tell: Callable[[], bytes] = lambda: b"x 1\n", endpoint: Endpoint = HOME
) -> AsyncIterator[int]:
    """A server; its port."""
    with listening_on(endpoint) as (url, server):
        assert server is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_metrics, server, tell)
            port = urlsplit(url).port
            assert port
            yield port
            nursery.cancel_scope.cancel()


async def ask(port: int, request: bytes) -> bytes:
    """All that comes back."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(request)
        answer = b""
        with contextlib.suppress(trio.BrokenResourceError):
            while part := await stream.receive_some():
                answer += part
        return answer


async def test_a_client_of_http_gets_it() -> None:
    def get(port: int, method: str) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("localhost", port)
        with contextlib.closing(connection):
            connection.request(method, "/metrics")
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()

    async with served() as port:
        for method, body in (("GET", b"x 1\n"), ("HEAD", b""), ("GET", b"x 1\n")):
            found = await trio.to_thread.run_sync(get, port, method)
            assert found == (200, CONTENT_TYPE, body)


async def test_the_answer_is_of_the_moment() -> None:
    answers = iter([b"a 1\n", b"a 2\n"])
    async with served(lambda: next(answers)) as port:
        assert (await ask(port, GET)).endswith(b"\r\n\r\na 1\n")
        assert (await ask(port, GET)).endswith(b"\r\n\r\na 2\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost:9100\r\n\r\n", 404),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: evil.example.org\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: 10.0.0.1:9100\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nHost : evil.example.org\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n x\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    ],
)
async def test_requests_and_their_status(request_: bytes, status: int) -> None:
    async with served() as port:
        assert (await ask(port, request_)).startswith(b"HTTP/1.1 %d " % status)
        assert (await ask(port, GET)).endswith(b"x 1\n")


async def test_a_head_without_end_is_not_read_on() -> None:
    async with served() as port:
        assert await ask(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9000) == b""
        assert (await ask(port, GET)).endswith(b"x 1\n")


async def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metricsserver, "PATIENCE", 0.1)
    async with served() as port:
        assert await ask(port, b"GET /met") == b""


async def test_there_is_a_bound_to_connections() -> None:
    async with served() as port, contextlib.AsyncExitStack() as stack:
        for _ in range(MOST):
            silent = await stack.enter_async_context(await trio.open_tcp_stream("localhost", port))
            await silent.send_all(b"GET")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await ask(port, GET) == b""


async def test_what_cannot_be_told_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> bytes:
        raise RuntimeError("wrong")

    async with served(fail) as port:
        assert await ask(port, GET) == b""
        assert await ask(port, GET) == b""
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_it_listens_where_it_is_told_to_and_nowhere_else() -> None:
    with listening_on(HOME) as (url, server):
        assert server is not None
        assert url == f"http://127.0.0.1:{server.getsockname()[1]}/metrics"
        taken = Endpoint("127.0.0.1", server.getsockname()[1])
        with (
            pytest.raises(
                ModelFloatError, match=r":[0-9]+: Address already in use; name another port$"
            ),
            listening_on(taken),
        ):
            pass
    with listening_on(None) as nothing:
        assert nothing == ("", None)


async def test_over_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening_on(Endpoint("::1", 0)) as (url, server):
        assert server is not None
        assert url == f"http://[::1]:{server.getsockname()[1]}/metrics"
