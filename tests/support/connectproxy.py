"""A proxy that answers for hosts of the Internet: programs believe to speak TLS with them.

    async with connect_proxy({"*.example.org": fake.url}) as proxy:
        await trio.run_process(["rclone", "--http-proxy", proxy.url, "--ca-cert", proxy.ca_file, …])
        assert not proxy.refused

Programs ask it by CONNECT (RFC 9110, 9.3.6). It shows a certificate for the host that they want, by
an authority of its own, and passes what they say on to a server on this machine, without TLS. Hosts
of which it does not know are refused and noted: no test reaches the Internet.
"""

import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import trio
import trustme

PIECE = 64 << 10
LONGEST_HEAD = 16 << 10
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError)


@dataclass
class ConnectProxy:
    """`routes` from hosts, with `*` and `?` as in a shell, to URLs of servers on this machine.

    `url` is for a program's proxy setting, `ca_file` for its list of authorities. `reached` and
    `refused` have the hosts that were asked for, each time they were.
    """

    routes: Mapping[str, str]
    ca_file: str = ""
    url: str = ""
    reached: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _ca: trustme.CA = field(default_factory=trustme.CA)
    _contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def upstream(self, host: str) -> tuple[str, int] | None:
        """Where requests for a host go; None where it is not known here."""
        for pattern, url in self.routes.items():
            if fnmatchcase(host.lower(), pattern):
                where = urlsplit(url)
                assert where.hostname is not None
                assert where.port is not None
                return where.hostname, where.port
        return None

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection of a program."""
        with contextlib.suppress(*_BROKEN, trio.EndOfChannel):
            async with stream:
                asked = await _head(stream)
                if asked is None:
                    return
                method, _, rest = asked.partition(" ")
                host = rest.partition(" ")[0].rpartition(":")[0].strip("[]")
                where = self.upstream(host) if method == "CONNECT" else None
                if where is None:
                    self.refused.append(asked)
                    await stream.send_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    return
                self.reached.append(host)
                await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._tunnel(stream, host, where)

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this proxy's authority, and no other."""
        return ssl.create_default_context(cafile=self.ca_file)

    def write_ca(self, path: Path) -> None:
        """Write the authority's certificate, and remember where."""
        self._ca.cert_pem.write_to_path(str(path))
        self.ca_file = str(path)

    async def _tunnel(self, stream: trio.SocketStream, host: str, where: tuple[str, int]) -> None:
        inside = trio.SSLStream(
            stream, self._context(host), server_side=True, https_compatible=True
        )
        outside = await trio.open_tcp_stream(*where)
        async with inside, outside, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, inside, outside, nursery.cancel_scope)
            nursery.start_soon(_pump, outside, inside, nursery.cancel_scope)

    def _context(self, host: str) -> ssl.SSLContext:
        if host not in self._contexts:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_alpn_protocols(["http/1.1"])
            self._ca.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return self._contexts[host]


@contextlib.asynccontextmanager
async def connect_proxy(routes: Mapping[str, str]) -> AsyncIterator[ConnectProxy]:
    """A proxy, as long as the context lasts."""
    proxy = ConnectProxy(routes)
    with tempfile.TemporaryDirectory() as folder:
        proxy.write_ca(Path(folder, "ca.pem"))
        async with trio.open_nursery() as nursery:
            listen = partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1")
            listeners = await nursery.start(listen)
            proxy.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
            yield proxy
            nursery.cancel_scope.cancel()


async def _head(stream: trio.SocketStream) -> str | None:
    """The first line of a request, once all of its head is there; nothing follows a CONNECT's."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        more = await stream.receive_some(PIECE)
        if not more or len(data) > LONGEST_HEAD:
            return None
        data += more
    return bytes(data).partition(b"\r\n")[0].decode("latin-1")


async def _pump(source: trio.abc.Stream, sink: trio.abc.Stream, both: trio.CancelScope) -> None:
    """Pass bytes on until one side ends; an HTTP server that closes has said all it will."""
    with contextlib.suppress(*_BROKEN):
        while data := await source.receive_some(PIECE):
            await sink.send_all(data)
    both.cancel()
