"""The formats of encrypted stores, pinned: the same keys give the golden bytes, and read them."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.backends.marker import ENCRYPTED, Marker, decode, encode
from modelfloat.cas.encryption.storecipher import LOCKED
from modelfloat.cas.formats.chunktable import TAG_SIZE
from modelfloat.cas.formats.journal import (
    Compacted,
    PackDeleted,
    PackStored,
    ShardPlaced,
    decode_record,
    encode_record,
    list_entries,
)
from modelfloat.cas.formats.shard import decode_tail, encode_tail, join_tails
from modelfloat.errors import FormatError, KeyNeededError, ShardDamagedError
from modelfloat.ids import BackendId, WriterId
from modelfloat.tests.support import samples
from modelfloat.tests.support.encrypted import CIPHER, encoded_chunks, sample_shards
from modelfloat.tests.support.signers import signed_record

GOLDEN = Path(__file__).parent / "golden"
RECORD = "journal-v1-encrypted.bin"
SEGMENT = "journal-v1-segment-encrypted.bin"
SIGNED_RECORD = "journal-v1-encrypted-signed.bin"


def shard(index: int) -> bytes:
    """The whole shard of that index."""
    info, payloads = sample_shards()
    return payloads[index] + encode_tail(info, index)


def record() -> bytes:
    """A record with an entry of every type; its pack's chunks are the encrypted ones."""
    plain, (info, _) = samples.record(), sample_shards()
    stored = plain.entries[0]
    assert isinstance(stored, PackStored)
    stored = replace(stored, length=info.length, shard=info.shard, chunks=info.chunks)
    return encode_record(replace(plain, entries=(stored, *plain.entries[1:])), CIPHER)


def record_of_signed() -> bytes:
    """A record of a signed ref change, and of one that is not."""
    return encode_record(signed_record(), CIPHER)


def marker() -> bytes:
    """A backend's marker."""
    own = BackendId(bytes([1]) * 16)
    return encode(Marker(samples.STORE, own, "d0", "4+2", (), incompat=ENCRYPTED))


FILES: dict[str, Callable[[], bytes]] = {
    "shard-v1-0-encrypted.bin": lambda: shard(0),
    "shard-v1-5-encrypted.bin": lambda: shard(5),
    RECORD: record,
    SIGNED_RECORD: record_of_signed,
    SEGMENT: lambda: encode_record(samples.segment(), CIPHER),
    "marker-v1-encrypted.json": marker,
}


@pytest.mark.parametrize("name", FILES)
def test_encoding_is_pinned(name: str) -> None:
    assert FILES[name]() == (GOLDEN / name).read_bytes()


def test_signed_record_decodes() -> None:
    data = (GOLDEN / SIGNED_RECORD).read_bytes()
    expected = replace(signed_record(), digest=data[-32:])
    assert decode_record(data, "golden", CIPHER) == expected
    assert struct.unpack_from("<III", data, 12) == (0, 0, 6)


def test_a_signed_change_that_is_not_encrypted_is_refused() -> None:
    data = bytearray(encode_record(signed_record()))
    data[20] |= 2
    sealed = bytes(data[:-32]) + blake3(bytes(data[:-32])).digest()
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record(sealed, "record", CIPHER)


def test_shards_decode() -> None:
    info, payloads = sample_shards()
    footers = []
    for index in (0, 5):
        data = (GOLDEN / f"shard-v1-{index}-encrypted.bin").read_bytes()
        assert data[: info.shard] == payloads[index]
        footers.append(decode_tail(data[info.shard :], "golden", CIPHER))
    assert footers[0].chunks is None
    assert join_tails(footers) == info


def test_chunks_decrypt() -> None:
    data = (GOLDEN / "shard-v1-0-encrypted.bin").read_bytes()
    cipher = CIPHER.pack(samples.PACK)
    assert cipher is not None
    # Those that lie in shard 0.
    for slot, chunk in enumerate(sample_shards()[0].chunks[:2]):
        room = memoryview(bytearray(chunk.stored - TAG_SIZE))
        cipher.open(slot, data[chunk.offset : chunk.offset + chunk.stored], room)
        assert bytes(room) == encoded_chunks()[slot]


def test_without_the_key_a_tail_can_be_made_again() -> None:
    info, _ = sample_shards()
    data = (GOLDEN / "shard-v1-5-encrypted.bin").read_bytes()
    known = join_tails([decode_tail(data[info.shard :], "golden", LOCKED)])
    assert known is not None
    assert (known.chunks, known.chunk_count) == ((), len(info.chunks))
    assert [encode_tail(known, i) for i in range(6)] == [encode_tail(info, i) for i in range(6)]


def test_records_decode() -> None:
    data = (GOLDEN / RECORD).read_bytes()
    found = decode_record(data, "golden", CIPHER)
    plain = samples.record()
    assert found.entries[1:] == plain.entries[1:]
    assert isinstance(found.entries[0], PackStored)
    assert found.entries[0].chunks == sample_shards()[0].chunks
    assert len(list_entries(data, "golden", CIPHER)) == len(plain.entries)
    for name in (b"acme", b"llama", b"main", "größe".encode()):
        assert name not in data


def test_segments_tell_nobody_whose_records_they_stand_for() -> None:
    data = (GOLDEN / SEGMENT).read_bytes()
    (of, *_) = list_entries(data, "golden", CIPHER)
    assert of == samples.segment().entries[0]
    assert isinstance(of, Compacted)
    assert of.digest not in data
    with pytest.raises(KeyNeededError):
        list_entries(data, "golden", LOCKED)


def test_without_the_key_what_tells_of_nothing_is_read() -> None:
    with pytest.raises(KeyNeededError):
        decode_record((GOLDEN / RECORD).read_bytes(), "golden", LOCKED)
    plain = samples.record()
    kept = tuple(e for e in plain.entries if isinstance(e, ShardPlaced))
    data = encode_record(replace(plain, entries=kept), LOCKED)
    assert decode_record(data, "golden", LOCKED).entries == kept
    gone = tuple(e for e in plain.entries if isinstance(e, PackDeleted))
    with pytest.raises(KeyNeededError):
        encode_record(replace(plain, entries=gone), LOCKED)


def test_no_entry_can_be_taken_out_or_changed_beside() -> None:
    """What is encrypted vouches for the head: a record cut short is none."""
    plain = samples.record()
    whole = encode_record(plain, CIPHER)
    short = encode_record(replace(plain, entries=plain.entries[:-1]), CIPHER)
    head = short[:104] + short[104:112]
    cut = head + whole[112 : len(short) - 32]
    for forged in (cut, whole[:96] + bytes(8) + whole[104:-32]):
        with pytest.raises(FormatError, match="contradicts itself"):
            decode_record(forged + blake3(forged).digest(), "forged", CIPHER)


def test_an_entry_counts_in_its_own_record_only() -> None:
    data = (GOLDEN / RECORD).read_bytes()
    moved = data[:40] + bytes(WriterId(b"w" * 16)) + data[56:-32]
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record(moved + blake3(moved).digest(), "moved", CIPHER)


def test_a_record_in_the_clear_is_none_of_an_encrypted_store() -> None:
    """Nobody who may write to a backend can move a ref."""
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record(encode_record(samples.record()), "clear", CIPHER)
    with pytest.raises(FormatError, match="contradicts itself"):
        decode_record((GOLDEN / RECORD).read_bytes(), "sealed")


def test_a_shard_of_the_other_kind_is_refused() -> None:
    info, _ = sample_shards()
    data = (GOLDEN / "shard-v1-5-encrypted.bin").read_bytes()
    with pytest.raises(ShardDamagedError, match="is encrypted, unlike its store"):
        decode_tail(data[info.shard :], "sealed")
    clear, _ = samples.shards()
    with pytest.raises(ShardDamagedError, match="is not encrypted, unlike its store"):
        decode_tail(encode_tail(clear, 5), "clear", CIPHER)


def test_the_marker_says_so() -> None:
    data = (GOLDEN / "marker-v1-encrypted.json").read_bytes()
    assert decode(data, "golden").incompat == ENCRYPTED
