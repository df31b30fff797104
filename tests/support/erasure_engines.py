"""Both erasure engines for parametrised tests, and reedsolo as their oracle."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import reedsolo

from modelfloat.erasure.engine import Engine
from modelfloat.erasure.fallback import NumPyEngine
from modelfloat.erasure.isal import load
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UnsupportedError


def _isal() -> Engine | None:
    try:
        return load()
    except UnsupportedError:
        return None


ISAL = _isal()
NUMPY = NumPyEngine()

needs_isal = pytest.mark.skipif(ISAL is None, reason="ISA-L is not installed")
engines = pytest.mark.parametrize(
    "engine", [pytest.param(ISAL, id="isa-l", marks=needs_isal), pytest.param(NUMPY, id="numpy")]
)


def random_shards(count: int, size: int, seed: int = 1) -> list[bytes]:
    """`count` reproducible buffers of `size` bytes."""
    generator = np.random.default_rng(seed)
    return [generator.bytes(size) for _ in range(count)]


def oracle_parity(scheme: Scheme, data: Sequence[bytes]) -> list[bytes]:
    """The parity shards, by reedsolo on each byte column."""
    coder = reedsolo.RSCodec(scheme.m, nsize=scheme.n)
    words = [coder.encode(bytes(column)) for column in zip(*data, strict=True)]
    return [bytes(word[i] for word in words) for i in range(scheme.k, scheme.n)]


def oracle_data(scheme: Scheme, present: Mapping[int, bytes], size: int) -> list[bytes]:
    """The data shards, by reedsolo with the positions of the missing ones."""
    coder = reedsolo.RSCodec(scheme.m, nsize=scheme.n)
    lost = [i for i in range(scheme.n) if i not in present]
    columns = []
    for b in range(size):
        word = bytes(present[i][b] if i in present else 0 for i in range(scheme.n))
        columns.append(coder.decode(word, erase_pos=lost, only_erasures=True)[0])
    return [bytes(column[i] for column in columns) for i in range(scheme.k)]
