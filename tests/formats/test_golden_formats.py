"""Every format of docs/format.md, pinned: encoding gives the golden bytes, and they decode.

A golden file is never changed. A new version of a format gets a new file beside it.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.cas.chunking.regions import ElementType, Region
from modelfloat.cas.formats import cachemap
from modelfloat.cas.formats import journal as journal_format
from modelfloat.cas.formats import presence as presence_format
from modelfloat.cas.formats import shard as shard_format
from modelfloat.cas.formats.cachemap import (
    SLOT,
    Slot,
    decode_head,
    decode_seal,
    encode_head,
    encode_seal,
    encode_slot,
    slot_offset,
)
from modelfloat.cas.formats.commit import Commit, decode_commit, encode_commit
from modelfloat.cas.formats.condemned import decode_condemned, encode_condemned
from modelfloat.cas.formats.journal import (
    PackStored,
    decode_record,
    encode_record,
    says_segment,
)
from modelfloat.cas.formats.manifest import (
    PAGE_CHUNKS,
    ChunkRef,
    decode_entries,
    decode_manifest,
    decode_page,
    encode_entries,
    encode_manifest,
    with_sources,
)
from modelfloat.cas.formats.news import decode_news, encode_news
from modelfloat.cas.formats.objects import encode_extensions, object_id
from modelfloat.cas.formats.presence import Presence, decode_presence, encode_presence
from modelfloat.cas.formats.regiontable import (
    decode_region_page,
    decode_regions,
    encode_region_page,
    encode_regions,
)
from modelfloat.cas.formats.shard import decode_tail, encode_tail, footer_length, join_tails
from modelfloat.cas.formats.tree import Tree, decode_tree_index, encode_tree
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import ChunkDamagedError, FormatError
from modelfloat.ids import ChunkId, ObjectId
from modelfloat.tests.support import samples
from modelfloat.tests.support.signers import signed_record

GOLDEN = Path(__file__).parent / "golden"


def shard(index: int) -> Callable[[], bytes]:
    """The whole shard of that index: payload, footer, trailer."""

    def make() -> bytes:
        info, payloads = samples.shards()
        return payloads[index] + encode_tail(info, index)

    return make


def later_shard(index: int) -> bytes:
    """The same of a pack that uses later codecs."""
    info, payloads = samples.shards(table=samples.with_later_codecs())
    return payloads[index] + encode_tail(info, index)


def later_record() -> bytes:
    """A record of that pack alone."""
    record = samples.record()
    stored = record.entries[0]
    assert isinstance(stored, PackStored)
    stored = replace(stored, chunks=samples.with_later_codecs())
    return encode_record(replace(record, entries=(stored,)))


def small_manifest() -> bytes:
    """An inline manifest with a SHA-256."""
    refs = [ChunkRef(ChunkId(samples.id_of(f"c{i}")), 1000 + i) for i in range(3)]
    size = sum(ref.raw for ref in refs)
    sha = {1: bytes(samples.id_of("sha256"))}
    return encode_manifest(size, bytes(samples.id_of("file")), encode_entries(refs), sha)[-1]


SOURCES = (
    "hf://models/acme/größe@0123456789abcdef0123456789abcdef01234567/a%20b/c.safetensors",
    "https://example.org/c.safetensors",
)


def sources_manifest() -> bytes:
    """An inline manifest with a SHA-256 and two sources."""
    return with_sources(small_manifest(), SOURCES)


def paged_manifest() -> list[bytes]:
    """A manifest of two pages; all its chunks are one, as in a file of zeros."""
    count = PAGE_CHUNKS + 1
    entries = encode_entries([ChunkRef(ChunkId(samples.id_of("zeros")), 1 << 20)]) * count
    return encode_manifest(count << 20, bytes(samples.id_of("file")), entries)


def regions() -> list[Region]:
    """A header, tensors with names that share beginnings, padding, a type not known to anybody."""
    return [
        Region(0, 1000, ElementType.BYTES),
        Region(1000, 700, ElementType.BF16, "model.layers.0.weight", (7, 50)),
        Region(1700, 1, ElementType.U8, "model.layers.0.größe", ()),
        Region(1701, 299, ElementType.UNKNOWN),
        Region(2000, 1003, ElementType.Q4_0, "model.layers.1", (0, 1 << 62, 127, 128)),
    ]


def table_manifest() -> bytes:
    """An inline manifest with an inline region table, and no SHA-256."""
    refs = [ChunkRef(ChunkId(samples.id_of(f"c{i}")), 1000 + i) for i in range(3)]
    digest = bytes(samples.id_of("file"))
    return encode_manifest(3003, digest, encode_entries(refs), None, regions())[-1]


def paged_table() -> list[bytes]:
    """A manifest of one chunk whose region table takes two pages."""
    size = 4096
    names = (f"{i:04}" + samples.noise(f"name {i}", 100).hex() for i in range(size))
    each = [Region(i, 1, ElementType.I8, name, (1,)) for i, name in enumerate(names)]
    refs = [ChunkRef(ChunkId(samples.id_of("chunk")), size)]
    return encode_manifest(size, bytes(samples.id_of("file")), encode_entries(refs), None, each)


def cache_map() -> bytes:
    """The map of a file of two pages of chunks, sealed; its page 1 was written twice."""
    head = samples.cache_head()
    slots = [
        Slot(0, 1, encode_seal(samples.seal())),
        Slot(1, 1, b"\x01"),
        Slot(1, 2, b"\x83" + bytes(4062) + b"\x80"),
        Slot(2, 1, b"\x05"),
    ]
    data = bytearray(head.length)
    data[:SLOT] = encode_head(head)
    for slot in slots:
        at = slot_offset(slot.page, slot.sequence)
        data[at : at + SLOT] = encode_slot(head, slot)
    return bytes(data)


FILES: dict[str, Callable[[], bytes]] = {
    "shard-v1-0.bin": shard(0),
    "shard-v1-3.bin": shard(3),
    "shard-v1-5.bin": shard(5),
    "shard-v1-0-codecs.bin": lambda: later_shard(0),
    "shard-v1-5-codecs.bin": lambda: later_shard(5),
    "manifest-v1-inline.bin": small_manifest,
    "manifest-v1-sources.bin": sources_manifest,
    "manifest-v1-paged.bin": lambda: paged_manifest()[-1],
    "manifest-v1-regions.bin": table_manifest,
    "manifest-v2-regions.bin": lambda: paged_table()[-1],
    "region-page-v1.bin": lambda: encode_region_page(encode_regions(regions(), 3003)[0]),
    "tree-v1.bin": lambda: list(encode_tree(samples.entries()))[-1],
    "commit-v1.bin": lambda: encode_commit(samples.commit()),
    "commit-v1-erasure.bin": lambda: encode_commit(own_scheme()),
    "condemned-v1.bin": lambda: encode_condemned(samples.condemned()),
    "presence-v1-lease.bin": lambda: encode_presence(samples.presence()["lease"]),
    "presence-v1-lease-back.bin": lambda: encode_presence(samples.presence()["lease-back"]),
    "presence-v1-session.bin": lambda: encode_presence(samples.presence()["session"]),
    "presence-v1-mount.bin": lambda: encode_presence(samples.presence()["mount"]),
    "presence-v1-site.bin": lambda: encode_presence(samples.presence()["site"]),
    "news-v1.bin": lambda: encode_news(samples.news()),
    "journal-v1.bin": lambda: encode_record(samples.record()),
    "journal-v1-codecs.bin": later_record,
    "journal-v1-segment.bin": lambda: encode_record(samples.segment()),
    "journal-v1-signed.bin": lambda: encode_record(signed_record()),
    "cache-map-v1.bin": cache_map,
}


@pytest.mark.parametrize("name", FILES)
def test_encoding_is_pinned(name: str) -> None:
    assert FILES[name]() == (GOLDEN / name).read_bytes()


def test_shard_decodes() -> None:
    info, payloads = samples.shards()
    for index in (0, 3, 5):
        data = (GOLDEN / f"shard-v1-{index}.bin").read_bytes()
        assert data[: info.shard] == payloads[index]
        footer = decode_tail(data[info.shard :], "golden")
        assert footer.index == index
        assert footer.blocks == info.blocks
        assert (footer.chunks is None) == (index == 0)
        if index:
            assert join_tails([footer]) == info


@pytest.mark.parametrize("name", ["shard-v1-0", "shard-v1-5", "journal-v1"])
def test_what_has_later_codecs_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit more in the head, and releases that do not know it refuse."""
    at, size = (20, 64) if name.startswith("shard") else (20, 112)
    before, after = ((GOLDEN / f"{name}{end}.bin").read_bytes() for end in ("", "-codecs"))
    heads = [d[-64:] if size == 64 else d[:size] for d in (before, after)]
    assert [struct.unpack_from("<III", head, at - 8) for head in heads] == [(0, 0, 0), (0, 0, 1)]
    decode: Callable[[bytes, str], object] = decode_record
    if size == 64:
        decode = footer_length
        before, after = heads
    decode(after, "x")
    module = shard_format if size == 64 else journal_format
    monkeypatch.setattr(module, "KNOWN", 0)
    decode(before, "x")
    with pytest.raises(FormatError, match=r"x uses features .* \(0x1\): upgrade"):
        decode(after, "x")


def test_a_later_bit_is_refused() -> None:
    data = bytearray((GOLDEN / "journal-v1-codecs.bin").read_bytes())
    data[20] |= 128
    with pytest.raises(FormatError, match=r"does not know \(0x81\): upgrade"):
        decode_record(bytes(data), "record")


def test_later_shards_decode() -> None:
    info, _ = samples.shards(table=samples.with_later_codecs())
    footers = [
        decode_tail((GOLDEN / f"shard-v1-{i}-codecs.bin").read_bytes()[info.shard :], "golden")
        for i in (0, 5)
    ]
    assert join_tails(footers) == info


def test_inline_manifest_decodes() -> None:
    manifest = decode_manifest((GOLDEN / "manifest-v1-inline.bin").read_bytes())
    assert (manifest.size, manifest.chunk_count, manifest.pages) == (3003, 3, ())
    assert manifest.sha256 == samples.id_of("sha256")
    assert [ref.raw for ref in decode_entries(manifest.inline)] == [1000, 1001, 1002]


def test_paged_manifest_decodes() -> None:
    manifest = decode_manifest((GOLDEN / "manifest-v1-paged.bin").read_bytes())
    assert [page.offset for page in manifest.pages] == [0, PAGE_CHUNKS << 20]
    pages = paged_manifest()[:-1]
    assert [object_id(page) for page in pages] == [page.id for page in manifest.pages]
    assert len(decode_entries(decode_page(pages[1]))) == 1


def test_manifest_with_regions_decodes() -> None:
    manifest = decode_manifest((GOLDEN / "manifest-v1-regions.bin").read_bytes())
    assert (manifest.size, manifest.pages, manifest.objects) == (3003, (), ())
    found = [Region(*each) for each in decode_regions(manifest.regions)]
    assert found == regions()


def test_manifest_with_region_pages_decodes() -> None:
    manifest = decode_manifest((GOLDEN / "manifest-v2-regions.bin").read_bytes())
    first, second, _ = paged_table()
    assert [page.id for page in manifest.region_pages] == [object_id(first), object_id(second)]
    assert (manifest.regions, manifest.pages) == (b"", ())
    assert manifest.objects == tuple(page.id for page in manifest.region_pages)
    rest = list(decode_regions(decode_region_page(second), manifest.region_pages[1].offset))
    assert len(rest) == manifest.region_pages[1].count
    assert rest[-1].offset == 4095
    assert rest[-1].name.startswith("4095")


def test_region_page_decodes() -> None:
    data = decode_region_page((GOLDEN / "region-page-v1.bin").read_bytes())
    assert [Region(*each) for each in decode_regions(data)] == regions()


def test_tree_decodes() -> None:
    tree = Tree((GOLDEN / "tree-v1.bin").read_bytes())
    assert [tree[i] for i in range(len(tree))] == samples.entries()
    assert tree.lookup(b"latest") == samples.entries()[2]
    assert tree.lookup(b"later") is None


def own_scheme() -> Commit:
    """A commit of a repository that has a scheme of its own."""
    return replace(samples.commit(), erasure=Scheme(8, 0))


def test_commit_decodes() -> None:
    assert decode_commit((GOLDEN / "commit-v1.bin").read_bytes()) == samples.commit()
    assert decode_commit((GOLDEN / "commit-v1-erasure.bin").read_bytes()) == own_scheme()


@pytest.mark.parametrize("value", [b"", b"\4", b"\0\2", b"\x21\0", b"\4\x11", b"\4\2\0"])
def test_a_commit_with_a_scheme_that_cannot_be_is_damaged(value: bytes) -> None:
    whole = encode_commit(own_scheme())
    extension = encode_extensions({1: b"\x08\0"})
    changed = encode_extensions({1: value, 7: b"of a later release"})
    data = bytearray(whole.removesuffix(extension) + changed)
    data[60:64] = len(changed).to_bytes(4, "little")
    with pytest.raises(ChunkDamagedError, match="a scheme that cannot be"):
        decode_commit(bytes(data))


def test_extensions_of_later_releases_are_passed_over() -> None:
    extension = encode_extensions({7: b"later"})
    data = bytearray(encode_commit(samples.commit()) + extension)
    data[60:64] = len(extension).to_bytes(4, "little")
    assert decode_commit(bytes(data)) == samples.commit()


def test_journal_decodes() -> None:
    data = (GOLDEN / "journal-v1.bin").read_bytes()
    assert decode_record(data, "golden") == replace(samples.record(), digest=data[-32:])


def test_signed_record_decodes() -> None:
    data = (GOLDEN / "journal-v1-signed.bin").read_bytes()
    assert decode_record(data, "golden") == replace(signed_record(), digest=data[-32:])
    assert struct.unpack_from("<III", data, 12) == (0, 0, 4)


def test_a_release_that_knows_no_signatures_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_format, "KNOWN", 3)
    with pytest.raises(FormatError, match=r"x uses features .* \(0x4\): upgrade"):
        decode_record((GOLDEN / "journal-v1-signed.bin").read_bytes(), "x")


def test_segments_decode() -> None:
    data = (GOLDEN / "journal-v1-segment.bin").read_bytes()
    assert decode_record(data, "golden") == replace(samples.segment(), digest=data[-32:])
    assert says_segment(data)
    assert data[20] == 8
    assert not says_segment((GOLDEN / "journal-v1.bin").read_bytes())


def test_presence_decodes() -> None:
    for name, record in samples.presence().items():
        assert (
            decode_presence((GOLDEN / f"presence-v1-{name}.bin").read_bytes(), "golden") == record
        )


def test_a_damaged_or_newer_presence_is_refused() -> None:
    data = (GOLDEN / "presence-v1-lease.bin").read_bytes()
    with pytest.raises(FormatError, match="is damaged"):
        decode_presence(data[:50] + b"\x01" + data[51:], "x")
    newer = data[:8] + b"\x02" + data[9:-32]
    with pytest.raises(FormatError, match="upgrade"):
        decode_presence(newer + blake3(newer).digest(), "x")
    with pytest.raises(FormatError, match="no record of who is at work"):
        decode_presence(data[:100], "x")


def test_a_release_that_knows_no_mounts_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not collect garbage beside one, for it takes the record for no damaged one."""
    monkeypatch.setattr(presence_format, "READS", 0)
    with pytest.raises(FormatError, match=r"x uses features .* \(0x1\): upgrade"):
        decode_presence((GOLDEN / "presence-v1-mount.bin").read_bytes(), "x")


def test_a_mount_that_tells_nonsense_is_refused() -> None:
    mount = samples.presence()["mount"]
    for number, record in enumerate(
        [
            replace(mount, number=1),
            replace(mount, open=(*mount.open, ObjectId(b"short"))),
            replace(mount, kind=Presence.SESSION),
            replace(mount, number=99_999, open=mount.open * 9_000),
        ]
    ):
        with pytest.raises(FormatError, match="is damaged"):
            decode_presence(encode_presence(record), str(number))


def test_news_decode() -> None:
    assert decode_news((GOLDEN / "news-v1.bin").read_bytes(), "golden") == samples.news()


def test_damaged_or_newer_news_are_refused() -> None:
    data = (GOLDEN / "news-v1.bin").read_bytes()
    with pytest.raises(FormatError, match="is damaged"):
        decode_news(data[:70] + b"\x01" + data[71:], "x")
    newer = data[:8] + b"\x02" + data[9:-32]
    with pytest.raises(FormatError, match="upgrade"):
        decode_news(newer + blake3(newer).digest(), "x")
    with pytest.raises(FormatError, match="is no record of what a site has done"):
        decode_news(data[:40], "x")


def test_condemned_decodes() -> None:
    data = (GOLDEN / "condemned-v1.bin").read_bytes()
    assert decode_condemned(data, "golden") == samples.condemned()


def test_cache_map_decodes() -> None:
    data = (GOLDEN / "cache-map-v1.bin").read_bytes()
    head = decode_head(data)
    assert head == samples.cache_head()
    seal, first, second = (
        cachemap.decode_page(head, page, data[slot_offset(page, 0) :]) for page in range(head.pages)
    )
    assert decode_seal(seal.body) == samples.seal()
    assert (first.sequence, first.body[0], first.body[-1]) == (2, 0x83, 0x80)
    assert (second.sequence, second.body[:2]) == (1, b"\x05\0")


def test_long_directory_is_split_by_content() -> None:
    base = samples.entries()[0]
    many = [replace(base, name=b"file-%06d" % i) for i in range(20_000)]
    objects = list(encode_tree(many))
    index = decode_tree_index(objects[-1])
    assert [object_id(tree) for tree in objects[:-1]] == [ref.id for ref in index]
    assert sum(ref.count for ref in index) == 20_000
    changed = list(encode_tree([replace(many[0], size=1), *many[1:]]))
    assert len(set(objects) & set(changed)) == len(objects) - 2
