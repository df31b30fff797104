"""Records of who may open an encrypted store: its master key, wrapped. `docs/format.md`, Keyrings.

Pure layout: what is sealed here is made and opened by `cas.encryption`.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...errors import FormatError
from ...ids import StoreId
from .flags import VERSION, check_readable

MAGIC: Final = b"MFLTKEYS"
DIGEST_SIZE: Final = 32
SALT_SIZE: Final = 16
"""Bytes of a slot's salt, as RFC 9106 recommends (section 3.1)."""
NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
WRAPPED_SIZE: Final = 32 + TAG_SIZE
ID_SIZE: Final = 16
NOTE_SIZE: Final = 72
"""Bytes that the sealed notes have for each slot."""
MOST_SLOTS: Final = 32
ARGON2ID: Final = 1

_HEAD: Final = struct.Struct("<8sHHIII16sQ")
_SLOT: Final = struct.Struct("<16sBBxxIII16s12s48sxxxx")
_BOUND: Final = 48
"""Bytes of a slot that come before its nonce: what its wrapped key is bound to."""
LONGEST: Final = _HEAD.size + MOST_SLOTS * (_SLOT.size + NOTE_SIZE) + 60
"""Bytes of the longest record."""


class SlotKind(IntEnum):
    """What opens a slot."""

    PASSPHRASE = 1
    KEY_FILE = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """What Argon2id is to cost: passes, KiB of memory, lanes. RFC 9106, section 3.1."""

    iterations: int
    memory: int
    lanes: int


@dataclass(frozen=True, slots=True)
class KeySlot:
    """The master key, wrapped by what one secret gives.

    `salt` and `cost` go into Argon2id, `nonce` and `wrapped` (with its tag) are AES-256-GCM's.
    """

    id: bytes
    kind: SlotKind
    cost: Cost
    salt: bytes
    nonce: bytes = field(repr=False, default=bytes(NONCE_SIZE))
    wrapped: bytes = field(repr=False, default=bytes(WRAPPED_SIZE))


@dataclass(frozen=True, slots=True)
class KeyringRecord:
    """One keyring: the `number`-th of its store, from 1 on. `notes` is sealed, with its tag."""

    store: StoreId
    number: int
    slots: tuple[KeySlot, ...]
    notes_nonce: bytes
    notes: bytes = field(repr=False)


def slot_binding(store: StoreId, slot: KeySlot) -> bytes:
    """What a slot's wrapped key is bound to: the store, and all of the slot before its nonce."""
    return MAGIC + store + _encode_slot(slot)[:_BOUND]


def keyring_head(store: StoreId, number: int, slots: tuple[KeySlot, ...]) -> bytes:
    """Everything before the notes: what these are bound to."""
    if not 1 <= len(slots) <= MOST_SLOTS or number < 1:
        raise ValueError(f"a keyring {number} of {len(slots)} slots")
    head = _HEAD.pack(MAGIC, VERSION, len(slots), 0, 0, 0, store, number)
    return head + b"".join(map(_encode_slot, slots))


def encode_keyring(record: KeyringRecord) -> bytes:
    """The record's bytes, its BLAKE3 last."""
    head = keyring_head(record.store, record.number, record.slots)
    body = head + record.notes_nonce + record.notes
    return body + blake3(body).digest()


def decode_keyring(data: bytes, what: str) -> KeyringRecord:
    """A record from its bytes; FormatError, naming `what`, when it is damaged or newer.

    Sound does not mean genuine: that shows when it is opened. Reserved bytes and flags are zeros,
    as what is sealed is bound to them.
    """
    if len(data) < _HEAD.size + DIGEST_SIZE or data[: len(MAGIC)] != MAGIC:
        raise FormatError(f"{what} is no keyring")
    _, version, count, _, _, incompat, store, number = _HEAD.unpack_from(data)
    check_readable(what, version, incompat)
    notes = _HEAD.size + count * _SLOT.size
    size = notes + NONCE_SIZE + count * NOTE_SIZE + TAG_SIZE + DIGEST_SIZE
    whole = len(data) == size and blake3(data[:-DIGEST_SIZE]).digest() == data[-DIGEST_SIZE:]
    if not whole or not 1 <= count <= MOST_SLOTS or number < 1:
        raise FormatError(f"{what} is damaged")
    slots = tuple(
        _decode_slot(data[at : at + _SLOT.size], what)
        for at in range(_HEAD.size, notes, _SLOT.size)
    )
    nonce, sealed = data[notes : notes + NONCE_SIZE], data[notes + NONCE_SIZE : -DIGEST_SIZE]
    record = KeyringRecord(StoreId(store), number, slots, nonce, sealed)
    if encode_keyring(record) != data:
        raise FormatError(f"{what} uses features this release does not know: upgrade")
    return record


def _encode_slot(slot: KeySlot) -> bytes:
    cost = slot.cost
    return _SLOT.pack(
        slot.id,
        slot.kind,
        ARGON2ID,
        cost.iterations,
        cost.memory,
        cost.lanes,
        slot.salt,
        slot.nonce,
        slot.wrapped,
    )


def _decode_slot(data: bytes, what: str) -> KeySlot:
    id_, kind, function, iterations, memory, lanes, salt, nonce, wrapped = _SLOT.unpack(data)
    if function != ARGON2ID or kind not in set(SlotKind):
        raise FormatError(f"{what} has a key of a kind that this release does not know; upgrade")
    return KeySlot(id_, SlotKind(kind), Cost(iterations, memory, lanes), salt, nonce, wrapped)
