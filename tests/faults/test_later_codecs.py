"""Packs with codecs that the first releases did not know: marked, checked, mended, found again."""

import shutil
import struct
from pathlib import Path

import pytest

from modelfloat.cas.formats import flags
from modelfloat.cas.formats import journal as journal_format
from modelfloat.cas.formats import shard as shard_format
from modelfloat.cas.refnames import parse_address
from modelfloat.errors import FormatError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.blocks import few, q4_1
from modelfloat.tests.support.rescuing import rescue
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.sources import safetensors_file
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    fresh_store,
    read,
    shard_files,
)
from modelfloat.tests.support.weights import normal

TENSORS = {
    "bf16": ("BF16", 2, normal("bf16", 1 << 20)),
    "f16": ("F16", 2, normal("fp16", 1 << 20)),
    "f32": ("F32", 4, normal("fp32", 1 << 20)),
    "f64": ("F64", 8, normal("fp64", 1 << 20)),
    "mask": ("F32", 4, few(4, 2, 1 << 16)),
    "zeros": ("F32", 4, bytes(1 << 20)),
    "blocks": ("U8", 1, q4_1(10_000)),
    "noise": ("U8", 1, noise("raw", 1 << 20)),
}


def model() -> bytes:
    """A safetensors file with a tensor for nearly every codec."""
    header, body = {}, b""
    for name, (dtype, size, data) in TENSORS.items():
        span = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": [len(data) // size], "data_offsets": span}
        body += data
    return safetensors_file(header, body)


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A store of 4+2 that holds the model as acme/model/w."""
    (tmp_path / "w").write_bytes(model())
    async with fresh_store(tmp_path / "store") as opened:
        report = await add(opened, tmp_path / "w")
        assert report.encoded < 0.75 * report.logical
    return tmp_path / "store"


def marks(path: Path) -> tuple[set[int], set[int]]:
    """`incompat` of all shards, and of all journal records."""
    shards = {struct.unpack_from("<I", p.read_bytes(), -44)[0] for p in shard_files(path)}
    records = (path / "backends").glob("*/journal/*/*")
    return shards, {struct.unpack_from("<I", p.read_bytes(), 20)[0] for p in records}


async def test_packs_of_the_first_codecs_are_not_marked(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a text that shrinks, again and again\n" * 50_000)
    (tmp_path / "noise").write_bytes(noise("noise", 2_000_000))
    async with fresh_store(tmp_path / "store") as opened:
        await add(opened, tmp_path / "text")
        await add(opened, tmp_path / "noise")
    assert marks(tmp_path / "store") == ({0}, {0})


async def test_packs_with_later_codecs_are_marked(store: Path) -> None:
    """Those of objects are not, and neither are records that move a ref only."""
    shards, records = marks(store)
    assert shards == records == {0, flags.LATER_CODECS}
    assert {struct.unpack_from("<I", p.read_bytes(), -44)[0] for p in data_shards(store)} == {1}


async def test_a_release_that_does_not_know_them_refuses(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in shard_format, journal_format:
        monkeypatch.setattr(module, "KNOWN", 0)
    shutil.rmtree(store / "index")
    with pytest.raises(FormatError, match=r"uses features .* \(0x1\): upgrade"):
        await rebuild_store(str(store))


async def test_they_read_back_and_verify(store: Path) -> None:
    async with open_store(str(store)) as opened:
        assert await read(opened, "acme/model/w") == model()
        report = await opened.verify()
        assert (report.exit_status, report.problems) == (0, [])


async def test_they_read_through_damage_and_repair_makes_the_same_shards(store: Path) -> None:
    before = {path: path.read_bytes() for path in shard_files(store)}
    gone, bent = data_shards(store)[:2]
    gone.unlink()
    flip_bit(bent, 5000)
    async with open_store(str(store)) as opened:
        assert await read(opened, "acme/model/w") == model()
        repaired = await opened.verify(repair=True)
        assert repaired.exit_status == 3
        if repaired.unread:  # the damaged one was to spare: who checks next reads it
            assert (await opened.verify(repair=True)).exit_status == 3
        assert (await opened.verify()).exit_status == 0
    assert {path: path.read_bytes() for path in shard_files(store)} == before


async def test_the_index_is_rebuilt_from_them(store: Path) -> None:
    shutil.rmtree(store / "index")
    await rebuild_store(str(store))
    async with open_store(str(store)) as opened:
        assert await read(opened, "acme/model/w") == model()
        assert (await opened.verify()).exit_status == 0


async def test_shards_that_no_record_tells_of_are_found(store: Path) -> None:
    """As after all copies of the record are lost; the ref is known from nothing else then."""
    async with open_store(str(store)) as opened:
        digest = opened.find(parse_address("acme/model/w")).object
    for record in (store / "backends").glob("*/journal/*/*"):
        record.unlink()
    async with open_store(str(store)) as opened:
        report = await opened.verify(repair=True)
        assert report.exit_status == 3
        assert opened.find(parse_address("acme/model/w")).object == digest
    shutil.rmtree(store / "index")
    await rebuild_store(str(store))
    async with open_store(str(store)) as opened:
        assert await read(opened, "acme/model/w") == model()


async def test_rescue_needs_nothing_of_ours(store: Path, tmp_path: Path) -> None:
    backends = sorted((store / "backends").iterdir())
    result = rescue(tmp_path / "out", backends[1:5])
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out/acme/model/w").read_bytes() == model()
