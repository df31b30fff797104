"""A store's keyring: the slots that open it, who they are for, and how it changes.

Every change makes a new keyring of the next number; slots stay as they were wrapped, so nobody
else's secret is needed. What people wrote about slots is sealed with the master key, bound to
everything else in the record: whoever has the key sees at once whether a keyring is genuine.
"""

import secrets
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ...errors import FormatError, NotFoundError, UsageError, WrongKeyError
from ...ids import StoreId
from ..formats.keyring import (
    MOST_SLOTS,
    NONCE_SIZE,
    NOTE_SIZE,
    Cost,
    KeyringRecord,
    KeySlot,
    encode_keyring,
    keyring_head,
)
from .keys import KEY_SIZE, StoreKeys
from .secrets import Secret
from .wrapping import seal, unseal, unwrap, wrap

LONGEST_LABEL: Final = 64
"""Bytes of UTF-8."""
SHOWN_ID: Final = 8
"""Hex digits by which people name a slot."""

_NOTE: Final = struct.Struct("<q64s")


@dataclass(frozen=True, slots=True)
class Entry:
    """A slot with what is written about it: a label, and when it was made (Unix time, ns)."""

    slot: KeySlot
    label: str
    created_ns: int

    @property
    def name(self) -> str:
        """How people name it."""
        return self.slot.id.hex()[:SHOWN_ID]


@dataclass(frozen=True, slots=True)
class Keyring:
    """A keyring opened: the `number`-th of its store, and its entries."""

    store: StoreId
    number: int
    entries: tuple[Entry, ...]

    def sealed(self, master: bytes) -> bytes:
        """The record's bytes."""
        slots = tuple(entry.slot for entry in self.entries)
        head = keyring_head(self.store, self.number, slots)
        notes = b"".join(_NOTE.pack(e.created_ns, e.label.encode()) for e in self.entries)
        nonce = secrets.token_bytes(NONCE_SIZE)
        sealed = seal(StoreKeys.from_master(master).keyring, nonce, notes, head)
        return encode_keyring(KeyringRecord(self.store, self.number, slots, nonce, sealed))

    def adding(self, entry: Entry) -> "Keyring":
        """The next one, with one slot more; UsageError where it has as many as it can hold."""
        if len(self.entries) >= MOST_SLOTS:
            raise UsageError(
                f"the store has {MOST_SLOTS} keys, and cannot have more; remove one "
                "(`modelfloat key ls`)"
            )
        return Keyring(self.store, self.number + 1, (*self.entries, entry))

    def replacing(self, old: Entry, new: Entry) -> "Keyring":
        """The next one, with `new` where `old` was."""
        entries = tuple(new if entry == old else entry for entry in self.entries)
        return Keyring(self.store, self.number + 1, entries)

    def without(self, old: Entry) -> "Keyring":
        """The next one without a slot; UsageError where it is the last one."""
        if len(self.entries) == 1:
            raise UsageError(
                f"key {old.name} is the store's last one: without it nothing but a recovery sheet "
                "opens the store; add another key first"
            )
        entries = tuple(entry for entry in self.entries if entry != old)
        return Keyring(self.store, self.number + 1, entries)

    def find(self, name: str) -> Entry:
        """The entry of that label, or whose id begins so; NotFoundError, UsageError for several."""
        found = [e for e in self.entries if e.label == name]
        found = found or [e for e in self.entries if name and e.slot.id.hex().startswith(name)]
        if not found:
            raise NotFoundError(f"the store has no key {name}; `modelfloat key ls` shows them")
        if len(found) > 1:
            raise UsageError(f"{name} may be {' or '.join(e.name for e in found)}; write the id")
        return found[0]

    def opened_by(self, secret: Secret) -> Entry:
        """The entry that a secret opens; WrongKeyError where none is. Takes Argon2id's time."""
        for entry in self.entries:
            if entry.slot.kind == secret.kind and unwrap(
                self.store, entry.slot, secret, "the keyring"
            ):
                return entry
        raise wrong(secret)


@dataclass(frozen=True, slots=True)
class Unlocked:
    """The master key of a store, and the keyring that it was found in: opened, and as a record."""

    master: bytes = field(repr=False)
    keyring: Keyring
    record: KeyringRecord


def new_entry(
    store: StoreId, master: bytes, secret: Secret, label: str = "", cost: Cost | None = None
) -> Entry:
    """A new entry that `secret` opens; takes Argon2id's time, `cost` of it or what is right."""
    return Entry(wrap(store, master, secret, cost), check_label(label), time.time_ns())


def check_label(label: str) -> str:
    """`label` if it may be one, else UsageError."""
    if len(label.encode(errors="replace")) > LONGEST_LABEL or not label.isprintable():
        raise UsageError(
            f"a key's label may have {LONGEST_LABEL} bytes and no control characters; choose "
            "another one"
        )
    return label


def open_keyring(record: KeyringRecord, keys: StoreKeys) -> Keyring | None:
    """A keyring with what is written in it; None where it is not one of these keys'."""
    head = keyring_head(record.store, record.number, record.slots)
    notes = unseal(keys.keyring, record.notes_nonce, record.notes, head)
    if notes is None or len(notes) != NOTE_SIZE * len(record.slots):
        return None
    entries = (
        Entry(slot, label.rstrip(b"\0").decode(errors="replace"), created)
        for slot, (created, label) in zip(record.slots, _NOTE.iter_unpack(notes), strict=True)
    )
    return Keyring(record.store, record.number, tuple(entries))


def unlock(records: Iterable[KeyringRecord], secret: Secret) -> Unlocked:
    """The first keyring of `records` that a secret opens; takes Argon2id's time for every slot.

    WrongKeyError where it opens none. One that is forged is passed over: none of its slots opens,
    or its notes show that it is not this store's. FormatError where there is nothing else but one
    that no release writes.
    """
    problem: FormatError | None = None
    for record in records:
        try:
            found = _opened(record, secret)
        except FormatError as error:
            problem = error
            continue
        if found is not None:
            return found
    raise problem or wrong(secret)


def _opened(record: KeyringRecord, secret: Secret) -> Unlocked | None:
    for master in _masters(record, secret):
        if len(master) != KEY_SIZE:
            continue
        keyring = open_keyring(record, StoreKeys.from_master(master))
        if keyring is not None:
            return Unlocked(master, keyring, record)
    return None


def _masters(record: KeyringRecord, secret: Secret) -> Iterator[bytes]:
    """What may be the master key."""
    if secret.kind is None:
        yield secret.data
        return
    for slot in record.slots:
        if slot.kind == secret.kind:
            master = unwrap(record.store, slot, secret, f"keyring {record.number}")
            if master is not None:
                yield master


def wrong(secret: Secret) -> WrongKeyError:
    """What is told of a secret that opens nothing."""
    return WrongKeyError(f"{secret.source} does not open this store")
