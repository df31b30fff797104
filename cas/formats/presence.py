"""Records of who is at work: leases, sessions and sites. `docs/format.md`, Who is at work."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...errors import FormatError
from ...ids import SiteId, StoreId
from .flags import VERSION, check_readable

MAGIC: Final = b"MFLTPRES"
DIGEST_SIZE: Final = 32
SIZE: Final = 120
"""Bytes of every record."""
NOBODY: Final = bytes(16)
"""The owner in a site's record."""

_BODY: Final = struct.Struct("<8sHxxIII16sBBxxIQ16s16s")


class Presence(IntEnum):
    """What a record is about."""

    LEASE = 1
    SESSION = 2
    SITE = 3


@dataclass(frozen=True, slots=True)
class PresenceRecord:
    """One record. Without a sign of life for `term` seconds it counts no more, 0: it always does.

    Of a lease `number` is the number of the holding, `owner` a random id of it, `held` whether it
    lasts. Of a session `owner` is the writer id, `number` its last record before the session. Of a
    site all three are zero.
    """

    kind: Presence
    store: StoreId
    site: SiteId
    owner: bytes
    number: int
    term: int
    held: bool = True


def encode_presence(record: PresenceRecord) -> bytes:
    """The record's bytes, its BLAKE3 last."""
    body = _BODY.pack(
        MAGIC,
        VERSION,
        0,
        0,
        0,
        record.store,
        record.kind,
        record.held,
        record.term,
        record.number,
        record.site,
        record.owner,
    )
    return body + blake3(body).digest()


def is_sound(data: bytes) -> bool:
    """Whether `data` is a record, of any version, as it was written."""
    whole = len(data) >= SIZE and data[: len(MAGIC)] == MAGIC
    return whole and blake3(data[:-DIGEST_SIZE]).digest() == data[-DIGEST_SIZE:]


def decode_presence(data: bytes, what: str) -> PresenceRecord:
    """A record from its bytes; FormatError, naming `what`, when it is damaged or newer."""
    if len(data) < SIZE or data[: len(MAGIC)] != MAGIC:
        raise FormatError(f"{what} is no record of who is at work")
    _, version, _, _, incompat, store, kind, held, term, number, site, owner = _BODY.unpack_from(
        data
    )
    check_readable(what, version, incompat)
    if not is_sound(data) or len(data) != SIZE or kind not in set(Presence) or held > 1:
        raise FormatError(f"{what} is damaged")
    return PresenceRecord(
        Presence(kind), StoreId(store), SiteId(site), owner, number, term, held == 1
    )
