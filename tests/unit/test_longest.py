"""No object of a small kind is longer than readers take one to be, and the longest is read."""

from pathlib import Path

import pytest
import trio

from modelfloat.backends import conditional, marker
from modelfloat.cas.encryption.storecipher import StoreCipher
from modelfloat.cas.formats import condemned, keyring, news, presence, shard
from modelfloat.cas.formats.chunktable import Kind, PackedChunk
from modelfloat.cas.formats.condemned import Condemned
from modelfloat.cas.formats.journal import (
    LONGEST,
    Compacted,
    JournalEntry,
    PackDeleted,
    PackStored,
    Record,
    RefChanged,
    RefKind,
    ShardPlaced,
    encode_record,
    is_sound,
    listed_pack,
    record_length,
)
from modelfloat.cas.formats.keyring import Cost, KeyringRecord, KeySlot, SlotKind
from modelfloat.cas.formats.news import News
from modelfloat.cas.formats.presence import MOST_OPEN, Presence, PresenceRecord
from modelfloat.cas.gc.compaction import SEGMENT
from modelfloat.cas.journal import journal
from modelfloat.cas.journal.segments import LARGE
from modelfloat.errors import UsageError
from modelfloat.ids import BackendId, ChunkId, ObjectId, PackId, SiteId, StoreId, WriterId
from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.encrypted import CIPHER
from modelfloat.tests.support.stores import fresh_store

STORE = StoreId(b"s" * 16)
PACK = PackId(b"p" * 16)
WRITER = WriterId(b"w" * 16)
BACKEND = BackendId(b"b" * 16)
ID = ObjectId(b"i" * 32)


def number(n: int, size: int = 16) -> bytes:
    return n.to_bytes(size, "big")


def test_the_longest_of_each_kind_has_the_bytes_that_readers_take() -> None:
    told = {WriterId(number(n)): n for n in range(news.MOST_WRITERS)}
    said = news.encode_news(News(STORE, SiteId(b"n" * 16), told))
    assert len(said) == news.LONGEST
    assert news.decode_news(said, "x").last == told
    dead = condemned.encode_condemned(Condemned(STORE, PACK, 32, 16, (BACKEND,) * 48))
    assert len(dead) == condemned.LONGEST
    assert condemned.decode_condemned(dead, "x").m == 16
    opened = tuple(ObjectId(number(n, 32)) for n in range(MOST_OPEN))
    site = SiteId(b"n" * 16)
    mount = PresenceRecord(Presence.MOUNT, STORE, site, bytes(16), MOST_OPEN + 9, 600, open=opened)
    told_of = presence.encode_presence(mount)
    assert len(told_of) == presence.LONGEST
    assert presence.decode_presence(told_of, "x") == mount
    slot = KeySlot(bytes(16), SlotKind.PASSPHRASE, Cost(1, 8, 1), bytes(16))
    notes = bytes(keyring.NOTE_SIZE * keyring.MOST_SLOTS + keyring.TAG_SIZE)
    keys = keyring.encode_keyring(
        KeyringRecord(STORE, 1, (slot,) * keyring.MOST_SLOTS, bytes(keyring.NONCE_SIZE), notes)
    )
    assert len(keys) == keyring.LONGEST
    assert shard.shard_length(shard.PACK_SIZE, 1) + shard.MAX_FOOTER < shard.LONGEST


CHUNKS = tuple(PackedChunk(ChunkId(number(n, 32)), 8 * n, 8, 8, 0, Kind.DATA, 0) for n in range(20))
STORED = PackStored(PACK, 2, 1, Kind.DATA, 160, 128, (BACKEND,) * 3, CHUNKS)
ENTRIES: list[JournalEntry] = [
    STORED,
    RefChanged(RefKind.TAG, "acme", "m", "v1", bytes(32), ID, ID, 1),
    ShardPlaced(PACK, 1, BACKEND),
    PackDeleted(PACK),
    Compacted(WRITER, 3, 4, bytes(32)),
]


@pytest.mark.parametrize("cipher", [None, CIPHER], ids=["clear", "encrypted"])
def test_how_long_a_record_will_be_is_known_before_it_is_made(cipher: StoreCipher | None) -> None:
    for entries in ([], *([entry] for entry in ENTRIES), ENTRIES):
        record = Record(STORE, WRITER, 1, bytes(32), 0, tuple(entries))
        assert record_length(entries, cipher) == len(encode_record(record, cipher))
    assert record_length([listed_pack(STORED)]) == record_length([STORED])


def test_the_page_of_formats_says_the_same() -> None:
    page = " ".join((ROOT / "docs/format.md").read_text().split())
    said = page.partition("never longer than as follows")[2].partition("## Keys")[0]
    assert (marker.LARGEST, LONGEST, conditional.LONGEST) == (1 << 20, 16 << 20, 5)
    assert all(told in said for told in ("marker 1 MiB", "record 16 MiB", "conditional puts 5."))
    for kind in (condemned, presence, news, keyring):
        assert f" {kind.LONGEST:,}" in said


def test_no_segment_is_as_long_as_a_record_may_be() -> None:
    """It ends with the record that makes it long enough, and none that is in it is large."""
    assert SEGMENT + LARGE < LONGEST


def test_what_is_longer_than_a_record_is_damaged_whatever_its_end_says() -> None:
    change = RefChanged(RefKind.TAG, "acme", "m", "v" * 65_000, bytes(32), ID, ID, 1)
    many = (change,) * (LONGEST // record_length([change]))
    for entries, sound in ((many, True), ((*many, *many[:2]), False)):
        record = Record(STORE, WRITER, 1, bytes(32), 0, entries)
        assert (record_length(entries) <= LONGEST) is sound
        assert is_sound(encode_record(record)) is sound


def record_sizes(store: Path) -> list[int]:
    return [file.stat().st_size for file in store.glob("backends/*/journal/*/*")]


async def test_changes_that_no_record_holds_are_refused_and_others_parted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LONGEST", 1000)
    async with fresh_store(tmp_path / "s", "1+0") as store:
        async with store.access.writing("a test") as records:
            with pytest.raises(UsageError, match="50 changes at once are more than a record"):
                await records.append([PackDeleted(PackId(number(n))) for n in range(50)])
            async with trio.open_nursery() as nursery:
                for n in range(60):
                    nursery.start_soon(records.append, [PackDeleted(PackId(number(n)))])
        assert len(list(store.index.deleted())) == 60
    sizes = record_sizes(tmp_path / "s")
    assert 3 < len(sizes) < 60
    assert max(sizes) <= 1000
