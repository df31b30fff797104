"""Keyrings and recovery sheets of version 1: what opened them once opens them for ever."""

import re
from itertools import count
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.cas.encryption import keyring as keyring_module
from modelfloat.cas.encryption import wrapping
from modelfloat.cas.encryption.keyring import Entry, Keyring, open_keyring, unlock
from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.encryption.secrets import Secret, key_file, passphrase
from modelfloat.cas.encryption.sheet import Sheet, decode_sheet, encode_sheet
from modelfloat.cas.encryption.wrapping import wrap
from modelfloat.cas.formats.keyring import Cost, decode_keyring, encode_keyring
from modelfloat.errors import FormatError
from modelfloat.ids import StoreId

GOLDEN = Path(__file__).with_name("golden")
STORE = StoreId(bytes(range(16)))
MASTER = bytes(range(0x40, 0x60))
KEYS = StoreKeys.from_master(MASTER)
COST = Cost(2, 64, 2)
WORDS = passphrase("größe correct horse")
FILE = key_file(bytes(range(100, 164)), "disk.key")
LABELS = (("Zoë", 1_790_000_000_000_000_000), ("", 1_800_000_000_000_000_001))


def golden_keyring() -> bytes:
    """The third keyring of its store, with a passphrase and a key file."""
    slots = [wrap(STORE, MASTER, secret, COST) for secret in (WORDS, FILE)]
    entries = (Entry(slot, *label) for slot, label in zip(slots, LABELS, strict=True))
    return Keyring(STORE, 3, tuple(entries)).sealed(MASTER)


def golden_sheet() -> bytes:
    """The sheet of the same store."""
    return encode_sheet(Sheet(STORE, MASTER), "2026-11-22")


def test_encoding_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salts and nonces are random otherwise."""
    numbers = count()
    for module in (wrapping, keyring_module):
        monkeypatch.setattr(
            module.secrets, "token_bytes", lambda n: bytes([next(numbers) & 0xFF]) * n
        )
    assert golden_keyring() == (GOLDEN / "keyring-v1.bin").read_bytes()
    assert golden_sheet() == (GOLDEN / "recovery-sheet-v1.txt").read_bytes()


@pytest.mark.parametrize(
    "secret", [WORDS, FILE, Secret(None, MASTER, "sheet", STORE)], ids=["words", "file", "sheet"]
)
def test_opens_for_ever(secret: Secret) -> None:
    record = decode_keyring((GOLDEN / "keyring-v1.bin").read_bytes(), "golden")
    found = unlock([record], secret)
    assert found.master == MASTER
    assert found.keyring.number == 3
    assert [(e.label, e.created_ns) for e in found.keyring.entries] == list(LABELS)


def test_the_sheet_is_read_for_ever() -> None:
    sheet = decode_sheet((GOLDEN / "recovery-sheet-v1.txt").read_bytes(), "golden")
    assert sheet == Sheet(STORE, MASTER)


def test_every_byte_counts() -> None:
    """No byte can be changed and the record taken for genuine, even with its digest made anew."""
    data = (GOLDEN / "keyring-v1.bin").read_bytes()
    for at in range(len(data) - 32):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 : -32]
        with pytest.raises(FormatError):
            decode_keyring(changed + data[-32:], "x")
        try:
            record = decode_keyring(changed + blake3(changed).digest(), "x")
        except FormatError:
            continue
        assert open_keyring(record, KEYS) is None, at


@pytest.mark.parametrize("cut", [0, 1, 8, 47, 48, 100, 300])
def test_one_cut_short_is_damaged(cut: int) -> None:
    data = (GOLDEN / "keyring-v1.bin").read_bytes()
    with pytest.raises(FormatError, match=r"^x "):
        decode_keyring(data[:cut], "x")


@pytest.mark.parametrize(("at", "value"), [(8, 2), (20, 1)])
def test_a_later_one_is_refused(at: int, value: int) -> None:
    data = bytearray((GOLDEN / "keyring-v1.bin").read_bytes())
    data[at] = value
    with pytest.raises(FormatError, match=re.compile("x .*upgrade")):
        decode_keyring(bytes(data[:-32]) + blake3(data[:-32]).digest(), "x")


def test_nothing_that_people_wrote_can_be_read() -> None:
    data = (GOLDEN / "keyring-v1.bin").read_bytes()
    assert "Zoë".encode() not in data
    assert encode_keyring(decode_keyring(data, "x")) == data
