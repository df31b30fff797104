"""docs/rescue.py decodes what every codec encodes, and gives up on what is damaged."""

import runpy
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.codecs import squeeze
from modelfloat.cas.codecs.fields import fields
from modelfloat.cas.codecs.floats import BF16, BF16_SMALL, FP16, FP32, FP64
from modelfloat.cas.codecs.layouts import LAYOUTS
from modelfloat.cas.codecs.palette import PALETTES
from modelfloat.cas.codecs.registry import CODECS
from modelfloat.cas.codecs.single import BYTES
from modelfloat.cas.codecs.zstd import ZSTD
from modelfloat.tests.support.blocks import eights, few
from modelfloat.tests.support.rescuing import SCRIPT
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.weights import normal, weights

GOLDEN = Path(__file__).with_name("golden")
RESCUE: dict[str, Any] = runpy.run_path(str(SCRIPT))
DECODERS: dict[int, Callable[[bytes, int], bytes]] = RESCUE["CODECS"]

SIZES = {"bf16": 2, "fp16": 2, "fp32": 4, "fp64": 8}
ENCODERS = {"bf16": BF16, "small": BF16_SMALL, "fp16": FP16, "fp32": FP32, "fp64": FP64}


def test_it_knows_every_codec() -> None:
    assert set(CODECS) <= set(DECODERS)


def test_an_escape_that_is_listed_twice_is_the_later_one() -> None:
    words = np.frombuffer(normal("fp32", 1 << 19), "<u4").copy()
    words[::3001] = 5
    encoded = bytearray(FP32.encode(memoryview(words.tobytes())) or b"")
    count, first = struct.unpack_from("<II", encoded, 21)
    struct.pack_into("<I", encoded, 25 + 4 * (count - 1), first)
    encoded[25 + 5 * count - 1] = 77
    out = bytearray(words.nbytes)
    FP32.decode(bytes(encoded), memoryview(out))
    assert np.frombuffer(out, "<u4")[first] << 1 >> 24 == 77
    assert DECODERS[FP32.number](bytes(encoded), len(out)) == out


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("odd", [0, 1, 5])
def test_floats(kind: str, encoder: str, odd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squeeze, "SMALLEST", 64)
    for raw in (
        normal(kind, 40_000) + noise("tail", odd),
        weights(kind, 3000) + noise("tail", odd),
        weights(kind, 3000, 3) + bytes(odd),
        bytes(9000 + odd),
    ):
        codec = ENCODERS[encoder]
        encoded = codec.encode(memoryview(raw))
        if encoded is not None:
            assert DECODERS[codec.number](bytes(encoded), len(raw)) == raw


BLOCKS = (
    # Runs of 2, 5 and 1 bytes: the first and last of plane 0, the others of plane 1.
    (7, bytes([3, 2, 0, 0, 5, 0, 1, 1, 0, 0]), b"ab01234c", [b"abc", b"01234"]),
    # Four values of two bytes, two bits each: 0, 1, 2, 3, 3, then nothing.
    (8, bytes([2, 3]) + b"aabbccdd", b"aabbccdddd", [bytes([0b11100100, 0b11])]),
    # Two values of one byte, a bit each.
    (8, bytes([1, 1]) + b"-x", b"x--x--x-", [bytes([0b01001001])]),
    (6, b"", b"abcdef", [b"abcdef"]),
)


@pytest.mark.parametrize(("number", "head", "raw", "planes"), BLOCKS)
@pytest.mark.parametrize("tail", [b"", b"!"])
def test_planes_of_other_codecs(
    number: int, head: bytes, raw: bytes, planes: list[bytes], tail: bytes
) -> None:
    if number == 6:  # Every byte is of its only plane.
        tail = b""
    heads = b"".join(b"\0" + len(plane).to_bytes(4, "little") for plane in planes)
    encoded = head + heads + b"".join(planes) + tail
    assert DECODERS[number](encoded, len(raw + tail)) == raw + tail


@pytest.mark.parametrize("element", LAYOUTS, ids=lambda e: e.name)
@pytest.mark.parametrize("odd", [0, 7])
def test_blocks(element: ElementType, odd: int) -> None:
    layout = LAYOUTS[element]
    raw = eights(layout.block * 200) + noise("tail", odd)
    encoded = fields(layout).encode(memoryview(raw))
    assert encoded is not None
    assert DECODERS[7](bytes(encoded), len(raw)) == raw


@pytest.mark.parametrize("size", PALETTES)
@pytest.mark.parametrize("values", [1, 2, 3, 4, 5, 16, 17, 256])
def test_palettes(size: int, values: int) -> None:
    for raw in few(size, values, 3001), few(size, values, 3001) + b"odd"[: size - 1], bytes(size):
        encoded = PALETTES[size].encode(memoryview(raw))
        assert encoded is not None
        assert DECODERS[8](bytes(encoded), len(raw)) == raw


def test_elements_of_a_byte() -> None:
    raw = eights(5000)
    encoded = BYTES.encode(memoryview(raw))
    assert encoded is not None
    assert DECODERS[6](bytes(encoded), len(raw)) == raw


@pytest.mark.parametrize("name", ["bytes", "fields", "palette-2", "palette-8"])
def test_damage_to_other_codecs_is_met_with_errors_that_it_expects(name: str) -> None:
    number, raw = {"bytes": (6, 4000), "fields": (7, 8003), "palette-2": (8, 6003)}.get(
        name, (8, 24_015)
    )
    encoded = (GOLDEN / f"codec-{name}-v1.bin").read_bytes()
    refused = 0
    for at in [*range(60), *range(60, len(encoded), 101)]:
        for wrong in encoded[:at], encoded[:at] + b"\xff" + encoded[at + 1 :]:
            try:
                DECODERS[number](wrong, raw)
            except RESCUE["UNDECODABLE"]:
                refused += 1
    assert refused > 10


def test_repeated_bytes() -> None:
    assert DECODERS[9](b"abcd", 10) == b"abcdabcdab"
    assert DECODERS[9](b"\0", 1 << 20) == bytes(1 << 20)
    with pytest.raises(RESCUE["UNDECODABLE"]):
        DECODERS[9](b"", 5)


def test_zstd() -> None:
    raw = b"the same again " * 5000
    encoded = ZSTD.encode(memoryview(raw))
    assert encoded is not None
    assert DECODERS[1](bytes(encoded), len(raw)) == raw


@pytest.mark.parametrize("name", ["bf16", "bf16-squeezed", "fp32", "fp32-rounded", "fp64"])
def test_damage_is_met_with_errors_that_it_expects(name: str) -> None:
    number = {"bf16": 2, "fp32": 4, "fp64": 5}[name.partition("-")[0]]
    raw = {2: 6001, 4: 12_003, 5: 12_007}[number]
    encoded = (GOLDEN / f"codec-{name}-v1.bin").read_bytes()
    refused = 0
    for at in [*range(60), *range(60, len(encoded), 101)]:
        for wrong in encoded[:at], encoded[:at] + b"\xff" + encoded[at + 1 :]:
            try:
                DECODERS[number](wrong, raw)
            except RESCUE["UNDECODABLE"]:
                refused += 1
    assert refused > 20
