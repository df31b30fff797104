"""Matrices over GF(2^8) with the polynomial 0x11d: small ones, for coefficients.

Elements are bytes, addition is xor, 2 generates the multiplicative group. Shards are never
multiplied here; that is what the engines are for.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL: Final = 0x11D

Matrix = NDArray[np.uint8]


def _powers_of_two() -> Matrix:
    powers = np.empty(255, np.uint8)
    value = 1
    for exponent in range(255):
        powers[exponent] = value
        value <<= 1
        if value > 0xFF:
            value ^= POLYNOMIAL
    return powers


def _products(powers: Matrix) -> Matrix:
    logarithms = np.zeros(256, np.intp)
    logarithms[powers] = np.arange(255)
    table: Matrix = powers[(logarithms[:, None] + logarithms[None, :]) % 255]
    table[0, :] = table[:, 0] = 0
    return table


POWERS: Final = _powers_of_two()
"""`POWERS[i]` is 2 to the i, for i from 0 to 254."""
PRODUCTS: Final = _products(POWERS)
"""`PRODUCTS[a, b]` is a·b; 64 KiB."""


def multiply(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product, of shapes (a, b) and (b, c)."""
    terms = PRODUCTS[left[:, :, None], right[None, :, :]]
    product: Matrix = np.bitwise_xor.reduce(terms, axis=1)
    return product


def invert(matrix: Matrix) -> Matrix:
    """The inverse of a square matrix, by Gauss–Jordan elimination; ValueError if singular."""
    size = len(matrix)
    work = np.hstack([matrix, np.eye(size, dtype=np.uint8)])
    for column in range(size):
        candidates = np.flatnonzero(work[column:, column])
        if candidates.size == 0:
            raise ValueError("matrix over GF(2^8) is singular")
        pivot = column + int(candidates[0])
        work[[column, pivot]] = work[[pivot, column]]
        work[column] = PRODUCTS[_reciprocal(int(work[column, column])), work[column]]
        factors = work[:, column].copy()
        factors[column] = 0
        work ^= PRODUCTS[factors[:, None], work[column][None, :]]
    return np.ascontiguousarray(work[:, size:])


def _reciprocal(value: int) -> int:
    return int(np.flatnonzero(PRODUCTS[value] == 1)[0])
