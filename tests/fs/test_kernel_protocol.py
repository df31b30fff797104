"""The structs of the FUSE protocol, by what a real kernel sent and what it has to be sent."""

import struct

import pytest

from modelfloat.cas.formats.tree import EntryType
from modelfloat.cas.room import Room
from modelfloat.fuse import protocol
from modelfloat.fuse.attributes import BLOCK_SIZE, Attributes
from modelfloat.fuse.handles import Handle
from modelfloat.fuse.listings import LASTING
from modelfloat.fuse.protocol import Feature, Opcode, parse_request
from modelfloat.ids import Inode
from modelfloat.tests.support.fuserequests import CAPTURED, REPLY, parse_reply

FILE = 0x6C08CB821943B46E
FOLDER = 0x0557703A48FD9AB2
SHOWN = Attributes(
    Inode(FILE), EntryType.FILE, 0o100444, 7, 1_700_000_000_000_000_001, 1, 1000, 1001, 1
)


def body(name: str) -> bytes:
    return parse_request(memoryview(CAPTURED[name])).body


@pytest.mark.parametrize("name", [name for name in CAPTURED if name in Opcode.__members__])
def test_headers(name: str) -> None:
    request = parse_request(memoryview(CAPTURED[name]))
    assert request.opcode == Opcode[name]
    assert request.body == CAPTURED[name][40:]


def test_who_asks_for_what() -> None:
    request = parse_request(memoryview(CAPTURED["OPEN"]))
    assert (request.unique, request.inode, request.pid) == (14, FILE, 20069)


def test_bodies() -> None:
    assert protocol.parse_name(body("LOOKUP")) == b"other"
    assert protocol.parse_number(body("FORGET")) == 5
    assert protocol.parse_number(body("INTERRUPT")) == 0x52
    assert protocol.parse_open(body("OPEN")) == 0o100000
    assert protocol.parse_read(body("READ")) == (1, 0, 4096)
    assert protocol.parse_read(body("READDIR")) == (1, 3, 131072)
    assert protocol.parse_read(body("READDIRPLUS")) == (1, 0, 131072)
    assert protocol.parse_handle(body("RELEASE")) == 1
    assert protocol.parse_handle(body("RELEASEDIR")) == 1
    assert protocol.parse_getxattr(body("GETXATTR")) == (128, b"user.modelfloat.blake3")
    assert protocol.parse_room(body("LISTXATTR")) == 256
    assert protocol.parse_batch(body("BATCH_FORGET")) == [
        (0x50B89F43267AC6D7, 5),
        (0x0473_8762_3D80_A9E5_FC & (1 << 64) - 1, 4),
        (FOLDER, 1),
        (0x05CB233DD5728B76, 1),
    ]
    hello = protocol.parse_init(body("INIT"))
    assert (hello.major, hello.minor, hello.read_ahead) == (7, 45, 128 << 10)
    wanted = protocol.Feature.MAX_PAGES | protocol.Feature.READDIRPLUS
    assert hello.features & wanted == wanted


def test_flags_beyond_the_first_32() -> None:
    """Of a kernel that has none, nothing is read where they would stand."""
    whole = body("INIT")
    offered = protocol.parse_init(whole).features
    assert offered & Feature.PASSTHROUGH
    assert offered & Feature.INIT_EXT
    for old in (whole[:12] + bytes(4), whole[:12] + bytes(4) + whole[16:]):
        assert protocol.parse_init(old).features == struct.unpack_from("=I", old, 12)[0]
    with pytest.raises(ValueError):
        protocol.parse_init(whole[: 16 + 3])
    wanted = Feature.PASSTHROUGH | Feature.INIT_EXT | Feature.ASYNC_READ
    found = struct.unpack("=IIIIHHIIHHII24x", protocol.init(40, wanted, 4096, 64, 256))
    assert found == (7, 40, 4096, 1 << 30 | 1, 64, 48, 4096, 1, 256, 0, 1 << 5, 1)


def test_a_file_that_the_kernel_reads() -> None:
    data = protocol.opened(Handle(7), protocol.PASSTHROUGH, 3)
    assert struct.unpack("=QIi", data) == (7, 128, 3)


@pytest.mark.parametrize(
    ("parse", "name"),
    [
        (protocol.parse_name, "LOOKUP"),
        (protocol.parse_number, "FORGET"),
        (protocol.parse_open, "OPEN"),
        (protocol.parse_read, "READ"),
        (protocol.parse_batch, "BATCH_FORGET"),
        (protocol.parse_getxattr, "GETXATTR"),
        (protocol.parse_room, "LISTXATTR"),
    ],
)
def test_short_bodies(parse, name: str) -> None:
    whole = body(name)
    for size in range(len(whole)):
        if name in ("OPEN", "LISTXATTR") and size >= 8:
            continue
        with pytest.raises(ValueError):
            parse(whole[:size])


def test_requests_that_are_none() -> None:
    data = CAPTURED["READ"]
    for wrong in (b"", data[:39], data[:-1], data + b"\0"):
        with pytest.raises(ValueError):
            parse_request(memoryview(wrong))
    for name in (b"\0", b"no end", b"two\0names\0"):
        with pytest.raises(ValueError):
            protocol.parse_name(name)


def test_replies() -> None:
    assert parse_reply(protocol.reply_header(18, 4) + b"data") == (18, 0, b"data")
    assert parse_reply(protocol.refused(18, 5)) == (18, 5, b"")
    assert REPLY.size == 16


def test_sizes_are_those_of_the_kernels_structs() -> None:
    """The kernel takes an answer of the right size only."""
    assert len(protocol.init(40, 0, 0, 64, 256)) == 64
    assert len(protocol.attributes(SHOWN)) == 16 + 88
    assert len(protocol.entry(SHOWN, 1.0)) == 40 + 88
    assert len(protocol.opened(Handle(1))) == 16
    assert len(protocol.length(1)) == 8
    assert len(protocol.space(Room(1, 1))) == 80


def test_an_entry() -> None:
    data = protocol.entry(SHOWN, 1.5)
    head, rest = struct.unpack("=QQQQII", data[:40]), struct.unpack("=QQQqqqIIIIIIIIII", data[40:])
    assert head == (FILE, 0, 1, int(LASTING), 500_000_000, 0)
    time, part = 1_700_000_000, 1
    assert rest[:9] == (FILE, 7, 1, time, time, time, part, part, part)
    assert rest[9:] == (0o100444, 1, 1000, 1001, 0, BLOCK_SIZE, 0)
    assert protocol.attributes(SHOWN) == struct.pack("=QII", int(LASTING), 0, 0) + data[40:]


def test_times_before_1970() -> None:
    early = Attributes(Inode(2), EntryType.FILE, 0o100444, 0, -1, 1, 0, 0, 0)
    data = protocol.entry(early, 0)[40:]
    assert struct.unpack_from("=q", data, 32) == (-1,)
    assert struct.unpack_from("=I", data, 52) == (999_999_999,)


@pytest.mark.parametrize("size", range(1, 18))
def test_what_is_listed(size: int) -> None:
    name = b"n" * size
    data = protocol.listed(name, SHOWN, 9)
    assert len(data) % 8 == 0
    assert struct.unpack_from("=QQII", data) == (FILE, 9, size, 8)
    assert data[24:].rstrip(b"\0") == name
    assert len(data) - 24 - size < 8


def test_space_is_told_in_blocks() -> None:
    data = protocol.space(Room(10 * BLOCK_SIZE + 1, 2 * BLOCK_SIZE))
    assert struct.unpack("=QQQQQIII28x", data) == (11, 2, 2, 0, 0, BLOCK_SIZE, 255, BLOCK_SIZE)
