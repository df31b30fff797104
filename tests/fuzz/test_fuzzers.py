"""Every decoder of foreign bytes, fuzzed: only errors that it declares come out, and memory and
time stay bounded. A few thousand inputs each by default, a minute each in the slow matrix."""

import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from modelfloat.backends import keys
from modelfloat.backends.marker import decode as decode_marker
from modelfloat.cas.chunking.gguf import GgufParser
from modelfloat.cas.chunking.onnx import OnnxParser
from modelfloat.cas.chunking.onnxdata import OnnxDataParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.chunking.safetensors import SafetensorsParser
from modelfloat.cas.codecs.registry import decode as decode_chunk
from modelfloat.cas.formats.chunktable import ENTRY, decode_table, encode_table
from modelfloat.cas.formats.commit import decode_commit
from modelfloat.cas.formats.journal import RefKind, decode_head, decode_record
from modelfloat.cas.formats.manifest import (
    ChunkRef,
    decode_entries,
    decode_manifest,
    decode_page,
    encode_entries,
    encode_manifest,
)
from modelfloat.cas.formats.regiontable import decode_region_page, decode_regions, encode_regions
from modelfloat.cas.formats.shard import decode_tail
from modelfloat.cas.formats.tree import Tree, decode_tree_index, encode_tree
from modelfloat.cas.index.environment import guarded
from modelfloat.cas.index.records import HEAD, Location, PackRecord
from modelfloat.cas.index.sourcerows import SourceRow
from modelfloat.cas.journal.slots import Slot, read_slot
from modelfloat.cas.read.recipe import Recipe
from modelfloat.cas.read.regions import RegionTable
from modelfloat.cas.refnames import (
    RepoName,
    check_ref_name,
    parse_address,
    ref_key,
    ref_of_key,
)
from modelfloat.config import read_config
from modelfloat.errors import (
    ChunkDamagedError,
    FormatError,
    IndexDamagedError,
    MarkerError,
    ModelFloatError,
    ShardDamagedError,
    UsageError,
)
from modelfloat.fuse.mountinfo import parse_mountinfo
from modelfloat.fuse.mountstate import (
    MountState,
    OpenFileState,
    ReadError,
    decode_state,
    encode_state,
)
from modelfloat.hub.hfcache import read_cache
from modelfloat.ids import ChunkId, ObjectId, WriterId
from modelfloat.tests.support import onnxfiles as onnx
from modelfloat.tests.support import samples
from modelfloat.tests.support.fuzzing import Target, fuzz
from modelfloat.tests.support.gguffiles import ARRAY, STRING, U8, GgufFile, Tensor
from modelfloat.tests.support.golden_stores import GOLDEN as GOLDEN_STORES
from modelfloat.tests.support.golden_stores import unpack
from modelfloat.tests.support.sources import BytesSource, Shelf

GOLDEN = Path(__file__).parents[1] / "formats" / "golden"
SCRATCH = tempfile.TemporaryDirectory(prefix="modelfloat-fuzz-")


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


# Packs and shards


def feed_table(data: bytes) -> None:
    """With the pack length that the table itself adds up to, so that all of it is looked at."""
    whole = data[: len(data) // ENTRY.size * ENTRY.size]
    decode_table(data, sum(entry[2] for entry in ENTRY.iter_unpack(whole)))


def lay_end_to_end(data: bytes) -> bytes:
    """A table's offsets made right."""
    out, position = bytearray(data[: len(data) // ENTRY.size * ENTRY.size]), 0
    for at in range(0, len(out), ENTRY.size):
        struct.pack_into("<I", out, at + 32, position % (1 << 32))
        position += struct.unpack_from("<I", out, at + 36)[0]
    return bytes(out)


def seal_tail(data: bytes) -> bytes:
    """A footer's length and BLAKE3 and its trailer's CRC made right."""
    if len(data) < 64:
        return data
    footer, trailer = data[:-64], bytearray(data[-64:])
    struct.pack_into("<I32s", trailer, 24, len(footer), blake3(footer).digest())
    struct.pack_into("<I", trailer, 60, zlib.crc32(trailer[:60]))
    return footer + bytes(trailer)


def tails() -> list[bytes]:
    return [golden(f"shard-v1-{i}.bin")[samples.shards()[0].shard :] for i in (0, 3, 5)]


# Objects


def feed_manifest(data: bytes) -> None:
    """As a reader does: pages too, which here are whatever stands behind the manifest."""
    manifest = decode_manifest(data)
    decode_entries(manifest.inline)
    page = decode_page(b"MFOB\x02\x01\0\0" + encode_entries([ChunkRef(ChunkId(bytes(32)), 9)] * 3))
    recipe = Recipe(manifest, lambda _id: page)
    for offset in (0, manifest.size // 2, manifest.size - 1):
        recipe.spans(max(offset, 0), 5)
    for _, _span in zip(range(1000), recipe.all(), strict=False):
        pass
    for _region in RegionTable(manifest, lambda _id: decode_region_page(region_page())):
        pass


def regions() -> list[Region]:
    """Names that share beginnings, padding, a long number."""
    names = ["", "layer.0.weight", "layer.0.bias", "", "layer.1.größe"]
    at = [0, 9, 300, 301, 3000, 3003]
    sizes = [stop - start for start, stop in pairwise(at)]
    made = zip(at, sizes, names, strict=False)
    return [Region(o, s, ElementType.BF16, name, (s, 1 << 60)[: len(name)]) for o, s, name in made]


def region_page() -> bytes:
    return golden("region-page-v1.bin")


def feed_regions(data: bytes) -> None:
    """What is read is written as the same bytes, but for names that could share more."""
    found = [Region(*each) for each in decode_regions(data)]
    size = sum(region.size for region in found)
    for part in encode_regions(found, size):
        assert list(map(Region.__repr__, found[: part.count])) == [
            repr(Region(*each)) for each in decode_regions(part.data)
        ]


def small_pages() -> bytes:
    """A manifest of three pages that say 27 bytes each."""
    entries = encode_entries([ChunkRef(ChunkId(bytes(32)), 9)] * 9)
    head = bytearray(list(encode_manifest(81, bytes(32), entries))[-1][:64])
    struct.pack_into("<QII", head, 48, 9, 3, 0)
    return bytes(head) + b"".join(struct.pack("<32sQI4x", bytes(32), i * 27, 3) for i in range(3))


def fit_manifest(data: bytes) -> bytes:
    """An inline manifest's size made the sum of its chunks, its count what fits."""
    out = bytearray(data)
    if len(out) < 64:
        return data
    extra = struct.unpack_from("<I", out, 60)[0]
    pages = struct.unpack_from("<I", out, 56)[0]
    room = max(0, len(out) - 64 - extra)
    if pages:
        struct.pack_into("<I", out, 56, max(1, room // 48))
        counts = [struct.unpack_from("<I", out, 64 + 48 * i + 40)[0] for i in range(room // 48)]
        struct.pack_into("<Q", out, 48, sum(counts))
    else:
        raws = [struct.unpack_from("<I", out, 64 + 36 * i + 32)[0] for i in range(room // 36)]
        struct.pack_into("<Q", out, 48, len(raws))
        struct.pack_into("<Q", out, 8, sum(raws))
    return bytes(out)


def feed_tree(data: bytes) -> None:
    """As a listing and lookups do."""
    tree = Tree(data)
    for index in range(min(len(tree), 200)):
        tree.lookup(tree[index].name)
    tree.lookup(b"latest")


def trees() -> list[bytes]:
    entry = samples.entries()[0]
    many = [replace(entry, name=b"%04d" % i) for i in range(150)]
    return [golden("tree-v1.bin"), *encode_tree(many), *encode_tree([])]


def tree_index() -> bytes:
    entry = samples.entries()[0]
    return list(encode_tree([replace(entry, name=b"%05d" % i) for i in range(5000)]))[-1]


# Journal


def seal_record(data: bytes) -> bytes:
    """A record's length and BLAKE3 made right."""
    if len(data) < 144:
        return data
    body = bytearray(data[:-32])
    struct.pack_into("<I", body, 108, len(body) - 112)
    return bytes(body) + blake3(body).digest()


def feed_record(data: bytes) -> None:
    decode_head(data, "x")
    decode_record(data, "x")


# Text: marker, configuration, addresses, what a mount answers


def feed_config(data: bytes) -> None:
    Path(SCRATCH.name, "config.toml").write_bytes(data)
    read_config(SCRATCH.name)


def config_seed() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        golden_store = unpack(GOLDEN_STORES[0], Path(folder))
        return (golden_store.path / "config.toml").read_bytes()


def feed_slot(data: bytes) -> None:
    path = Path(SCRATCH.name, "slot")
    path.write_bytes(data)
    slot = read_slot(str(path))
    assert slot is None or isinstance(slot, Slot)


def feed_hf_ref(data: bytes) -> None:
    """What a ref of a Hugging Face cache says is its commit: anything else is left out."""
    model = Path(SCRATCH.name, "hub", "models--acme--llama")
    (model / "snapshots" / ("a" * 40)).mkdir(parents=True, exist_ok=True)
    (model / "refs").mkdir(exist_ok=True)
    (model / "refs" / "main").write_bytes(data)
    for found in read_cache(str(model.parent)).models:
        assert set(found.refs.values()) <= {data.decode("ascii", "replace").strip()}


def feed_name(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        address = parse_address(text)
        str(address)
    except UsageError:
        pass
    check_ref_name(text, "branch")


def feed_key(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    parsed = keys.parse_shard_key(text), keys.parse_journal_key(text)
    if any(parsed):
        assert keys.is_key(text)
    keys.check_prefix(text) if text.endswith("/") else keys.check_key(text)


def state_seed() -> bytes:
    opened = OpenFileState("ab" * 32, "acme/llama/größe", (1, 2))
    error = ReadError(samples.TIME, "acme/llama/x", 77, "chunk lost")
    return encode_state(MountState(4, "0.1.0", "/models", 9, (opened,), (error,)))


# Codecs


def feed_zstd(data: bytes) -> None:
    for size in (1, 1000, 1 << 20):
        decode_chunk(1, data, memoryview(bytearray(size)))


def feed_chunk(data: bytes) -> None:
    """The first byte is the codec's number."""
    decode_chunk(data[0] if data else 0, data[1:], memoryview(bytearray(1000)))


def frames() -> list[bytes]:
    compress = zstandard.ZstdCompressor(level=1, write_content_size=True).compress
    return [
        compress(b"x"),
        compress(b"again " * 167)[:],
        compress(bytes(1 << 20)),
        compress(samples.noise("raw", 1000)),
        zstandard.ZstdCompressor(level=19).compress(b"abcdefgh" * (1 << 17)),
    ]


def bombs() -> list[bytes]:
    """Frames that claim very much: a window of 2 GiB, a content of 2^63 bytes."""
    magic = b"\x28\xb5\x2f\xfd"
    return [
        magic + b"\x80\xa8" + struct.pack("<I", 1 << 20) + b"\x03\0\0" * 9,
        magic + b"\xe0" + struct.pack("<Q", 1 << 63) + b"\x01\0\0",
        magic + b"\xa0" + struct.pack("<I", 1 << 20) + (b"\xfb\xff\x3f" + b"x") * 99,
    ]


# The index


def feed_rows(kind: str) -> Callable[[bytes], None]:
    decoders: dict[str, Callable[[bytes], object]] = {
        "chunks": Location.decode,
        "packs": lambda data: PackRecord.decode(1, data),
        "refs": ref_of_key,
        "heads": HEAD.unpack,
        "sources": SourceRow.decode,
    }

    def feed(data: bytes) -> None:
        with guarded("index", kind):
            decoders[kind](data)

    return feed


def pack_row() -> bytes:
    stored = samples.record().entries[0]
    return PackRecord.of(3, stored).encode()  # type: ignore[arg-type]


# Files being added


def feed_safetensors(data: bytes) -> None:
    """A lying header is not an error: the file is cut as unknown bytes."""
    parser = SafetensorsParser()
    parser.suits("x", data[:64])
    parser.parse(BytesSource(data))


def safetensors_seed() -> bytes:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
            "b": {"dtype": "F32", "shape": [], "data_offsets": [12, 16]},
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def fit_header(data: bytes) -> bytes:
    """A header's length made that of what lies before the last 16 bytes."""
    return max(0, len(data) - 24).to_bytes(8, "little") + data[8:]


def feed_gguf(data: bytes) -> None:
    """As any file that begins so is cut."""
    regions = GgufParser().parse(BytesSource(data))
    assert regions is None or covers(regions, len(data))


def gguf_seeds() -> list[bytes]:
    """One of each version; the keys hold every shape of value."""
    tensors = [
        Tensor("a", (2, 32), ElementType.Q4_0, bytes(36)),
        Tensor("b", (3,), ElementType.F32, bytes(12)),
        Tensor("c", (1,), ElementType.F32, bytes(9), type=31),
    ]
    keys = [
        ("k", U8, 1),
        ("words", ARRAY, (STRING, ["a", "", "bcd"])),
        ("nested", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["x"])])),
    ]
    return [GgufFile(tensors, keys, version, 64).bytes() for version in (1, 2, 3)]


def feed_onnx(data: bytes) -> None:
    """As any file that begins so is cut, and as one beside a file of external data."""
    regions = OnnxParser().parse(BytesSource(data))
    assert regions is None or covers(regions, len(data))
    shelf = Shelf("", {"w.onnx": data, "w": bytes(100)})
    regions = OnnxDataParser().parse(shelf.source("w"))
    assert regions is None or covers(regions, 100)


def onnx_seeds() -> list[bytes]:
    """Tensors of every kind in every place, and tensors in another file."""
    f32 = ElementType.F32
    raw, halves = onnx.tensor("t", f32, (2,), bytes(8)), struct.pack("<H", 300)
    packed = onnx.tensor("p", onnx.FLOAT, (2,), more=onnx.floats([1, 2]), packed=False)
    odd = onnx.tensor("o", onnx.FLOAT16, (1,), more=onnx.text(5, halves))
    sparse = onnx.text(1, raw) + onnx.text(2, onnx.tensor("", onnx.INT64, (1,), bytes(8)))
    inner = onnx.graph([onnx.node("Op", [], ["a"], onnx.attribute("l", 10, raw, packed))], [odd])
    node = onnx.node("If", ["c"], ["b"], onnx.attribute("g", 6, inner))
    function = onnx.text(25, onnx.text(7, node))
    outside = [
        onnx.tensor(str(at), f32, (2,), more=onnx.external("w", at, 8)) for at in (0, 16, 92)
    ]
    return [
        onnx.model(onnx.graph([node], [raw, packed], [sparse]), more=function),
        onnx.simple(*outside),
    ]


MOUNTINFO = (
    b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
    b"99 35 0:52 / /models\\040here rw - fuse.modelfloat modelfloat ro,user_id=0\n"
)
NUMBERS_AS_TEXT = [b"1e999", b"NaN", b"-1", b"null", b"[" * 50, b'{"a":', b"\\ud800", b'"', b"2e5"]

TARGETS: dict[str, Target] = {
    "chunk table": Target(
        feed_table, [encode_table(samples.chunks())], (ShardDamagedError,), lay_end_to_end
    ),
    "footer and trailer": Target(
        lambda d: decode_tail(d, "x"), tails(), (ShardDamagedError, FormatError), seal_tail
    ),
    "manifest": Target(
        feed_manifest,
        [golden("manifest-v1-inline.bin"), small_pages()],
        (ChunkDamagedError, FormatError),
        fit_manifest,
    ),
    "manifest with regions": Target(
        feed_manifest,
        [golden("manifest-v1-regions.bin")],
        (ChunkDamagedError, FormatError),
        fit_manifest,
        inputs=[golden("manifest-v2-regions.bin")],
    ),
    "region table": Target(
        feed_regions,
        [region_page()[8:], *(part.data for part in encode_regions(regions(), 3003))],
        (ChunkDamagedError,),
        words=[b"\xff" * 9, b"\x80\x00", b"\x80" * 8 + b"\x01", bytes(5)],
    ),
    "region page": Target(
        lambda d: feed_regions(decode_region_page(d)),
        [region_page()],
        (ChunkDamagedError, FormatError),
    ),
    "manifest page": Target(
        lambda d: decode_entries(decode_page(d)),
        [b"MFOB\x02\x01\0\0" + encode_entries([ChunkRef(ChunkId(bytes(32)), 9)] * 3)],
        (ChunkDamagedError, FormatError),
    ),
    "tree": Target(feed_tree, trees(), (ChunkDamagedError, FormatError)),
    "tree index": Target(decode_tree_index, [tree_index()], (ChunkDamagedError, FormatError)),
    "commit": Target(decode_commit, [golden("commit-v1.bin")], (ChunkDamagedError, FormatError)),
    "journal record": Target(feed_record, [golden("journal-v1.bin")], (FormatError,), seal_record),
    "marker": Target(
        lambda d: decode_marker(d, "d0"),
        [golden("marker-v1.json")],
        (MarkerError, FormatError),
        words=NUMBERS_AS_TEXT,
    ),
    "config.toml": Target(
        feed_config,
        [config_seed()],
        (ModelFloatError,),
        words=[b"nan", b"inf", b"[" * 2000, b"a.b.c=1\n", b"'''", b"1979-05-27", b"[[backend]]\n"],
    ),
    "index: chunks": Target(
        feed_rows("chunks"),
        [Location(7, 1, 0, 0, 5, 6, 7).encode()],  # type: ignore[arg-type]
        (IndexDamagedError,),
    ),
    "index: packs": Target(feed_rows("packs"), [pack_row()], (IndexDamagedError,)),
    "index: refs": Target(
        feed_rows("refs"),
        [ref_key(RepoName("acme", "größe"), RefKind.TAG, "v1")],
        (IndexDamagedError,),
    ),
    "index: heads": Target(
        feed_rows("heads"), [HEAD.pack(bytes(32), bytes(32), 5)], (IndexDamagedError,)
    ),
    "index: sources": Target(
        feed_rows("sources"),
        [SourceRow(1, 2, 3, 4, 5, ObjectId(bytes(32))).encode()],
        (IndexDamagedError,),
    ),
    "safetensors": Target(
        feed_safetensors, [safetensors_seed()], (), fit_header, words=NUMBERS_AS_TEXT
    ),
    "gguf": Target(feed_gguf, gguf_seeds(), words=[b"general.alignment", b"GGUF", b"\t\0\0\0"]),
    "onnx": Target(feed_onnx, onnx_seeds(), words=[b"\xff" * 10, b"\x4a\x02ab", b"\x3a\x80\x01"]),
    "zstd": Target(feed_zstd, [], (ChunkDamagedError,), inputs=[*frames(), *bombs()]),
    "codecs": Target(
        feed_chunk,
        [],
        (ChunkDamagedError, FormatError),
        inputs=[bytes(1001), *(b"\1" + frame for frame in frames())],
    ),
    "mountinfo": Target(parse_mountinfo, [MOUNTINFO], (), words=[b"\\777", b" - ", b"\n", b"\\"]),
    "slot": Target(feed_slot, [WriterId(bytes(16)).hex().encode() + b" 7\n", b"0" * 32], ()),
    "hugging face ref": Target(feed_hf_ref, [b"a" * 40, b"b" * 40 + b"\n"], ()),
    "address": Target(
        feed_name,
        [b"main"],
        (UsageError,),
        words=[b"/", b"@", b"%2F", b"..", b"\xff"],
        inputs=[b"acme/llama@v1/a/b"],
    ),
    "backend key": Target(
        feed_key,
        [f"packs/ab/ab{'0' * 30}/3-4-2".encode(), f"journal/{'a' * 32}/{'0' * 16}-1".encode()],
        (ValueError,),
        words=[b"..", b"/", b"tmp", b"-", b"\n"],
    ),
    "mount's answer": Target(decode_state, [state_seed()], (FormatError,), words=NUMBERS_AS_TEXT),
}


@pytest.mark.parametrize("name", TARGETS)
def test_only_declared_errors_come_out(name: str, effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    assert fuzz(TARGETS[name], inputs, seconds, seed) >= inputs


def test_what_fuzzing_found_stays_mended() -> None:
    """Inputs that let undeclared errors out."""
    with pytest.raises(FormatError):
        decode_state(state_seed().replace(b'"pid": 4', b'"pid": 1e999'))
    with pytest.raises(FormatError):
        feed_config(b"a = " + b"[" * 5000)
    with pytest.raises(FormatError):
        feed_config(b"a = " + b"9" * 5000)
    assert parse_mountinfo(MOUNTINFO.replace(b"040", b"777"))[1].path == r"/models\777here"


@pytest.mark.parametrize("bomb", bombs(), ids=("window", "content", "blocks"))
def test_a_frame_that_claims_much_takes_no_memory(bomb: bytes) -> None:
    with pytest.raises(ChunkDamagedError):
        decode_chunk(1, bomb, memoryview(bytearray(1 << 20)))
