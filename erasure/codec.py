"""Encode a pack's data shards and restore missing ones, in buffers of the caller.

The code works down byte columns: byte b of every shard depends on byte b of the others only. So
any range of a shard is encoded or decoded by passing that range of each buffer.

Both functions write in place, copy no shard, release the GIL while they compute, and may run in
several threads at once. Buffers must stay as they are until the call returns.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ..errors import DataLostError
from .columns import Buffer, as_columns
from .engine import Engine, Transform, default_engine
from .generator import parity_matrix, recovery_matrix
from .scheme import Scheme


def engine() -> str:
    """The name of the engine in use: "isa-l" or "numpy"."""
    return default_engine().name


def encode(
    scheme: Scheme,
    data: Sequence[Buffer],
    parity: Sequence[Buffer],
    *,
    using: Engine | None = None,
) -> None:
    """Fill the m `parity` buffers from the k `data` buffers, all of one length in bytes.

    `using` picks an engine for tests and benches. ValueError for a wrong number of buffers, for
    different lengths, and for buffers that are read-only where written, not contiguous, or overlap.
    """
    if len(data) != scheme.k or len(parity) != scheme.m:
        raise ValueError(
            f"scheme {scheme} takes {scheme.k} data and {scheme.m} parity buffers, "
            f"not {len(data)} and {len(parity)}"
        )
    columns = as_columns(data, parity)
    if parity and columns.size:
        _encoder(using or default_engine(), scheme)(columns)


def decode(
    scheme: Scheme,
    present: Mapping[int, Buffer],
    wanted: Mapping[int, Buffer],
    *,
    using: Engine | None = None,
) -> None:
    """Fill the `wanted` buffers, data or parity, from any k of the `present` ones.

    Both map shard indexes to buffers over one and the same range of their shards. Data shards are
    used first: the more of them, the more coefficients are 0 or 1. `using` picks an engine for
    tests and benches. `DataLostError` when fewer than k are present; ValueError for indexes out of
    range or in both mappings, and for buffers as in `encode`.
    """
    _check_indexes(scheme, present, wanted)
    if not wanted:
        return
    if len(present) < scheme.k:
        raise DataLostError(
            f"scheme {scheme}: {len(present)} of {scheme.n} shards are there, {scheme.k} are "
            "needed; bring a lost backend back, then run `modelfloat verify --repair`"
        )
    used, missing = tuple(sorted(present)[: scheme.k]), tuple(sorted(wanted))
    columns = as_columns([present[i] for i in used], [wanted[i] for i in missing])
    if columns.size:
        _decoder(using or default_engine(), scheme, used, missing)(columns)


def _check_indexes(
    scheme: Scheme, present: Mapping[int, Buffer], wanted: Mapping[int, Buffer]
) -> None:
    outside = [i for i in (*present, *wanted) if not 0 <= i < scheme.n]
    if outside:
        raise ValueError(f"scheme {scheme} has shards 0 to {scheme.n - 1}, not {outside[0]}")
    both = present.keys() & wanted.keys()
    if both:
        raise ValueError(f"shard {min(both)} is given both as present and as wanted")


@lru_cache(maxsize=64)
def _encoder(engine: Engine, scheme: Scheme) -> Transform:
    return engine.compile(parity_matrix(scheme))


# 4+2 has 15 patterns of two losses and wants one or both of each; a table is 16 KiB at most.
@lru_cache(maxsize=256)
def _decoder(
    engine: Engine, scheme: Scheme, used: tuple[int, ...], wanted: tuple[int, ...]
) -> Transform:
    return engine.compile(recovery_matrix(scheme, used, wanted))
