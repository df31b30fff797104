"""Buffers of weights as models have them: normally distributed, in every type that has a codec.

N(0, 0.02) is how layers are commonly initialised, and what published ratios are given for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SIGMA: Final = 0.02
SEED: Final = 1
DRAWS: Final = 1 << 22
"""Weights drawn at a time."""
E4M3_MAX: Final = 448.0
"""The largest E4M3 value; scaled checkpoints map each tensor's largest weight to it."""

Words = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of buffer: what tables call it, its safetensors dtype, its element's bytes.

    `make` casts FP32 draws to it; `zipnn` is the dtype zipnn is told, None where it has
    none for such elements.
    """

    name: str
    dtype: str
    width: int
    make: Callable[[npt.NDArray[np.float32]], Words]
    zipnn: str | None


def raw(kind: Kind, size: int) -> bytes:
    """`size` bytes of a kind, the same at every call: a whole number of elements."""
    return b"".join(blocks(kind, size))


def blocks(kind: Kind, size: int) -> Iterator[bytes]:
    """The same bytes, in pieces."""
    random = np.random.default_rng(SEED)
    count = size // kind.width
    while count:
        step = min(count, DRAWS)
        normal = random.standard_normal(step, dtype=np.float32) * np.float32(SIGMA)
        yield kind.make(normal).tobytes()
        count -= step


def bf16_blocks(size: int) -> Iterator[bytes]:
    """`size` bytes of BF16 weights, in pieces."""
    return blocks(KINDS[0], size)


def bf16(normal: npt.NDArray[np.float32]) -> Words:
    """Rounded to nearest, ties to even, as frameworks cast."""
    bits = normal.view(np.uint32)
    return np.asarray((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, np.uint16)


def _bf16_in_fp32(normal: npt.NDArray[np.float32]) -> Words:
    return bf16(normal).astype(np.uint32) << 16


def _fp64(normal: npt.NDArray[np.float32]) -> Words:
    """Full 52-bit mantissas: the draws' own low bits would be zeros."""
    random = np.random.default_rng(SEED + len(normal))
    return normal.astype(np.float64) * (1 + random.random(len(normal)) * 2.0**-24)


def _e4m3(normal: npt.NDArray[np.float32]) -> Words:
    """The nearest E4M3 value of each weight, scaled to the type's range."""
    values = e4m3_values()
    scaled = np.clip(normal * (E4M3_MAX / (6 * SIGMA)), -E4M3_MAX, E4M3_MAX)
    magnitude = np.abs(scaled)
    middles = (values[1:] + values[:-1]) / 2
    codes = np.searchsorted(middles, magnitude).astype(np.uint8)
    return np.asarray(codes | (np.signbit(scaled).astype(np.uint8) << 7), np.uint8)


def e4m3_values() -> npt.NDArray[np.float64]:
    """The 127 finite magnitudes of E4M3 by code (OCP 8-bit floating point specification)."""
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    subnormal = mantissa * 2.0**-9
    normal = (8 + mantissa) * 2.0 ** (exponent - 10.0)
    return np.where(exponent == 0, subnormal, normal)


def _int8(normal: npt.NDArray[np.float32]) -> Words:
    """Quantised with one scale, six sigma to the largest value."""
    return np.asarray(np.clip(np.rint(normal * (127 / (6 * SIGMA))), -127, 127), np.int8)


KINDS: Final = (
    Kind("BF16", "BF16", 2, bf16, "bfloat16"),
    Kind("FP16", "F16", 2, lambda normal: normal.astype(np.float16), "float16"),
    Kind("FP32", "F32", 4, lambda normal: normal, "float32"),
    Kind("FP64", "F64", 8, _fp64, None),
    Kind("FP8 E4M3", "F8_E4M3", 1, _e4m3, "float8_e4m3fn"),
    Kind("INT8", "I8", 1, _int8, None),
    Kind("FP32 holding BF16", "F32", 4, _bf16_in_fp32, "float32"),
)
