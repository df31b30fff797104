"""Packs sealed into shards: any k of them give the pack back, by the reference code too."""

import itertools

import pytest
import reedsolo

from modelfloat.cas.buffers import BufferPool
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.shard import decode_tail, hash_blocks
from modelfloat.cas.packs.builder import NewChunk, PackBuilder, SealedPack, pack_limit
from modelfloat.erasure.codec import decode
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import ChunkId
from modelfloat.tests.support import samples

SIZES = [400_000, 1, 700_001, 300_000]


def sealed(scheme: Scheme, sizes: list[int], kind: Kind = Kind.DATA) -> tuple[SealedPack, bytes]:
    slots = BufferPool(4 << 20, 1)
    builder = PackBuilder(kind, 4 << 20, slots)
    data = b""
    for number, size in enumerate(sizes):
        part = samples.noise(f"part {number}", size)
        builder.append(NewChunk(ChunkId(samples.id_of(str(number))), part, size, 0, 0))
        data += part
    return builder.seal(samples.STORE, scheme, BufferPool(4 << 20, 1)), data


@pytest.mark.parametrize("scheme", [Scheme(4, 2), Scheme(3, 0), Scheme(8, 1)])
def test_data_shards_are_the_pack(scheme: Scheme) -> None:
    pack, data = sealed(scheme, SIZES)
    assert (pack.info.k, pack.info.m) == (scheme.k, scheme.m)
    joined = b"".join(pack.payloads[: scheme.k])
    assert joined[: len(data)] == data
    assert not any(joined[len(data) :])
    for index, payload in enumerate(pack.payloads):
        footer = decode_tail(pack.tails[index], "shard")
        assert footer.index == index
        assert footer.blocks[index] == hash_blocks(payload)


def test_any_four_of_six_decode() -> None:
    pack, _ = sealed(Scheme(4, 2), SIZES)
    for lost in itertools.combinations(range(6), 2):
        present = {i: p for i, p in enumerate(pack.payloads) if i not in lost}
        out = {i: bytearray(pack.info.shard) for i in lost}
        decode(Scheme(4, 2), present, out)
        assert all(out[i] == pack.payloads[i] for i in lost)


def test_stock_reedsolo_decodes_a_column() -> None:
    pack, _ = sealed(Scheme(4, 2), SIZES)
    oracle = reedsolo.RSCodec(2, nsize=6)
    for column in range(0, pack.info.shard, 9973):
        word = bytearray(payload[column] for payload in pack.payloads)
        expected = bytes(word[:4])
        word[1] = word[3] = 0
        assert bytes(oracle.decode(word, erase_pos=[1, 3])[0]) == expected


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.OBJECT])
def test_small_and_object_packs_are_copies(kind: Kind) -> None:
    sizes = [1000, 2000] if kind is Kind.DATA else SIZES
    pack, data = sealed(Scheme(4, 2), sizes, kind)
    assert (pack.info.k, pack.info.m) == (1, 2)
    assert all(payload[: len(data)] == data for payload in pack.payloads)
    assert len(pack.payloads) == 3


def test_a_full_pack_takes_no_more() -> None:
    builder = PackBuilder(Kind.DATA, 1000, BufferPool(2000, 1))
    assert builder.fits(1000)
    assert not builder.fits(1001)
    builder.append(NewChunk(ChunkId(bytes(32)), bytes(600), 600, 0, 0))
    assert not builder.fits(401)


@pytest.mark.parametrize(("text", "limit"), [("4+2", 64), ("8+1", 64), ("2+4", 42), ("1+16", 64)])
def test_much_parity_makes_shorter_packs(text: str, limit: int) -> None:
    assert pack_limit(Scheme.parse(text)) == limit << 20
