"""Commits: a tree with parents, author, time and message. `docs/format.md`, Commit."""

import struct
from dataclasses import dataclass
from typing import Final

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from .objects import ObjectType, expect, header

MAX_MESSAGE: Final = 64 << 10
MAX_AUTHOR: Final = 1024

_HEAD: Final = struct.Struct("<8x32sqhHHxxII")


@dataclass(frozen=True, slots=True)
class Commit:
    """A tree with history. Time is nanoseconds since the epoch, `zone` minutes east of UTC."""

    tree: ObjectId
    parents: tuple[ObjectId, ...]
    time_ns: int
    zone: int
    author: str
    message: str


def encode_commit(commit: Commit) -> bytes:
    """The commit's object. Author and message must be within 1 KiB and 64 KiB of UTF-8."""
    author = commit.author.encode("utf-8", "replace")[:MAX_AUTHOR]
    message = commit.message.encode("utf-8", "replace")[:MAX_MESSAGE]
    head = _HEAD.pack(
        commit.tree,
        commit.time_ns,
        commit.zone,
        len(commit.parents),
        len(author),
        len(message),
        0,
    )
    return b"".join([header(ObjectType.COMMIT), head[8:], *commit.parents, author, message])


def decode_commit(data: bytes) -> Commit:
    """A commit from its bytes; ChunkDamagedError when its lengths do not add up."""
    expect(data, ObjectType.COMMIT, _HEAD.size)
    tree, time_ns, zone, parents, author, message, extra = _HEAD.unpack_from(data)
    if _HEAD.size + 32 * parents + author + message + extra != len(data):
        raise ChunkDamagedError("a commit has another length than it says")
    at = _HEAD.size + 32 * parents
    ids = tuple(ObjectId(data[i : i + 32]) for i in range(_HEAD.size, at, 32))
    return Commit(
        ObjectId(tree),
        ids,
        time_ns,
        zone,
        data[at : at + author].decode("utf-8", "replace"),
        data[at + author : at + author + message].decode("utf-8", "replace"),
    )
