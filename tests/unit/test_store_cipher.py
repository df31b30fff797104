"""What an encrypted store encrypts with: packs, entries of records, ids; and what lacks the key."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.encryption.storecipher import CLEAR, LOCKED, StoreCipher, cipher_of
from modelfloat.cas.formats.chunktable import TAG_SIZE
from modelfloat.errors import (
    ChunkDamagedError,
    KeyNeededError,
    ShardDamagedError,
    UnsupportedError,
)
from modelfloat.ids import PackId

KEYS = StoreKeys.from_master(bytes(range(32)))
OTHERS = StoreKeys.from_master(bytes(32))
PACK, OTHER_PACK = PackId(b"p" * 16), PackId(b"q" * 16)
PLACE = b"store, writer, number, entry"


def cipher(keys: StoreKeys = KEYS) -> StoreCipher:
    return cipher_of(keys, encrypted=True)


def sealed(data: bytes, slot: int = 0, pack: PackId = PACK) -> bytearray:
    out, packs = bytearray(len(data) + TAG_SIZE), cipher().pack(pack)
    assert packs is not None
    packs.seal(slot, data, memoryview(out))
    return out


def opened(data: bytearray, slot: int = 0, pack: PackId = PACK, keys: StoreKeys = KEYS) -> bytes:
    packs = cipher(keys).pack(pack)
    assert packs is not None
    room = memoryview(bytearray(data))
    packs.open(slot, room, room[:-TAG_SIZE])  # in place, as readers do it
    return bytes(room[:-TAG_SIZE])


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 16_383))
def test_a_chunk_comes_back(data: bytes, slot: int) -> None:
    there = sealed(data, slot)
    assert data not in there or len(data) < 8
    assert opened(there, slot) == data


@given(st.binary(min_size=1, max_size=300), st.integers(min_value=0))
def test_a_flipped_bit_is_found(data: bytes, bit: int) -> None:
    there = sealed(data)
    bit %= 8 * len(there)
    there[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ChunkDamagedError, match="chunk 0 of pack 7070"):
        opened(there)


def test_a_chunk_of_another_slot_pack_or_store_is_none() -> None:
    there = sealed(b"chunk", 3)
    for slot, pack, keys in ((4, PACK, KEYS), (3, OTHER_PACK, KEYS), (3, PACK, OTHERS)):
        with pytest.raises(ChunkDamagedError):
            opened(there, slot, pack, keys)
    assert opened(there, 3) == b"chunk"


def test_equal_chunks_do_not_look_equal() -> None:
    assert (
        len({bytes(sealed(b"same", slot, p)) for slot in (0, 1) for p in (PACK, OTHER_PACK)}) == 4
    )


def test_a_table_is_the_same_whenever_it_is_made() -> None:
    one, other = cipher().pack(PACK), cipher().pack(OTHER_PACK)
    assert one is not None
    assert other is not None
    table = one.seal_table(b"table" * 20)
    assert table == one.seal_table(b"table" * 20)
    assert one.open_table(memoryview(table)) == b"table" * 20
    with pytest.raises(ShardDamagedError, match="not encrypted by this store's keys"):
        other.open_table(table)


@given(st.binary(max_size=300), st.binary(min_size=28, max_size=28))
def test_an_entry_comes_back_from_its_place_only(entry: bytes, where: bytes) -> None:
    seal = cipher().entries
    assert seal is not None
    there = seal.seal(where, entry)
    assert there == seal.seal(where, entry)
    assert seal.open(where, there) == entry
    with pytest.raises(ValueError, match="not encrypted"):
        seal.open(where[::-1] + b"x", there)


def test_an_entry_of_another_store_or_cut_short_is_none() -> None:
    seal, other = cipher().entries, cipher(OTHERS).entries
    assert seal is not None
    assert other is not None
    there = seal.seal(PLACE, b"acme/llama")
    for reader, data in ((other, there), (seal, there[:-1]), (seal, there[:40]), (seal, b"")):
        with pytest.raises(ValueError, match="not encrypted"):
            reader.open(PLACE, data)


def test_ids_are_keyed() -> None:
    ids = {c.ids.of(b"weights") for c in (CLEAR, cipher(), cipher(OTHERS))}
    assert len(ids) == 3
    assert (CLEAR.ids.keyed, cipher().ids.keyed, LOCKED.ids.keyed) == (False, True, True)


def test_without_the_key_nothing_is_read_or_named() -> None:
    locked = cipher_of(None, encrypted=True)
    assert locked.locked
    for use in (lambda: locked.ids.of(b"x"), lambda: locked.pack(PACK), lambda: locked.entries):
        with pytest.raises(KeyNeededError, match="the store is encrypted and its key was not"):
            use()


def test_a_store_in_the_clear_needs_nothing() -> None:
    clear = cipher_of(None, encrypted=False)
    assert (clear.pack(PACK), clear.entries, clear.overhead, clear.locked) == (None, None, 0, False)


def test_no_key_is_shown() -> None:
    assert "StoreKeys" not in repr(cipher())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'modelfloat\[encryption\]'"):
        cipher_of(KEYS, encrypted=True)
