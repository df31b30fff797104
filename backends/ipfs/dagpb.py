"""Nodes that tie blocks together: files and folders of IPFS, as bytes and back.

A node is a protobuf message: links (field 2, before the data as dag-pb wants it) of a CID, a name
and a size, then data (field 1), which UnixFS fills: type (1), bytes (2), the file's size (3), the
sizes of what the links hold (4), a folder's fan-out (6) and a time (8). Sources: the specifications
DAG-PB (ipld.io/specs/codecs/dag-pb) and UnixFS (specs.ipfs.tech/unixfs), version 1.5 for times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...cid import Cid, decode_cid, read_varint, varint

RAW_TYPE: Final = 0
DIRECTORY: Final = 1
FILE: Final = 2
SHARDED: Final = 5
"""A folder spread over nodes, a HAMT; its links' names begin with a slot's number in hex."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NANOSECONDS: Final = 10**9
_SECONDS: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Link:
    """What a node points at; `total` is the size in bytes of all blocks below and with it."""

    cid: Cid
    name: str
    total: int


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its links, and what UnixFS says in it.

    `sizes` are the bytes of a file that each link holds, `data` those it holds itself. `time_ns` is
    nanoseconds since the epoch, None where it tells none. `fanout` is a sharded folder's.
    """

    kind: int
    links: tuple[Link, ...] = ()
    data: bytes = b""
    size: int = 0
    sizes: tuple[int, ...] = ()
    time_ns: int | None = None
    fanout: int = 0


def encode_node(node: Node) -> bytes:
    """The block of a node of a file or a folder."""
    links = b"".join(_field(2, _encode_link(link)) for link in node.links)
    return links + _field(1, _encode_unixfs(node))


def decode_node(block: bytes) -> Node:
    """The node in a block; ValueError where it is none of UnixFS."""
    links: list[Link] = []
    found: Node | None = None
    for number, value in _fields(block):
        if number == 2 and isinstance(value, bytes):
            links.append(_decode_link(value))
        elif number == 1 and isinstance(value, bytes) and found is None:
            found = _decode_unixfs(value)
        else:
            raise ValueError("a node has a field that no node has")
    if found is None:
        raise ValueError("a node says nothing of what it is")
    return Node(
        found.kind, tuple(links), found.data, found.size, found.sizes, found.time_ns, found.fanout
    )


def file_node(
    blocks: Sequence[tuple[Cid, int]], time_ns: int | None = None, data: bytes = b""
) -> Node:
    """A file of these blocks, each a CID and a size in bytes; or of `data` alone, without any."""
    sizes = tuple(size for _, size in blocks)
    links = tuple(Link(cid, "", size) for cid, size in blocks)
    return Node(FILE, links, data, len(data) + sum(sizes), sizes, time_ns)


def _encode_link(link: Link) -> bytes:
    name = link.name.encode()
    return _field(1, bytes(link.cid)) + _field(2, name) + b"\x18" + varint(link.total)


def _encode_unixfs(node: Node) -> bytes:
    found = b"\x08" + varint(node.kind)
    if node.data:
        found += _field(2, node.data)
    if node.kind == FILE:
        found += b"\x18" + varint(node.size)
    found += b"".join(b"\x20" + varint(size) for size in node.sizes)
    if node.time_ns is not None:
        seconds, rest = divmod(node.time_ns, _NANOSECONDS)
        said = b"\x08" + varint(seconds)
        if rest:
            said += b"\x15" + rest.to_bytes(4, "little")
        found += _field(8, said)
    return found


def _decode_link(data: bytes) -> Link:
    cid: Cid | None = None
    name, total = "", 0
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            cid = decode_cid(value)
        elif number == 2 and isinstance(value, bytes):
            name = value.decode()
        elif number == 3 and isinstance(value, int):
            total = value
    if cid is None:
        raise ValueError("a link points at nothing")
    return Link(cid, name, total)


def _decode_unixfs(data: bytes) -> Node:
    kind: int | None = None
    inside, size, fanout, time_ns = b"", 0, 0, None
    sizes: list[int] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            inside = value
        elif number == 3 and isinstance(value, int):
            size = value
        elif number == 4:
            sizes += [value] if isinstance(value, int) else _packed(value)
        elif number == 6 and isinstance(value, int):
            fanout = value
        elif number == 8 and isinstance(value, bytes):
            time_ns = _decode_time(value)
    if kind is None:
        raise ValueError("a node says nothing of what it is")
    return Node(kind, (), inside, size, tuple(sizes), time_ns, fanout)


def _decode_time(data: bytes) -> int | None:
    seconds, rest = 0, 0
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            seconds = value
        elif number == 2 and isinstance(value, int):
            rest = value
    return seconds * _NANOSECONDS + rest if seconds < _SECONDS else None  # before 1970


def _packed(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at)
        found.append(number)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, in order: numbers as int, anything longer as bytes."""
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError("a field is of a kind that is not known")
        length = {_FIXED64: 8, _FIXED32: 4}.get(kind, 0)
        if kind == _BYTES:
            length, at = read_varint(data, at)
        if length > len(data) - at:
            raise ValueError("a field is cut short")
        part = data[at : at + length]
        at += length
        yield number, part if kind == _BYTES else int.from_bytes(part, "little")


def _field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(value)) + value
