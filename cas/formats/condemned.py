"""Records of packs that are to be deleted: where each shard lies. `docs/format.md`, Condemned."""

import struct
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...erasure.scheme import LARGEST_K, LARGEST_M
from ...errors import FormatError
from ...ids import BackendId, PackId, StoreId
from .flags import VERSION, check_readable

MAGIC: Final = b"MFLTCNDM"
DIGEST_SIZE: Final = 32
_HEAD: Final = struct.Struct("<8sHxxIII16s16sBBxx")
_BACKEND: Final = 16
LONGEST: Final = _HEAD.size + _BACKEND * (LARGEST_K + LARGEST_M) + DIGEST_SIZE
"""Bytes of the longest record."""


@dataclass(frozen=True, slots=True)
class Condemned:
    """A pack to be deleted; `backends[i]` holds shard i, NOWHERE where none does."""

    store: StoreId
    pack: PackId
    k: int
    m: int
    backends: tuple[BackendId, ...]


def encode_condemned(record: Condemned) -> bytes:
    """The record's bytes, its BLAKE3 last."""
    head = _HEAD.pack(MAGIC, VERSION, 0, 0, 0, record.store, record.pack, record.k, record.m)
    body = head + b"".join(record.backends)
    return body + blake3(body).digest()


def decode_condemned(data: bytes, what: str) -> Condemned:
    """A record from its bytes; FormatError, naming `what`, when it is damaged or newer."""
    if len(data) < _HEAD.size + DIGEST_SIZE or data[:8] != MAGIC:
        raise FormatError(f"{what} is no record of a condemned pack")
    _, version, _, _, incompat, store, pack, k, m = _HEAD.unpack_from(data)
    check_readable(what, version, incompat)
    body, digest = data[:-DIGEST_SIZE], data[-DIGEST_SIZE:]
    whole = len(body) == _HEAD.size + _BACKEND * (k + m)
    if blake3(body).digest() != digest or not whole or not (1 <= k <= LARGEST_K and m <= LARGEST_M):
        raise FormatError(f"{what} is damaged")
    backends = tuple(
        BackendId(body[at : at + _BACKEND]) for at in range(_HEAD.size, len(body), _BACKEND)
    )
    return Condemned(StoreId(store), PackId(pack), k, m, backends)
