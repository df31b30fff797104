"""The names of things as types: ids, keys, offsets, inodes, and the checks that make them.

Every id is raw bytes inside the program and lower-case hex outside it.
"""

import os
import re
from typing import Final, NewType

ChunkId = NewType("ChunkId", bytes)
"""BLAKE3 of a chunk's raw bytes, 32 bytes."""
ObjectId = NewType("ObjectId", bytes)
"""BLAKE3 of an object's bytes, 32 bytes: a chunk id of a chunk of kind *object*."""
PackId = NewType("PackId", bytes)
"""128 random bits, never reused."""
StoreId = NewType("StoreId", bytes)
"""128 random bits, in the marker of every backend."""
BackendId = NewType("BackendId", bytes)
"""128 random bits: the UUID of one backend, in its marker."""
WriterId = NewType("WriterId", bytes)
"""128 random bits: one append-only journal."""
SiteId = NewType("SiteId", bytes)
"""128 random bits: one folder that has an index of the store and writes to its backends."""
PublicKey = NewType("PublicKey", bytes)
"""An ed25519 public key, 32 bytes: whose signature of a ref change it is."""
PackNumber = NewType("PackNumber", int)
"""A pack's number in one index; small, local to that index, never reused in it."""
Key = NewType("Key", str)
"""What a backend stores bytes under; made by `backends.keys.check_key` alone."""
Inode = NewType("Inode", int)
"""A 63-bit inode number of a mount."""

ID_SIZE: Final = 32
UUID_SIZE: Final = 16

_VENDOR_OR_NAME: Final = re.compile(r"[^/@\x00-\x1f\x7f.][^/@\x00-\x1f\x7f]{0,127}")


def random_pack_id() -> PackId:
    """A fresh pack id from the system's random source."""
    return PackId(os.urandom(UUID_SIZE))


def random_store_id() -> StoreId:
    """A fresh store id from the system's random source."""
    return StoreId(os.urandom(UUID_SIZE))


def random_backend_id() -> BackendId:
    """A fresh backend UUID from the system's random source."""
    return BackendId(os.urandom(UUID_SIZE))


def random_writer_id() -> WriterId:
    """A fresh writer id from the system's random source."""
    return WriterId(os.urandom(UUID_SIZE))


def random_site_id() -> SiteId:
    """A fresh site id from the system's random source."""
    return SiteId(os.urandom(UUID_SIZE))


def is_name(text: str) -> bool:
    """Whether `text` may be a vendor, repository, branch or tag: no `/`, `@`, control
    characters or leading dot, and at most 128 bytes of UTF-8 (three of them fit an LMDB key)."""
    if _VENDOR_OR_NAME.fullmatch(text) is None:
        return False
    try:
        return len(text.encode()) <= 128
    except UnicodeEncodeError:
        return False
