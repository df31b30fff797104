"""What all objects share: their header, their id, their extensions. `docs/format.md`, Objects."""

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from .chunkids import PLAIN
from .flags import check_readable

MAGIC: Final = b"MFOB"
VERSION: Final = 1
HEADER: Final = struct.Struct("<4sBBxx")

_EXTENSION: Final = struct.Struct("<HxxI")


class ObjectType(IntEnum):
    """The type byte of an object's header."""

    MANIFEST = 1
    MANIFEST_PAGE = 2
    TREE = 3
    TREE_INDEX = 4
    COMMIT = 5
    REGION_PAGE = 6

    @property
    def newest(self) -> int:
        """The newest version of such an object that this release reads."""
        return 2 if self is ObjectType.MANIFEST else VERSION


def header(type_: ObjectType, version: int = VERSION) -> bytes:
    """The first 8 bytes of an object of that type."""
    return HEADER.pack(MAGIC, type_, version)


def object_id(data: bytes) -> ObjectId:
    """The id of an object in a store that is not encrypted: BLAKE3 of its bytes."""
    return PLAIN.object(data)


def object_type(data: bytes) -> ObjectType:
    """The type of an object; ChunkDamagedError if it is none, FormatError if newer."""
    if len(data) < HEADER.size:
        raise ChunkDamagedError("an object is shorter than its header; run `modelfloat verify`")
    magic, type_, version = HEADER.unpack_from(data)
    if magic != MAGIC or type_ not in ObjectType._value2member_map_:
        raise ChunkDamagedError("an object has no object's header; run `modelfloat verify`")
    found = ObjectType(type_)
    check_readable("an object", version, 0, newest=found.newest)
    return found


def object_version(data: bytes) -> int:
    """The version of what `object_type` took for an object."""
    return data[5]


def expect(data: bytes, type_: ObjectType, least: int) -> None:
    """Check that `data` is an object of that type and at least `least` bytes long."""
    found = object_type(data)
    if found is not type_ or len(data) < least:
        raise ChunkDamagedError(f"expected a {type_.name.lower()}, found a {found.name.lower()}")


def encode_extensions(extensions: Mapping[int, bytes]) -> bytes:
    """Tag, length, bytes of each extension, in the order of their tags."""
    return b"".join(
        _EXTENSION.pack(tag, len(value)) + value for tag, value in sorted(extensions.items())
    )


def decode_extensions(data: bytes) -> dict[int, bytes]:
    """Extensions by tag, unknown ones included; ChunkDamagedError when they do not fit."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        if at + _EXTENSION.size > len(data):
            raise ChunkDamagedError("an object's extensions are cut short")
        tag, length = _EXTENSION.unpack_from(data, at)
        at += _EXTENSION.size
        if at + length > len(data):
            raise ChunkDamagedError("an object's extensions are cut short")
        found[tag] = data[at : at + length]
        at += length
    return found


def extension_offset(data: bytes, tag: int) -> int:
    """Where in encoded extensions the value of `tag` begins: of several the last one's, which is
    the one that counts."""
    at, found = 0, -1
    while at + _EXTENSION.size <= len(data):
        this, length = _EXTENSION.unpack_from(data, at)
        at += _EXTENSION.size
        found = at if this == tag else found
        at += length
    if found < 0:
        raise ChunkDamagedError(f"an object has no extension {tag}")
    return found
