"""Numbers as weights are, in every float format: the same everywhere and for ever."""

import struct
from dataclasses import dataclass

import numpy as np

from modelfloat.tests.support.samples import noise


@dataclass(frozen=True)
class Float:
    """Bits of a format's exponent and mantissa."""

    exponent: int
    mantissa: int

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return (1 + self.exponent + self.mantissa) // 8


FORMATS = {"bf16": Float(8, 7), "fp16": Float(5, 10), "fp32": Float(8, 23), "fp64": Float(11, 52)}


def weights(name: str, count: int, mantissa: int = 52) -> bytes:
    """`count` numbers below 1, half as many for each power of two further down, a few next to zero.

    At most `mantissa` bits of each mantissa are used, as a rounding to another format leaves it.
    """
    form, stream = FORMATS[name], noise(name, 16 * count)
    used = min(mantissa, form.mantissa)
    made = bytearray()
    for low, high in struct.iter_unpack("<QQ", stream):
        halvings = (low & 0x7FF ^ 0x7FF).bit_length()
        exponent = (1 << form.exponent - 1) - 13 + halvings if high % 997 else 0
        fraction = (high >> 64 - used) << form.mantissa - used
        word = (low >> 63) << form.exponent | exponent
        made += (word << form.mantissa | fraction).to_bytes(form.size, "little")
    return bytes(made)


def normal(name: str, size: int, seed: int = 1, sigma: float = 0.02) -> bytes:
    """`size` bytes of N(0, sigma), rounded to a format."""
    count = -(-size // FORMATS[name].size)
    values = np.random.default_rng(seed).normal(0, sigma, count)
    if name == "bf16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()[:size]
    return values.astype({"fp16": "<f2", "fp32": "<f4", "fp64": "<f8"}[name]).tobytes()[:size]
