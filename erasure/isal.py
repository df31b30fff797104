"""Erasure coding with the system's ISA-L, called through ctypes.

Interface: `ec_init_tables` and `ec_encode_data` of ISA-L's `erasure_code.h`. Its field is GF(2^8)
with the polynomial 0x11d, ours. ctypes lets go of the GIL during each call.
"""

import ctypes
from collections.abc import Callable
from typing import Final

import numpy as np

from ..errors import UnsupportedError
from .columns import Column, Columns
from .field import Matrix

SONAME: Final = "libisal.so.2"

# Lengths are C ints; a power of two below 2^31 keeps every step aligned.
_LONGEST_STEP: Final = 1 << 30
# ISA-L makes up to 6 outputs in one pass over the sources and passes again for each further 6:
# the later passes are to find the sources in the L2 cache (10 to 40 % faster for 8 to 16 outputs).
_OUTPUTS_PER_PASS: Final = 6
_CACHED_STEP: Final = 128 << 10


class IsalEngine:
    """ISA-L's `ec_encode_data`."""

    name = "isa-l"

    def __init__(self, library: ctypes.CDLL) -> None:
        integer, pointer = ctypes.c_int, ctypes.c_void_p
        self._init_tables = library.ec_init_tables
        self._init_tables.argtypes = [integer, integer, pointer, pointer]
        self._init_tables.restype = None
        self._encode_data = library.ec_encode_data
        self._encode_data.argtypes = [integer, integer, integer, pointer, pointer, pointer]
        self._encode_data.restype = None

    def compile(self, matrix: Matrix) -> "IsalTransform":
        """Expand the coefficients into ISA-L's tables, 32 bytes for each."""
        rows, columns = matrix.shape
        coefficients = np.ascontiguousarray(matrix)
        tables = np.empty(32 * rows * columns, np.uint8)
        self._init_tables(columns, rows, coefficients.ctypes.data, tables.ctypes.data)
        return IsalTransform(self._encode_data, tables)


class IsalTransform:
    """One matrix, ready to be applied to columns of any length."""

    def __init__(self, encode_data: Callable[..., None], tables: Column) -> None:
        self._encode_data = encode_data
        self._tables = tables

    def __call__(self, columns: Columns) -> None:
        """Fill the targets of `columns` from its sources."""
        inputs, outputs = len(columns.sources), len(columns.targets)
        tables = self._tables.ctypes.data
        step = _LONGEST_STEP if outputs <= _OUTPUTS_PER_PASS else _CACHED_STEP
        for start in range(0, columns.size, step):
            addresses = columns.addresses + np.uintp(start)
            first = addresses.ctypes.data
            length = min(step, columns.size - start)
            self._encode_data(
                length, inputs, outputs, tables, first, first + inputs * addresses.itemsize
            )


def load() -> IsalEngine:
    """Open the library; `UnsupportedError` when the system has none that will do."""
    try:
        return IsalEngine(ctypes.CDLL(SONAME))
    except (OSError, AttributeError) as error:
        raise UnsupportedError(
            f"{SONAME} cannot be used ({error}); install the package libisal2"
        ) from error
