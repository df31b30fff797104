"""Commits: a tree with parents, author, time and message. `docs/format.md`, Commit."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...erasure.scheme import LARGEST_K, LARGEST_M, Scheme
from ...errors import ChunkDamagedError
from ...ids import ObjectId
from .objects import ObjectType, decode_extensions, encode_extensions, expect, header

MAX_MESSAGE: Final = 64 << 10
MAX_AUTHOR: Final = 1024
ERASURE: Final = 1
"""The extension that has the repository's own scheme: k and m, one byte each."""

_HEAD: Final = struct.Struct("<8x32sqhHHxxII")


@dataclass(frozen=True, slots=True)
class Commit:
    """A tree with history. Time is nanoseconds since the epoch, `zone` minutes east of UTC.

    `erasure` is the scheme that the repository's new packs have, None where the store's is meant.
    """

    tree: ObjectId
    parents: tuple[ObjectId, ...]
    time_ns: int
    zone: int
    author: str
    message: str
    erasure: Scheme | None = None


def encode_commit(commit: Commit) -> bytes:
    """The commit's object. Author and message must be within 1 KiB and 64 KiB of UTF-8."""
    author = commit.author.encode("utf-8", "replace")[:MAX_AUTHOR]
    message = commit.message.encode("utf-8", "replace")[:MAX_MESSAGE]
    own = commit.erasure
    extensions = encode_extensions({} if own is None else {ERASURE: bytes([own.k, own.m])})
    head = _HEAD.pack(
        commit.tree,
        commit.time_ns,
        commit.zone,
        len(commit.parents),
        len(author),
        len(message),
        len(extensions),
    )
    parts = [header(ObjectType.COMMIT), head[8:], *commit.parents, author, message, extensions]
    return b"".join(parts)


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
        _erasure(decode_extensions(data[at + author + message :])),
    )


def _erasure(extensions: Mapping[int, bytes]) -> Scheme | None:
    value = extensions.get(ERASURE)
    if value is None:
        return None
    if len(value) != 2 or not (1 <= value[0] <= LARGEST_K and value[1] <= LARGEST_M):
        raise ChunkDamagedError("a commit names a scheme that cannot be")
    return Scheme(*value)
