"""The FUSE protocol as the kernel speaks it on /dev/fuse: pure functions over buffers.

The source is `include/uapi/linux/fuse.h`, as of version 7.40 (Linux 6.9); by the flags of INIT
older kernels are asked for nothing that they do not know. All numbers are in the machine's own
order and natural alignment; offsets and sizes are bytes.
One read gives one request, one write takes one reply.

    request header         reply header         FORGET                 BATCH_FORGET
    0  4 whole length      0  4 whole length    0  8 lookups           0  4 count
    4  4 opcode            4  4 -errno, or 0                           4  4 -
    8  8 unique            8  8 unique          READ, READDIR(PLUS)    8 16 each: inode, lookups
    16 8 inode                                  0  8 handle
    24 4 uid               INTERRUPT            8  8 offset            GETXATTR, LISTXATTR
    28 4 gid               0  8 unique of the   16 4 size              0  4 size, 0: how long is it?
    32 4 pid                    request meant   20 4 flags             4  4 -
    36 2 extensions                             24 8 lock owner        8    the name, ends with \\0
    38 2 -                 OPEN, OPENDIR        32 4 open(2)'s flags        (not of LISTXATTR)
                           0  4 flags           36 4 -
    LOOKUP: the name,      4  4 -                                      RELEASE(DIR)
    ends with \\0                                                       0  8 handle; more follows

    INIT                   its answer                    the answer of STATFS
    0  4 major             0  4 major                    0  8 blocks
    4  4 minor             4  4 minor                    8  8 blocks free
    8  4 max read-ahead    8  4 max read-ahead           16 8 blocks free for users
    12 4 flags             12 4 flags                    24 8 files
    16 4 upper flags, if   16 2 max background           32 8 files free
         INIT_EXT is set   18 2 congestion threshold     40 4 block size
    20   more, not read    20 4 max write                44 4 longest name
                           24 4 time granularity, ns     48 4 fragment size
                           28 2 max pages                52 28 -
                           30 2 -
                           32 4 upper flags
                           36 4 max stack depth
                           40 24 -

    attributes             entry (LOOKUP)                listed (READDIR), padded to 8
    0  8 inode             0  8 inode                    0  8 inode
    8  8 size              8  8 generation               8  8 offset after it
    16 8 blocks of 512     16 8 the name's life, s       16 4 length of the name
    24 8 atime, s          24 8 the attributes' life, s  20 4 type, as in the mode's top bits
    32 8 mtime, s          32 4 the first's ns           24   the name
    40 8 ctime, s          36 4 the second's ns
    48 4 atime, ns         40 88 attributes              READDIRPLUS: entry, then listed
    52 4 mtime, ns
    56 4 ctime, ns         the answer of GETATTR         the answer of OPEN, OPENDIR
    60 4 mode              0  8 their life, s            0  8 handle
    64 4 links             8  4 its ns                   8  4 flags
    68 4 uid               12 4 -                        12 4 -
    72 4 gid               16 88 attributes              12 4 backing id, or -
    76 4 rdev
    80 4 block size                                      the answer of GETXATTR, LISTXATTR
    84 4 -                                               the value; of size 0:
                                                         0  4 length, 4  4 -
"""

import mmap
import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Final

from ..cas.read.counters import clock
from ..cas.room import Room
from ..ids import Inode
from .attributes import BLOCK_SIZE, Attributes
from .handles import Handle
from .listings import LASTING, LONGEST_NAME

MAJOR: Final = 7
MINOR: Final = 40
OLDEST: Final = 23
"""The first minor version whose INIT is answered as above."""

PAGES: Final = 256
"""Pages of the longest request: FUSE's own limit for ordinary users."""
LARGEST: Final = PAGES * mmap.PAGESIZE
"""Bytes of the longest request: 1 MiB where pages have 4 KiB."""

HEADER: Final = struct.Struct("=IIQQIIIHH")
READ: Final = struct.Struct("=QQIIQII")
_REPLY: Final = struct.Struct("=IiQ")
_INIT: Final = struct.Struct("=IIII")
_INIT_UPPER: Final = struct.Struct("=16xI")
_INIT_ANSWER: Final = struct.Struct("=IIIIHHIIHHII24x")
_NUMBER: Final = struct.Struct("=Q")
_FORGOTTEN: Final = struct.Struct("=QQ")
_COUNT: Final = struct.Struct("=II")
_ATTRIBUTES: Final = struct.Struct("=QQQqqqIIIIIIIIII")
_ATTRIBUTES_LIFE: Final = struct.Struct("=QII")
_ENTRY: Final = struct.Struct("=QQQQII")
_OPENED: Final = struct.Struct("=QIi")
_LISTED: Final = struct.Struct("=QQII")
_SPACE: Final = struct.Struct("=QQQQQIII28x")

_UPPER: Final = 32
"""Bits of the flags that fit into the first field for them."""
_NANOSECONDS: Final = 10**9
_TYPE: Final = 12
"""Bits to the right of a file's type in its mode."""


class Opcode(IntEnum):
    """What is asked for, of what is answered here."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44


CHANGES: Final = frozenset({4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51})
"""Opcodes that change something: setattr, symlink, mknod, mkdir, unlink, rmdir, rename, link,
write, setxattr, removexattr, create, fallocate, rename2, copy_file_range, tmpfile."""
UNANSWERED: Final = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT})
"""Opcodes that the kernel wants no reply to."""


class Feature(IntFlag):
    """What kernel and daemon agree on in INIT."""

    ASYNC_READ = 1 << 0
    READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    PARALLEL_DIROPS = 1 << 18
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37


KEEP_CACHE: Final = 1 << 1
"""Of an answer to OPEN: what the kernel has cached of the file stays valid."""
PASSTHROUGH: Final = 1 << 7
"""Of an answer to OPEN: the kernel reads the file that the backing id stands for."""
STACK: Final = 1
"""How many filesystems may lie on each other below such a file and us, of the kernel's limit of 2:
one, so that an overlay may still lie above us."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `body` is what follows the header, `came` when it was taken (ns, by `clock`)."""

    opcode: int
    unique: int
    inode: Inode
    pid: int
    body: bytes
    came: int = field(default_factory=clock, compare=False)


@dataclass(frozen=True, slots=True)
class Hello:
    """What the kernel says in INIT: its version, its limit of read-ahead (bytes), what it can."""

    major: int
    minor: int
    read_ahead: int
    features: int


# Requests


def parse_request(data: memoryview) -> Request:
    """A request as it was read; ValueError for one that is no request at all."""
    if len(data) < HEADER.size:
        raise ValueError(f"a request of {len(data)} bytes")
    length, opcode, unique, inode, _, _, pid, _, _ = HEADER.unpack_from(data)
    if length != len(data):
        raise ValueError(f"a request of {len(data)} bytes says that it has {length}")
    return Request(opcode, unique, Inode(inode), pid, bytes(data[HEADER.size :]))


def _fields(kind: struct.Struct, body: bytes) -> tuple[int, ...]:
    if len(body) < kind.size:
        raise ValueError(f"a request's body of {len(body)} bytes instead of {kind.size}")
    return kind.unpack_from(body)


def parse_name(body: bytes) -> bytes:
    """The name in a LOOKUP."""
    name, end, rest = body.partition(b"\0")
    if not end or rest or not name:
        raise ValueError("a request's name is none")
    return name


def parse_init(body: bytes) -> Hello:
    """INIT; every field that is left out is one of an older kernel."""
    major, minor, read_ahead, features = _fields(_INIT, body)
    if features & Feature.INIT_EXT:
        features |= _fields(_INIT_UPPER, body)[0] << _UPPER
    return Hello(major, minor, read_ahead, features)


def parse_number(body: bytes) -> int:
    """The number of FORGET: lookups; and of INTERRUPT: the request that is meant."""
    return _fields(_NUMBER, body)[0]


def parse_handle(body: bytes) -> Handle:
    """The handle of RELEASE and RELEASEDIR."""
    return Handle(parse_number(body))


def parse_open(body: bytes) -> int:
    """The flags in an OPEN."""
    return _fields(_COUNT, body)[0]


def parse_read(body: bytes) -> tuple[Handle, int, int]:
    """Handle, offset and size of READ, READDIR and READDIRPLUS."""
    handle, offset, size, *_ = _fields(READ, body)
    if size > LARGEST:
        raise ValueError(f"a request for {size} bytes, more than was agreed on")
    return Handle(handle), offset, size


def parse_batch(body: bytes) -> list[tuple[Inode, int]]:
    """Inodes of a BATCH_FORGET, and the lookups given back of each."""
    count, _ = _fields(_COUNT, body)
    items = body[_COUNT.size :]
    if len(items) < count * _FORGOTTEN.size:
        raise ValueError(f"a request forgets {count} inodes and names fewer")
    found = _FORGOTTEN.iter_unpack(items[: count * _FORGOTTEN.size])
    return [(Inode(inode), lookups) for inode, lookups in found]


def parse_getxattr(body: bytes) -> tuple[int, bytes]:
    """Bytes that there is room for, and the name."""
    return _fields(_COUNT, body)[0], parse_name(body[_COUNT.size :])


def parse_room(body: bytes) -> int:
    """Bytes that there is room for in the answer to LISTXATTR."""
    return _fields(_COUNT, body)[0]


# Replies


def reply_header(unique: int, size: int) -> bytes:
    """What comes before the `size` bytes of an answer."""
    return _REPLY.pack(_REPLY.size + size, 0, unique)


def refused(unique: int, number: int) -> bytes:
    """The whole reply that a request failed with the errno `number`."""
    return _REPLY.pack(_REPLY.size, -number, unique)


def init(minor: int, features: int, read_ahead: int, background: int, pages: int) -> bytes:
    """The answer to INIT: `background` requests at once, of `pages` pages each at most."""
    # Nothing is ever written; what is read from the device must have room for so much.
    most, stack = 4096, STACK if features & Feature.PASSTHROUGH else 0
    upper, lower = divmod(features, 1 << _UPPER)
    return _INIT_ANSWER.pack(
        *(MAJOR, minor, read_ahead, lower, background, background * 3 // 4, most, 1, pages, 0),
        *(upper, stack),
    )


def attributes(shown: Attributes) -> bytes:
    """The answer to GETATTR; attributes never change under an inode."""
    return _ATTRIBUTES_LIFE.pack(int(LASTING), 0, 0) + _attributes(shown)


def entry(shown: Attributes, lifetime: float) -> bytes:
    """The answer to LOOKUP; the name may be trusted for `lifetime` seconds."""
    seconds, rest = divmod(lifetime, 1)
    head = _ENTRY.pack(shown.inode, 0, int(seconds), int(LASTING), int(rest * _NANOSECONDS), 0)
    return head + _attributes(shown)


def _attributes(shown: Attributes) -> bytes:
    seconds, rest = divmod(shown.mtime_ns, _NANOSECONDS)
    return _ATTRIBUTES.pack(
        shown.inode,
        shown.size,
        shown.blocks,
        *(seconds, seconds, seconds),
        *(rest, rest, rest),
        shown.mode,
        shown.nlink,
        shown.uid,
        shown.gid,
        0,
        BLOCK_SIZE,
        0,
    )


def listed(name: bytes, shown: Attributes, following: int) -> bytes:
    """One entry of an answer to READDIR."""
    head = _LISTED.pack(shown.inode, following, len(name), shown.mode >> _TYPE)
    return head + name + bytes(-len(name) % 8)


def opened(handle: Handle, flags: int = 0, backing: int = 0) -> bytes:
    """The answer to OPEN and OPENDIR."""
    return _OPENED.pack(handle, flags, backing)


def length(size: int) -> bytes:
    """The answer to GETXATTR and LISTXATTR that asked how long the other one would be."""
    return _COUNT.pack(size, 0)


def space(room: Room) -> bytes:
    """The answer to STATFS. The space is told in blocks."""
    total, free = -(-room.total // BLOCK_SIZE), room.free // BLOCK_SIZE
    return _SPACE.pack(total, free, free, 0, 0, BLOCK_SIZE, LONGEST_NAME, BLOCK_SIZE)
