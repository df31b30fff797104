"""The proxy by which programs are shown fakes in place of hosts of the Internet."""

import contextlib
import ssl
from collections.abc import AsyncIterator

import httpx2
import pytest

from modelfloat.tests.support.connectproxy import ConnectProxy, connect_proxy
from modelfloat.tests.support.rangeserver import RangeServer, range_server
from modelfloat.tests.support.sources import noise


async def _get(proxy: ConnectProxy, url: str, verify: ssl.SSLContext, size: int = 5) -> bytes:
    async with httpx2.AsyncClient(proxy=proxy.url, verify=verify) as client:
        answer = await client.get(url, headers={"Range": f"bytes=0-{size - 1}"})
        return answer.content


@contextlib.asynccontextmanager
async def _server(content: bytes) -> AsyncIterator[tuple[ConnectProxy, RangeServer]]:
    """A server that has `content` as /x, and a proxy that shows it as hosts of example.org."""
    async with (
        range_server({"/x": content}) as server,
        connect_proxy({"*.example.org": server.url("")}) as proxy,
    ):
        yield proxy, server


async def test_a_host_is_answered_for() -> None:
    async with _server(b"hello world") as (proxy, _):
        for host in ("a.example.org", "b.example.org", "a.example.org"):
            assert await _get(proxy, f"https://{host}/x", proxy.trust()) == b"hello"
        assert proxy.reached == ["a.example.org", "b.example.org", "a.example.org"]
        assert not proxy.refused


async def test_who_does_not_trust_it_says_nothing() -> None:
    async with _server(b"hello world") as (proxy, server):
        with pytest.raises(httpx2.ConnectError):
            await _get(proxy, "https://a.example.org/x", ssl.create_default_context())
        assert not server.asked


async def test_other_hosts_are_refused_and_noted() -> None:
    async with connect_proxy({}) as proxy:
        with pytest.raises(httpx2.ProxyError):
            await _get(proxy, "https://elsewhere.example.org/x", proxy.trust())
        (asked,) = proxy.refused
        assert asked.startswith("CONNECT elsewhere.example.org:443")


async def test_bytes_pass_both_ways_in_any_amount() -> None:
    """What a server says before it closes arrives, though nobody waits for the other side."""
    content = noise(1, 5_000_000)
    async with _server(content) as (proxy, _):
        url = "https://a.example.org/x"
        assert await _get(proxy, url, proxy.trust(), len(content)) == content
