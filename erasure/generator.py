"""The code itself: which coefficients make parity from data, and missing shards from present ones.

For k ≥ 2 it is the systematic Reed–Solomon code over GF(2^8) that `reedsolo.RSCodec(m, nsize=k+m)`
computes down each byte column (polynomial 0x11d, generator 2, first consecutive root 0). So any k
shards of a pack can be decoded with that library alone, and it is what the tests compare with.

Two cases the format fixes otherwise. For k = 1 every shard is a verbatim copy of the pack, all
coefficients being one: Reed–Solomon would scale each parity shard by a constant and protect no
better, while any copy can be read without decoding. For m = 0 there is no parity.

reedsolo keeps its tables in module globals. Hence the lock, and hence the check of what it
computed: parity from other tables would look well until the day it is needed.
"""

from functools import cache
from threading import Lock
from typing import Final

import numpy as np

from ..errors import UnsupportedError
from .field import POWERS, Matrix, invert, multiply
from .scheme import Scheme

_REEDSOLO_LOCK: Final = Lock()


@cache
def generator_matrix(scheme: Scheme) -> Matrix:
    """What makes all n shards from the k data shards: shape (n, k), read-only, identity on top.

    `UnsupportedError` when the installed reedsolo computes some other code.
    """
    parity = np.ones((scheme.m, 1), np.uint8) if scheme.k == 1 else _reed_solomon(scheme)
    matrix = np.vstack([np.eye(scheme.k, dtype=np.uint8), parity])
    matrix.flags.writeable = False
    return matrix


def parity_matrix(scheme: Scheme) -> Matrix:
    """What makes the m parity shards from the k data shards: shape (m, k), read-only."""
    return generator_matrix(scheme)[scheme.k :]


def recovery_matrix(scheme: Scheme, used: tuple[int, ...], wanted: tuple[int, ...]) -> Matrix:
    """What makes the shards `wanted` from the k shards `used`: shape (len(wanted), k)."""
    generator = generator_matrix(scheme)
    return multiply(generator[list(wanted)], invert(generator[list(used)]))


def _reed_solomon(scheme: Scheme) -> Matrix:
    if scheme.m == 0:
        return np.empty((0, scheme.k), np.uint8)
    columns = _unit_vector_parity(scheme)
    if _syndromes(scheme, columns).any():
        raise UnsupportedError(
            f"erasure scheme {scheme}: the installed reedsolo computes another code; "
            "install reedsolo 1.7"
        )
    return columns


def _unit_vector_parity(scheme: Scheme) -> Matrix:
    import reedsolo  # here, because most commands never encode

    with _REEDSOLO_LOCK:
        coder = reedsolo.RSCodec(scheme.m, nsize=scheme.n)
        parity = [
            bytes(coder.encode(bytes(row))[scheme.k :]) for row in np.eye(scheme.k, dtype=np.uint8)
        ]
    return np.frombuffer(b"".join(parity), np.uint8).reshape(scheme.k, scheme.m).T


def _syndromes(scheme: Scheme, parity: Matrix) -> Matrix:
    """Each unit vector's codeword at the roots 2^0 … 2^(m−1): zeros, and only for this code."""
    exponents = np.outer(np.arange(scheme.m), np.arange(scheme.n - 1, -1, -1))
    return multiply(POWERS[exponents % 255], np.vstack([np.eye(scheme.k, dtype=np.uint8), parity]))
