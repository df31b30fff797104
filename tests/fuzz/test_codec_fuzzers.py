"""Every codec of planes, fuzzed: a decoder fills its buffer or refuses, and touches nothing else;
what an encoder makes of any bytes comes back. A few thousand inputs each by default, a minute each
in the slow matrix.

An input to a decoder is the chunk's raw length (u32) and its encoded bytes.
"""

import struct
from collections.abc import Callable, Iterator

import pytest

from modelfloat.cas.codecs import squeeze
from modelfloat.cas.codecs.floats import BF16, BF16_SMALL, FP16, FP32, FP64
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.codecchecks import LARGEST, coming_back, decoding, golden_inputs
from modelfloat.tests.support.fuzzing import Target, fuzz
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.weights import normal, weights

CODECS = {"bf16": (BF16, 2), "fp16": (FP16, 2), "fp32": (FP32, 4), "fp64": (FP64, 8)}
LENGTHS = {
    "bf16": 6001,
    "bf16-squeezed": 6000,
    "fp16": 6001,
    "fp16-rounded": 5998,
    "fp32": 12_003,
    "fp32-rounded": 12_000,
    "fp64": 12_007,
}


def fit(planes: int) -> Callable[[bytes], bytes]:
    """The first plane's length made what is left of the input, so that the planes add up."""

    def mend(data: bytes) -> bytes:
        if len(data) < 4 + 5 * planes:
            return data
        raw = int.from_bytes(data[:4], "little") % LARGEST
        others = sum(struct.unpack_from("<I", data, 10 + 5 * i)[0] for i in range(planes - 1))
        first = len(data) - 4 - 5 * planes - others - raw % planes
        return data[:5] + struct.pack("<I", first % (1 << 32)) + data[9:]

    return mend


def seeds(name: str) -> Iterator[bytes]:
    """Golden chunks, and one of each method that these have not."""
    yield from golden_inputs(name, LENGTHS)
    codec, size = CODECS[name]
    for chunk in normal(name, 50_000) + b"odd", bytes(size) * 5000, weights(name, 5000, 2):
        encoded = codec.encode(memoryview(chunk))
        assert encoded is not None
        yield struct.pack("<I", len(chunk)) + bytes(encoded)


def decoder(name: str) -> Target:
    codec, planes = CODECS[name]
    return Target(decoding(codec), [*seeds(name)], (ChunkDamagedError,), fit(planes))


@pytest.mark.parametrize("name", CODECS)
def test_decoders_refuse_what_they_cannot_decode(name: str, effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    assert fuzz(decoder(name), inputs, seconds, seed) >= inputs


@pytest.mark.parametrize("name", [*CODECS, "small"])
def test_what_is_encoded_comes_back(
    name: str, effort: tuple[int, float, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(squeeze, "SMALLEST", 64)  # So that small inputs reach it.
    inputs, seconds, seed = effort
    codec = BF16_SMALL if name == "small" else CODECS[name][0]
    kind = "bf16" if name == "small" else name
    chunks = [normal(kind, 6001), weights(kind, 700, 7), weights(kind, 700, 0), noise(1, 999)]
    assert fuzz(Target(coming_back(codec), chunks), inputs // 4, seconds, seed) >= inputs // 4
