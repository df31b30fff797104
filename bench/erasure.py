"""How fast the erasure code is on one core, beside ISA-L called bare on the same buffers.

`python -m modelfloat.bench.erasure` prints a markdown table. Shards are 16 MiB in memory that was
touched before; rates are bytes of data a second, medians of 5. Ours and the peer alternate within
one run, so whatever else the machine does meets both.
"""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from modelfloat.bench.machine import one_core
from modelfloat.erasure import codec, isal
from modelfloat.erasure.columns import Column
from modelfloat.erasure.fallback import NumPyEngine
from modelfloat.erasure.generator import parity_matrix
from modelfloat.erasure.scheme import Scheme

SCHEMES: Final = (Scheme(4, 2), Scheme(10, 4), Scheme(8, 1))
SHARD_SIZE: Final = 16 << 20
ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class Row:
    """Rates of one scheme in bytes of data a second; `lost` is how many data shards decode made."""

    scheme: Scheme
    lost: int
    encode: float
    bare: float
    decode: float
    fallback_encode: float
    fallback_decode: float

    def __str__(self) -> str:
        giga, mega = 1e9, 1e6
        return (
            f"| {self.scheme} | {self.encode / giga:.1f} | {self.bare / giga:.1f} "
            f"| {self.encode / self.bare:.2f} | {self.decode / giga:.1f} ({self.lost} lost) "
            f"| {self.decode / self.encode:.2f} | {self.fallback_encode / mega:.0f} "
            f"| {self.fallback_decode / mega:.0f} |"
        )


HEADER: Final = (
    "| scheme | encode GB/s | bare ISA-L GB/s | encode / bare | decode GB/s | decode / encode "
    "| NumPy encode MB/s | NumPy decode MB/s |\n|---|---|---|---|---|---|---|---|"
)


def rows() -> list[Row]:
    """Measure every scheme on one core; needs ISA-L, `UnsupportedError` without it."""
    with one_core():
        return [_measure(scheme) for scheme in SCHEMES]


def main() -> None:
    """Print the table."""
    print(HEADER)
    for row in rows():
        print(row)


def _measure(scheme: Scheme) -> Row:
    engine, fallback = isal.load(), NumPyEngine()
    random = np.random.default_rng(1)
    data = [random.integers(0, 256, SHARD_SIZE, np.uint8) for _ in range(scheme.k)]
    parity = [np.full(SHARD_SIZE, 1, np.uint8) for _ in range(scheme.m)]
    shards = [*data, *parity]
    lost = range(min(2, scheme.m))
    present = {i: shard for i, shard in enumerate(shards) if i not in lost}
    restored = {i: np.full(SHARD_SIZE, 1, np.uint8) for i in lost}
    rates = _rates(
        scheme.k * SHARD_SIZE,
        {
            "encode": lambda: codec.encode(scheme, data, parity, using=engine),
            "bare": _bare_encode(scheme, data, parity),
            "decode": lambda: codec.decode(scheme, present, restored, using=engine),
            "fallback_encode": lambda: codec.encode(scheme, data, parity, using=fallback),
            "fallback_decode": lambda: codec.decode(scheme, present, restored, using=fallback),
        },
    )
    if not all(np.array_equal(restored[i], data[i]) for i in lost):
        raise RuntimeError(f"{scheme}: decoding returned other bytes")
    return Row(scheme, len(lost), **rates)


def _bare_encode(scheme: Scheme, data: list[Column], parity: list[Column]) -> Callable[[], None]:
    """ISA-L with nothing around it: tables and pointers are ready before the clock starts."""
    library = ctypes.CDLL(isal.SONAME)
    matrix = np.ascontiguousarray(parity_matrix(scheme))
    tables = ctypes.create_string_buffer(32 * scheme.k * scheme.m)
    library.ec_init_tables(scheme.k, scheme.m, ctypes.c_void_p(matrix.ctypes.data), tables)
    sources = (ctypes.c_void_p * scheme.k)(*(shard.ctypes.data for shard in data))
    targets = (ctypes.c_void_p * scheme.m)(*(shard.ctypes.data for shard in parity))
    return lambda: library.ec_encode_data(SHARD_SIZE, scheme.k, scheme.m, tables, sources, targets)


def _rates(size: int, actions: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median rate of each action over `size` bytes; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for round_number in range(ROUNDS + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: size / median(taken) for name, taken in seconds.items()}


if __name__ == "__main__":
    main()
