"""The fake node's side of HTTP: requests read, commands done, answers as Kubo words them."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
import trio

from modelfloat.cid import DAG_PB, RAW, Cid, parse_cid

from .state import FUNCTIONS, AbsentError, Faults, Node, RefusalError

TOLD = 1 << 20
"""Bytes of a body whose length is told that are too many (js-ipfs, and proxies before nodes)."""
CODECS = {"raw": RAW, "dag-pb": DAG_PB, "protobuf": DAG_PB}


class HungUpError(Exception):
    """The connection is to end without an answer."""


@dataclass
class Asked:
    """A request: its path, its query (names may come more than once) and the file it carries."""

    method: str
    path: str
    query: list[tuple[str, str]]
    data: bytes
    headers: dict[str, str]

    def value(self, name: str, otherwise: str = "") -> str:
        """The first value of a name."""
        return next((value for each, value in self.query if each == name), otherwise)

    @property
    def arguments(self) -> list[str]:
        """The command's arguments."""
        return [value for name, value in self.query if name == "arg"]


@dataclass
class Answer:
    """An answer: a status, a body and its type."""

    status: int
    body: bytes
    kind: str = "application/json"


@dataclass
class Kubo:
    """A fake node that serves: its URL as a backend's, what it holds, what goes wrong with it.

    `ahead` is how many seconds its clock is ahead of ours, `token` what it wants to be told,
    `asked` has every command and `pace` is awaited before each answer with its bytes.
    """

    node: Node
    faults: Faults
    port: int = 0
    ahead: float = 0.0
    token: str = ""
    asked: list[str] = field(default_factory=list)
    pace: Callable[[int], object] | None = None

    @property
    def url(self) -> str:
        """The node as a backend's URL, without a folder."""
        return f"ipfs://127.0.0.1:{self.port}"

    @property
    def gateway(self) -> str:
        """The node's gateway as a backend's URL, without the root."""
        return f"ipfs+gateway+http://127.0.0.1:{self.port}"

    def root(self, folder: str) -> Cid:
        """The CID of a folder, as `ipfs files stat --hash` prints it."""
        found = self.node.find(folder)
        return found if isinstance(found, Cid) else self.node.folder(found)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        connection = h11.Connection(h11.SERVER)
        gone = (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError)
        with contextlib.suppress(*gone, HungUpError):
            async with stream:
                while (asked := await _read(connection, stream)) is not None:
                    answer = await self._answer(asked)
                    if self.pace is not None:
                        waited = self.pace(len(answer.body))
                        if hasattr(waited, "__await__"):
                            await waited
                    await _send(connection, stream, answer, time.time() + self.ahead)
                    if connection.our_state is not h11.DONE:
                        return
                    connection.start_next_cycle()

    async def _answer(self, asked: Asked) -> Answer:
        length = asked.headers.get("content-length", "0")
        if int(length) > TOLD:
            return Answer(413, b"Payload Too Large", "text/plain")
        if asked.path.startswith("/ipfs/"):
            return self._gateway(asked)
        command = asked.path.removeprefix("/api/v0/")
        self.asked.append(command)
        if asked.method != "POST":
            return Answer(405, b"405 - Method Not Allowed\n", "text/plain")
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(403, b"403 - Forbidden\n", "text/plain")
        if command in self.faults.portal:
            return Answer(200, b"<!DOCTYPE html><html><body>Log in</body></html>", "text/html")
        failure = self.faults.take(command)
        if failure is not None and failure[0]:
            return refused(failure[1], failure[0])
        try:
            answer = await self._done(command, asked)
        except RefusalError as error:
            answer = refused(str(error))
        if failure is not None:
            raise HungUpError
        return answer

    def _gateway(self, asked: Asked) -> Answer:
        if asked.value("format") != "raw":
            return Answer(406, b"only format=raw is served here", "text/plain")
        try:
            block = self._block(parse_cid(asked.path.removeprefix("/ipfs/")))
        except (AbsentError, ValueError) as error:
            return Answer(404, str(error).encode(), "text/plain")
        return Answer(200, block, "application/vnd.ipld.raw")

    def _block(self, cid: Cid) -> bytes:
        block = self.node.get(cid)
        if str(cid) in self.faults.flipped:
            block = bytes([block[0] ^ 1]) + block[1:]
        return block

    async def _done(self, command: str, asked: Asked) -> Answer:
        known = COMMANDS.get(command)
        if known is None:
            return Answer(404, b"404 page not found\n", "text/plain")
        try:
            return known(self, asked)
        except AbsentError:
            if asked.value("offline") != "true":  # it is looked for in the whole network
                await trio.sleep_forever()
            raise

    # ---- commands

    def block_put(self, asked: Asked) -> Answer:
        """Store the block that was sent."""
        if self.faults.full:
            raise RefusalError("write blocks/X.temp: no space left on device")
        codec, format_ = asked.value("cid-codec", "raw"), asked.value("format")
        if format_ and codec != "raw":
            raise RefusalError('unable to use "format" (deprecated) and a custom "cid-codec"')
        function = FUNCTIONS[asked.value("mhtype", "sha2-256")]
        cid = self.node.put(asked.data, CODECS[format_ or codec], function)
        name = str(cid)[:-1] + "a" if self.faults.renames else str(cid)
        return told({"Key": name, "Size": len(asked.data)})

    def block_get(self, asked: Asked) -> Answer:
        """A block."""
        return Answer(200, self._block(parse_cid(asked.arguments[0])), "text/plain")

    def block_rm(self, asked: Asked) -> Answer:
        """Remove a block; one that is pinned is told with status 200."""
        cid = asked.arguments[0]
        if any(cid == str(each) for pin in self.node.pins for each in self._reached(pin)):
            return told({"Hash": cid, "Error": "pinned: recursive"})
        self.node.drop(cid)
        return told({"Hash": cid})

    def _reached(self, pin: str) -> list[Cid]:
        return list(self.node.reached(parse_cid(pin)))

    def pin_add(self, asked: Asked) -> Answer:
        """Pin a root."""
        if self.faults.collect:
            self.faults.collect -= 1
            names, self.node.names = self.node.names, {}
            self.node.collect()
            self.node.names = names
        try:
            self.node.pin(parse_cid(asked.arguments[0]))
        except AbsentError as error:
            if asked.value("offline") != "true":
                raise
            raise RefusalError(f"pin: {error}") from None
        return told({"Pins": asked.arguments})

    def pin_rm(self, asked: Asked) -> Answer:
        """Take a pin away."""
        self.node.unpin(parse_cid(asked.arguments[0]))
        return told({"Pins": asked.arguments})

    def pin_ls(self, _: Asked) -> Answer:
        """All pins."""
        return told({"Keys": {pin: {"Type": "recursive"} for pin in sorted(self.node.pins)}})

    def files_stat(self, asked: Asked) -> Answer:
        """What has a path."""
        found = self.node.told("", self.node.find(asked.arguments[0]))
        kind = "directory" if found["Type"] else "file"
        return told({**found, "Type": kind, "CumulativeSize": 0, "Blocks": 0})

    def files_ls(self, asked: Asked) -> Answer:
        """What a folder holds."""
        path = asked.arguments[0]
        found = self.node.find(path)
        if isinstance(found, Cid):
            return told({"Entries": [self.node.told(path.rpartition("/")[2], found)]})
        entries = [self.node.told(name, each) for name, each in found.items()]
        return told({"Entries": entries or None})

    def files_mkdir(self, asked: Asked) -> Answer:
        """Make a folder."""
        self.node.make(asked.arguments[0], parents=asked.value("parents") == "true")
        return Answer(200, b"")

    def files_cp(self, asked: Asked) -> Answer:
        """Give a root a path."""
        source, path = asked.arguments
        self.node.name(parse_cid(source.removeprefix("/ipfs/")), path)
        return Answer(200, b"")

    def files_rm(self, asked: Asked) -> Answer:
        """Take a file's path away; that it could not be is told with status 200."""
        path = asked.arguments[0]
        try:
            self.node.remove(path)
        except RefusalError as error:
            return told(f"{path}: {error}")
        return Answer(200, b"")

    def repo_gc(self, _: Asked) -> Answer:
        """Collect the garbage."""
        lines = [json.dumps({"Key": {"/": text}}) for text in self.node.collect()]
        return Answer(200, "".join(f"{line}\n" for line in lines).encode())

    def repo_stat(self, _: Asked) -> Answer:
        """How much there is, and may be."""
        return told({"RepoSize": self.node.size(), "StorageMax": self.node.storage_max})


COMMANDS: dict[str, Callable[[Kubo, Asked], Answer]] = {
    "block/put": Kubo.block_put,
    "block/get": Kubo.block_get,
    "block/rm": Kubo.block_rm,
    "pin/add": Kubo.pin_add,
    "pin/rm": Kubo.pin_rm,
    "pin/ls": Kubo.pin_ls,
    "files/stat": Kubo.files_stat,
    "files/ls": Kubo.files_ls,
    "files/mkdir": Kubo.files_mkdir,
    "files/cp": Kubo.files_cp,
    "files/rm": Kubo.files_rm,
    "repo/gc": Kubo.repo_gc,
    "repo/stat": Kubo.repo_stat,
}


def told(document: object) -> Answer:
    """JSON, with the line break that Go puts behind it."""
    return Answer(200, json.dumps(document).encode() + b"\n")


def refused(message: str, status: int = 500) -> Answer:
    """A failure."""
    body = json.dumps({"Message": message, "Code": 0, "Type": "error"})
    return Answer(status, body.encode() + b"\n")


async def _read(connection: h11.Connection, stream: trio.SocketStream) -> Asked | None:
    """The next request, None where none comes any more."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(256 << 10))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            return None
    assert request is not None
    headers = {name.decode().lower(): value.decode() for name, value in request.headers}
    target = urlsplit(request.target.decode())
    query = parse_qsl(target.query, keep_blank_values=True)
    data = _file(headers.get("content-type", ""), bytes(body))
    return Asked(request.method.decode(), unquote(target.path), query, data, headers)


def _file(kind: str, body: bytes) -> bytes:
    """The one file of a form."""
    _, found, boundary = kind.partition("boundary=")
    if not found:
        return body
    inside = body.partition(b"\r\n\r\n")[2]
    return inside[: inside.rindex(f"\r\n--{boundary}--".encode())]


async def _send(
    connection: h11.Connection, stream: trio.SocketStream, answer: Answer, now: float
) -> None:
    headers = [
        ("Content-Type", answer.kind),
        ("Content-Length", str(len(answer.body))),
        ("Date", formatdate(now, usegmt=True)),
    ]
    head = connection.send(h11.Response(status_code=answer.status, headers=headers, reason=b""))
    data = connection.send(h11.Data(data=answer.body))
    end = connection.send(h11.EndOfMessage())
    await stream.send_all((head or b"") + (data or b"") + (end or b""))


@contextlib.asynccontextmanager
async def serve_kubo(
    folder: Path, faults: Faults | None = None, *, port: int = 0
) -> AsyncIterator[Kubo]:
    """A fake node whose blocks lie in a folder, as long as the context lasts."""
    blocks = folder / "blocks"
    blocks.mkdir(parents=True, exist_ok=True)
    kubo = Kubo(Node(blocks), faults or Faults())
    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, kubo.serve, port, host="127.0.0.1")
        listeners = await nursery.start(listen)
        kubo.port = listeners[0].socket.getsockname()[1]
        yield kubo
        nursery.cancel_scope.cancel()
