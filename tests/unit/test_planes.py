"""The container of planes: each stored as it suits, and nothing that lies gets in."""

import struct

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import MAX_CHUNK
from modelfloat.cas.codecs.planes import Method, decode_planes, encode_planes
from modelfloat.cas.codecs.split import Bytes, join, split
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.sources import noise

HEAD = struct.Struct("<BI")


def uneven(size: int, seed: int = 1) -> Bytes:
    """Bytes as exponents are: a dozen values, some far more often than others."""
    return np.random.default_rng(seed).geometric(0.5, size).astype(np.uint8)


def random(size: int, seed: int = 1) -> Bytes:
    return np.frombuffer(noise(seed, size), np.uint8)


def methods(encoded: bytes, count: int) -> list[int]:
    return [HEAD.unpack_from(encoded, HEAD.size * i)[0] for i in range(count)]


def decoded(encoded: bytes, lengths: list[int], tail: int = 0) -> tuple[list[bytes], bytes]:
    behind = memoryview(bytearray(tail))
    return [bytes(p) for p in decode_planes(encoded, lengths, behind)], bytes(behind)


@pytest.mark.parametrize("size", [1, 2, 100, 100_000, 250_000])
def test_every_method_at_once(size: int) -> None:
    planes = [uneven(size), random(size), np.full(size, 7, np.uint8)]
    encoded = encode_planes([*planes, uneven(200_000, 2)], b"tail")
    assert encoded is not None
    found, tail = decoded(encoded, [size] * 3 + [200_000], 4)
    assert found == [plane.tobytes() for plane in [*planes, uneven(200_000, 2)]]
    assert tail == b"tail"
    if size >= 100:
        wanted = [Method.HUFFMAN, Method.RAW, Method.CONSTANT, Method.HUFFMAN]
        assert methods(encoded, 4) == wanted


def test_two_values_of_which_one_is_rare_come_in_runs() -> None:
    """zstd finds them; a bit for each byte would be an eighth."""
    plane = (np.arange(120_000) // 100 % 5 == 0).astype(np.uint8)
    encoded = encode_planes([plane])
    assert encoded is not None
    assert len(encoded) < len(plane) // 50
    assert decoded(encoded, [len(plane)])[0] == [plane.tobytes()]


def test_planes_that_do_not_shrink_are_no_container() -> None:
    assert encode_planes([random(100_000), random(50_000, 2)]) is None


def test_one_plane_as_large_as_a_chunk() -> None:
    plane = uneven(MAX_CHUNK)
    encoded = encode_planes([plane])
    assert encoded is not None
    assert decoded(encoded, [MAX_CHUNK])[0] == [plane.tobytes()]


def damaged() -> dict[str, bytes]:
    """The container of two planes of 1000 bytes and a tail of 3, made wrong."""
    plane = uneven(1000)
    whole = encode_planes([plane, random(1000)], b"abc")
    assert whole is not None
    first = HEAD.unpack_from(whole)[1]
    body = whole[10:]
    frame = body[:first]

    def heads(one: tuple[int, int], two: tuple[int, int]) -> bytes:
        return HEAD.pack(*one) + HEAD.pack(*two)

    return {
        "nothing": b"",
        "half a head": whole[:7],
        "no planes": whole[:10],
        "cut short": whole[:-4],
        "no tail": whole[:-3],
        "longer tail": whole + b"x",
        "method 99": heads((99, first), (0, 1000)) + body,
        "shorter plane": heads((1, first), (0, 999)) + body,
        "longer plane": heads((1, first), (0, 1001)) + body,
        "longer than a chunk": heads((1, (1 << 32) - 1), (0, 1000)) + body,
        "bytes behind the frame": heads((1, first + 1), (0, 1000)) + frame + b"x" + body[first:],
        "half a frame": heads((1, first - 9), (0, 1000)) + frame[:-9] + body[first:],
        "raw as huffman": heads((1, first), (1, 1000)) + body,
        "two constants": heads((2, 2), (0, 1000)) + b"xx" + body[first:],
        "no constant": heads((2, 0), (0, 1000)) + body[first:],
    }


@pytest.mark.parametrize("case", damaged())
def test_what_does_not_add_up_is_damaged(case: str) -> None:
    with pytest.raises(ChunkDamagedError, match="does not decode"):
        decoded(damaged()[case], [1000, 1000], 3)


def test_planes_longer_than_a_chunk_are_damaged() -> None:
    encoded = encode_planes([uneven(1000)])
    assert encoded is not None
    with pytest.raises(ChunkDamagedError):
        decode_planes(encoded, [MAX_CHUNK, 1], memoryview(b""))


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("count", [1, 7, 100_001])
def test_words_by_planes(size: int, count: int) -> None:
    raw = noise(3, size * count)
    planes = [np.empty(count, np.uint8) for _ in range(size)]
    split(raw, size, planes)
    bits = 8 * size
    for index in {0, count // 2, count - 1}:
        word = int.from_bytes(raw[size * index : size * (index + 1)], "little")
        rotated = (word << 1 | word >> (bits - 1)) & ((1 << bits) - 1)
        assert bytes(int(plane[index]) for plane in planes) == rotated.to_bytes(size, "big")
    out = bytearray(size * count)
    join(planes, size, memoryview(out))
    assert out == raw


def test_words_may_lie_at_any_address() -> None:
    raw = noise(4, 80_001)
    planes = [np.empty(20_000, np.uint8) for _ in range(4)]
    split(memoryview(raw)[1:], 4, planes)
    out = bytearray(80_001)
    join(planes, 4, memoryview(out)[1:])
    assert out[1:] == raw[1:]
