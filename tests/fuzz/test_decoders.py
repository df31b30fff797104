"""Decoders of foreign bytes: whatever they are fed, they answer, or raise an error of ours."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.formats.cachemap import SLOT, decode_head, decode_seal, slot_offset
from modelfloat.cas.formats.cachemap import decode_page as decode_map_page
from modelfloat.cas.formats.commit import decode_commit
from modelfloat.cas.formats.condemned import decode_condemned
from modelfloat.cas.formats.journal import decode_record
from modelfloat.cas.formats.keyring import decode_keyring
from modelfloat.cas.formats.manifest import decode_entries, decode_manifest, decode_page
from modelfloat.cas.formats.news import decode_news
from modelfloat.cas.formats.presence import decode_presence
from modelfloat.cas.formats.regiontable import decode_region_page, decode_regions
from modelfloat.cas.formats.shard import decode_tail
from modelfloat.cas.formats.tree import Tree, decode_tree_index, encode_tree
from modelfloat.errors import ModelFloatError
from modelfloat.tests.support import samples

GOLDEN = Path(__file__).parents[1] / "formats" / "golden"


def every_entry(data: bytes) -> None:
    """Read a tree as a directory listing and a lookup do."""
    tree = Tree(data)
    for index in range(min(len(tree), 100)):
        _ = tree[index]
    tree.lookup(b"latest")


def whole_manifest(data: bytes) -> None:
    """Decode a manifest and its inline entries."""
    manifest = decode_manifest(data)
    decode_entries(manifest.inline)
    list(decode_regions(manifest.regions))


def whole_page(data: bytes) -> None:
    """Decode a region page and its regions."""
    list(decode_regions(decode_region_page(data)))


def whole_map(data: bytes) -> None:
    """Decode a map of the disk cache: its head, its seal and the first page of its bits."""
    head = decode_head(data)
    for page in range(min(head.pages, 3)):
        at = slot_offset(page, 0)
        slot = decode_map_page(head, page, data[at : at + 2 * SLOT])
        decode_seal(slot.body)


def tail(data: bytes) -> bytes:
    """A shard's footer and trailer."""
    return data[samples.shards()[0].shard :]


def tree_index() -> bytes:
    """An index of two trees."""
    entry = samples.entries()[0]
    many = [type(entry)(b"%05d" % i, *_rest(entry)) for i in range(5000)]
    return list(encode_tree(many))[-1]


def _rest(entry: object) -> tuple[object, ...]:
    return tuple(getattr(entry, name) for name in ("type", "mode", "mtime_ns", "size", "target"))


DECODERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "tail": (lambda d: decode_tail(d, "x"), tail((GOLDEN / "shard-v1-5.bin").read_bytes())),
    "journal": (lambda d: decode_record(d, "x"), (GOLDEN / "journal-v1.bin").read_bytes()),
    "condemned": (lambda d: decode_condemned(d, "x"), (GOLDEN / "condemned-v1.bin").read_bytes()),
    "presence": (
        lambda d: decode_presence(d, "x"),
        (GOLDEN / "presence-v1-lease.bin").read_bytes(),
    ),
    "mount": (lambda d: decode_presence(d, "x"), (GOLDEN / "presence-v1-mount.bin").read_bytes()),
    "news": (lambda d: decode_news(d, "x"), (GOLDEN / "news-v1.bin").read_bytes()),
    "keyring": (lambda d: decode_keyring(d, "x"), (GOLDEN / "keyring-v1.bin").read_bytes()),
    "manifest": (whole_manifest, (GOLDEN / "manifest-v1-inline.bin").read_bytes()),
    "paged": (whole_manifest, (GOLDEN / "manifest-v1-paged.bin").read_bytes()),
    "page": (decode_page, b"MFOB\x02\x01\0\0" + bytes(72)),
    "regions": (whole_manifest, (GOLDEN / "manifest-v1-regions.bin").read_bytes()),
    "region pages": (whole_manifest, (GOLDEN / "manifest-v2-regions.bin").read_bytes()),
    "region page": (whole_page, (GOLDEN / "region-page-v1.bin").read_bytes()),
    "tree": (every_entry, (GOLDEN / "tree-v1.bin").read_bytes()),
    "tree index": (decode_tree_index, tree_index()),
    "cache map": (whole_map, (GOLDEN / "cache-map-v1.bin").read_bytes()),
    "commit": (decode_commit, (GOLDEN / "commit-v1.bin").read_bytes()),
}


def feed(name: str, data: bytes) -> None:
    """Decode; an error must be one of ours, any other fails the test."""
    with contextlib.suppress(ModelFloatError):
        DECODERS[name][0](data)


@pytest.mark.parametrize("name", DECODERS)
@given(edits=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6))
def test_changed_bytes(name: str, edits: list[tuple[int, int]]) -> None:
    data = bytearray(DECODERS[name][1])
    for at, value in edits:
        data[at % len(data)] = value
    feed(name, bytes(data))


@pytest.mark.parametrize("name", DECODERS)
@given(cut=st.integers(0, 1 << 20), extra=st.binary(max_size=20))
def test_cut_and_continued(name: str, cut: int, extra: bytes) -> None:
    data = DECODERS[name][1]
    feed(name, data[: cut % (len(data) + 1)] + extra)


@pytest.mark.parametrize("name", DECODERS)
@given(data=st.binary(max_size=300))
def test_anything_behind_the_header(name: str, data: bytes) -> None:
    feed(name, data)
    feed(name, DECODERS[name][1][:8] + data)
