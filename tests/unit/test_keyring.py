"""Keyrings: who opens them, who does not, and how they change."""

import sys

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.kdf import argon2

from modelfloat.cas.encryption.keyring import Entry, Keyring, check_label, unlock
from modelfloat.cas.encryption.keys import random_master
from modelfloat.cas.encryption.secrets import Secret, key_file, passphrase
from modelfloat.cas.encryption.wrapping import (
    RECOMMENDED,
    TRIFLING,
    check_cost,
    cost_of,
    seal,
    unseal,
    unwrap,
    wrap,
)
from modelfloat.cas.formats.keyring import (
    MOST_SLOTS,
    Cost,
    KeyringRecord,
    KeySlot,
    decode_keyring,
    encode_keyring,
)
from modelfloat.errors import (
    FormatError,
    NotFoundError,
    UnsupportedError,
    UsageError,
    WrongKeyError,
)
from modelfloat.ids import StoreId, random_store_id

CHEAP = Cost(1, 8, 1)
STORE = random_store_id()
MASTER = random_master()
ALICE, BOB = passphrase("correct horse"), passphrase("battery staple")
DISK = key_file(b"\0" * 16, "disk.key")


def entry(secret: Secret, label: str = "", store: StoreId = STORE) -> Entry:
    return Entry(wrap(store, MASTER, secret, CHEAP), label, 5)


def ring(*entries: Entry, number: int = 1) -> Keyring:
    return Keyring(STORE, number, entries)


def record_of(keyring: Keyring, master: bytes = MASTER) -> KeyringRecord:
    return decode_keyring(keyring.sealed(master), "x")


def test_each_of_them_opens_it() -> None:
    record = record_of(ring(entry(ALICE, "a"), entry(DISK, "d"), entry(BOB, "b")))
    for secret in (ALICE, BOB, DISK, Secret(None, MASTER, "sheet", STORE)):
        found = unlock([record], secret)
        assert (found.master, found.record) == (MASTER, record)
        assert [e.label for e in found.keyring.entries] == ["a", "d", "b"]


@pytest.mark.parametrize(
    "secret",
    [
        BOB,
        passphrase("Correct horse"),
        key_file(b"correct horse and more", "x"),
        Secret(None, random_master(), "sheet", STORE),
    ],
    ids=["other", "case", "file", "sheet"],
)
def test_nothing_else_does(secret: Secret) -> None:
    with pytest.raises(WrongKeyError, match="does not open this store") as caught:
        unlock([record_of(ring(entry(ALICE)))], secret)
    assert "orrect" not in str(caught.value)
    assert "orrect" not in repr(secret)


def test_a_passphrase_is_no_key_file_of_the_same_bytes() -> None:
    with pytest.raises(WrongKeyError):
        unlock([record_of(ring(entry(DISK)))], passphrase("\0" * 16))


def test_accents_may_be_typed_either_way() -> None:
    record = record_of(ring(entry(passphrase("gr\u00f6\u00dfe"))))
    assert unlock([record], passphrase("gro\u0308\u00dfe")).master == MASTER


def test_a_slot_of_another_store_opens_nothing() -> None:
    """Whoever writes to a backend may put slots together as they like."""
    moved = entry(ALICE, store=random_store_id())
    with pytest.raises(WrongKeyError):
        unlock([record_of(ring(moved))], ALICE)


def test_a_changed_slot_opens_nothing() -> None:
    slot = wrap(STORE, MASTER, ALICE, CHEAP)
    assert unwrap(STORE, slot, ALICE, "x") == MASTER
    cheaper = KeySlot(slot.id, slot.kind, Cost(1, 9, 1), slot.salt, slot.nonce, slot.wrapped)
    renamed = KeySlot(b"\0" * 16, slot.kind, slot.cost, slot.salt, slot.nonce, slot.wrapped)
    assert unwrap(STORE, cheaper, ALICE, "x") is None
    assert unwrap(STORE, renamed, ALICE, "x") is None


def test_a_forged_keyring_is_passed_over() -> None:
    """It has a higher number, and the slot of a passphrase that is no longer wanted."""
    old = ring(entry(ALICE), entry(BOB))
    now = old.without(old.entries[1])
    forged = KeyringRecord(STORE, 99, tuple(e.slot for e in old.entries), b"\0" * 12, b"\0" * 160)
    assert decode_keyring(encode_keyring(forged), "x") == forged
    found = unlock([forged, record_of(now)], ALICE)
    assert (found.master, found.keyring) == (MASTER, now)
    with pytest.raises(WrongKeyError):
        unlock([forged, record_of(now)], BOB)


def test_a_keyring_of_another_key_is_no_keyring_of_this_one() -> None:
    with pytest.raises(WrongKeyError):
        unlock([record_of(ring(entry(ALICE)), master=random_master())], ALICE)


@pytest.mark.parametrize(
    "cost",
    [
        Cost(1, 2 << 20, 1),
        Cost(5, 1 << 20, 1),
        Cost(1 << 31, 8, 1),
        Cost(0, 64, 1),
        Cost(1, 7, 1),
        Cost(1, 64, 0),
        Cost(1, 1 << 19, 65),
        Cost((1 << 32) - 1, (1 << 32) - 1, (1 << 32) - 1),
    ],
    ids=str,
)
def test_what_would_take_for_ever_is_refused(cost: Cost) -> None:
    slot = wrap(STORE, MASTER, ALICE, CHEAP)
    slot = KeySlot(slot.id, slot.kind, cost, slot.salt, slot.nonce, slot.wrapped)
    with pytest.raises(FormatError, match="damaged or forged"):
        unlock([record_of(ring(Entry(slot, "", 0)))], ALICE)


def test_a_refused_one_does_not_hide_a_good_one() -> None:
    slot = wrap(STORE, MASTER, ALICE, CHEAP)
    slot = KeySlot(slot.id, slot.kind, Cost(1, 2 << 20, 1), slot.salt, slot.nonce, slot.wrapped)
    bad = record_of(ring(Entry(slot, "", 0), number=2))
    assert unlock([bad, record_of(ring(entry(ALICE)))], ALICE).master == MASTER


def test_what_is_written_now_is_allowed() -> None:
    check_cost(RECOMMENDED, "x")
    slot = wrap(STORE, MASTER, ALICE)
    assert unwrap(STORE, slot, ALICE, "x") == MASTER


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    slot = wrap(STORE, MASTER, ALICE, CHEAP)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.argon2", None)
    with pytest.raises(UnsupportedError, match=r"modelfloat\[encryption\]"):
        unwrap(STORE, slot, ALICE, "x")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(UnsupportedError, match=r"modelfloat\[encryption\]"):
        unseal(MASTER, bytes(12), bytes(16), b"")
    with pytest.raises(UnsupportedError, match=r"modelfloat\[encryption\]"):
        seal(MASTER, bytes(12), b"", b"")


def test_a_machine_without_the_memory_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class TooMuch:
        def __init__(self, **_asked: object) -> None:
            raise MemoryError

    monkeypatch.setattr(argon2, "Argon2id", TooMuch)
    with pytest.raises(UnsupportedError, match="takes 64 MiB of memory"):
        wrap(STORE, MASTER, ALICE)


def test_slots_come_change_and_go() -> None:
    first, second, third = entry(ALICE, "alice"), entry(BOB, "bob"), entry(DISK, "disk")
    both = ring(first).adding(second)
    assert (both.number, both.entries) == (2, (first, second))
    changed = both.replacing(first, third)
    assert (changed.number, changed.entries) == (3, (third, second))
    left = changed.without(third)
    assert (left.number, left.entries) == (4, (second,))
    with pytest.raises(UsageError, match="last one"):
        left.without(second)


def test_one_is_found_by_label_or_id() -> None:
    first, second = entry(ALICE, "alice"), entry(BOB, "twice")
    both = ring(first, second, entry(DISK, "twice"))
    assert both.find("alice") == first
    assert both.find(second.name) == second
    with pytest.raises(NotFoundError, match="no key carol"):
        both.find("carol")
    with pytest.raises(NotFoundError):
        both.find("")
    with pytest.raises(UsageError, match=second.name):
        both.find("twice")


def test_which_one_a_secret_opens() -> None:
    first, second = entry(ALICE), entry(DISK)
    both = ring(first, second)
    assert both.opened_by(ALICE) == first
    assert both.opened_by(DISK) == second
    with pytest.raises(WrongKeyError):
        both.opened_by(BOB)


def test_there_is_an_end_of_slots() -> None:
    one = entry(ALICE)
    full = ring(*[one] * MOST_SLOTS)
    assert unlock([record_of(full)], ALICE).keyring == full
    with pytest.raises(UsageError, match="cannot have more"):
        full.adding(one)


@pytest.mark.parametrize("label", ["x" * 65, "ü" * 33, "a\nb", "\x1b[2J"])
def test_labels_that_cannot_be(label: str) -> None:
    with pytest.raises(UsageError, match="label"):
        check_label(label)


@pytest.mark.parametrize("label", ["", "Zoë's laptop", "ü" * 32])
def test_labels_come_back(label: str) -> None:
    keyring = ring(entry(ALICE, check_label(label)))
    assert unlock([record_of(keyring)], ALICE).keyring == keyring


def test_equal_changes_never_look_alike() -> None:
    """Nonces and salts are random: nobody sees that two slots have one passphrase."""
    first, second = entry(ALICE).slot, entry(ALICE).slot
    assert first.salt != second.salt
    assert first.wrapped != second.wrapped
    keyring = ring(entry(ALICE))
    assert keyring.sealed(MASTER) != keyring.sealed(MASTER)


@pytest.mark.parametrize("size", [0, 15, (1 << 16) + 1])
def test_key_files_that_cannot_be(size: int) -> None:
    with pytest.raises(UsageError, match="cannot be a key file"):
        key_file(bytes(size), "disk.key")


@pytest.mark.parametrize("text", ["", "x" * 70_000])
def test_passphrases_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="give another one"):
        passphrase(text)


def test_a_recovery_sheet_wraps_nothing() -> None:
    with pytest.raises(ValueError, match="recovery sheet"):
        wrap(STORE, MASTER, Secret(None, MASTER, "sheet", STORE), CHEAP)


def test_sound_is_not_genuine() -> None:
    """The digest at the end is for damage: anybody can make one."""
    data = ring(entry(ALICE)).sealed(MASTER)
    assert data[-32:] == blake3(data[:-32]).digest()


def test_only_random_key_files_cost_nothing() -> None:
    """Nobody can try all of 32 random bytes; anything else may be guessed."""
    random = bytes.fromhex("8f0bd1739ee6421c5a90f7286db3c4e51f7a02cb9d64b83e517fe0a6132c99d8")
    text = "Die Würde des Menschen ist unantastbar!".encode()
    guessed = [
        bytes(32),
        bytes(range(112, 144)),
        random[:31],
        random * 3,
        random.hex().encode(),
        text,
        "кодовое слово мое".encode(),
        "机密模型的密钥文件在这里".encode("gbk") + b"\r\n12345678",
    ]
    assert cost_of(key_file(random, "disk.key")) == TRIFLING
    for data in guessed:
        assert cost_of(key_file(data, "disk.key")) == RECOMMENDED
    assert cost_of(passphrase(random.decode("latin-1"))) == RECOMMENDED
    slot = wrap(STORE, MASTER, key_file(random, "disk.key"))
    assert slot.cost == TRIFLING
    assert unwrap(STORE, slot, key_file(random, "disk.key"), "x") == MASTER
