"""A store of many packs as its journal segments have it: for benches of who reads them.

Packs are of 64 chunks of a mebibyte, one a record, as an add of large models leaves them; each
segment stands for as many records as a compaction puts into one. No shard is there, nor an object.
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from modelfloat.backends.keys import journal_key
from modelfloat.cas.formats.chunktable import FIELDS, MAX_CHUNK, Kind
from modelfloat.cas.formats.journal import Compacted, ListedEntry, PackListed, Record, encode_listed
from modelfloat.cas.formats.shard import shard_length
from modelfloat.cas.gc.compaction import SEGMENT
from modelfloat.config import read_config
from modelfloat.ids import BackendId, PackId, WriterId

CHUNKS: Final = 64
"""Chunks a pack."""
HEAD: Final = 300
"""Bytes, about, that a record of one such pack has besides its chunk table."""
ADDER: Final = WriterId(b"a" * 16)
COLLECTOR: Final = WriterId(b"c" * 16)


def write_segments(store: Path, count: int, copies: int) -> tuple[int, int]:
    """Write the journal of `count` packs into a store with directories of its own; how many
    segments, and the bytes of one copy of all."""
    config = read_config(str(store))
    places = tuple(backend.id for backend in config.backends)
    numbers = iter(range(1, count + 1))
    a_segment = SEGMENT // (48 * CHUNKS + HEAD)
    previous, size, seq = bytes(32), 0, 0
    while some := list(itertools.islice(numbers, a_segment)):
        seq += 1
        entries = [entry for number in some for entry in _part(number, places)]
        record = Record(config.id, COLLECTOR, seq, previous, time.time_ns(), ())
        data = encode_listed(record, entries)
        previous, size = data[-32:], size + len(data)
        for copy in range(copies):
            path = store / "backends" / f"d{copy}" / journal_key(COLLECTOR, seq, copy)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return seq, size


def _part(number: int, places: tuple[BackendId, ...]) -> Iterator[ListedEntry]:
    yield Compacted(ADDER, number, time.time_ns(), number.to_bytes(32))
    yield pack_of(number, places)


def pack_of(number: int, places: tuple[BackendId, ...]) -> PackListed:
    """A pack of random chunks; the same number gives the same pack."""
    table = np.zeros(CHUNKS, FIELDS)
    ids = np.random.default_rng(number).bytes(32 * CHUNKS)
    table["id"] = np.frombuffer(ids, "V32")
    table["stored"] = table["raw"] = MAX_CHUNK
    table["offset"] = np.arange(CHUNKS) * MAX_CHUNK
    length = CHUNKS * MAX_CHUNK
    id_ = PackId(number.to_bytes(16))
    return PackListed(
        id_, 4, 2, Kind.DATA, length, shard_length(length, 4), places, table.tobytes()
    )
