"""Records of who is at work: leases, sessions, sites, mounts. `docs/format.md`, Who is at work."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...errors import FormatError
from ...ids import ObjectId, SiteId, StoreId
from .flags import VERSION, check_readable

MAGIC: Final = b"MFLTPRES"
DIGEST_SIZE: Final = 32
SIZE: Final = 120
"""Bytes of a record that tells of no open files."""
NOBODY: Final = bytes(16)
"""The owner in a site's record."""
READS: Final = 1
"""`incompat`, bit 0: somebody reads, and the files follow that are open. Earlier releases must not
take such a record for a damaged one, nor delete beside it."""
MOST_OPEN: Final = 16_384
"""Files that one record names at most."""

_ID: Final = 32
_BODY: Final = struct.Struct("<8sHxxIII16sBBxxIQ16s16s")
LONGEST: Final = SIZE + MOST_OPEN * _ID
"""Bytes of the longest record, a mount's."""


class Presence(IntEnum):
    """What a record is about."""

    LEASE = 1
    SESSION = 2
    SITE = 3
    MOUNT = 4


@dataclass(frozen=True, slots=True)
class PresenceRecord:
    """One record. Without a sign of life for `term` seconds it counts no more, 0: it always does.

    Of a lease `number` is the number of the holding, `owner` a random id of it, `held` whether it
    lasts. Of a session `owner` is the writer id, `number` its last record before the session. Of a
    site all three are zero. Of a mount `owner` is a random id of it, `number` how many files are
    open on it, and `open` their manifests, MOST_OPEN at most.
    """

    kind: Presence
    store: StoreId
    site: SiteId
    owner: bytes
    number: int
    term: int
    held: bool = True
    open: tuple[ObjectId, ...] = ()


def encode_presence(record: PresenceRecord) -> bytes:
    """The record's bytes, its BLAKE3 last."""
    body = _BODY.pack(
        MAGIC,
        VERSION,
        0,
        0,
        READS if record.kind is Presence.MOUNT else 0,
        record.store,
        record.kind,
        record.held,
        record.term,
        record.number,
        record.site,
        record.owner,
    )
    body += b"".join(record.open)
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
    check_readable(what, version, incompat, known=READS)
    if not is_sound(data) or kind not in set(Presence) or held > 1:
        raise FormatError(f"{what} is damaged")
    ids = data[_BODY.size : -DIGEST_SIZE]
    reads = Presence(kind) is Presence.MOUNT
    if reads != bool(incompat & READS) or len(ids) % _ID or (ids and not reads):
        raise FormatError(f"{what} is damaged")
    opened = tuple(ObjectId(ids[at : at + _ID]) for at in range(0, len(ids), _ID))
    if len(opened) > min(number, MOST_OPEN):
        raise FormatError(f"{what} is damaged")
    return PresenceRecord(
        Presence(kind), StoreId(store), SiteId(site), owner, number, term, held == 1, opened
    )
