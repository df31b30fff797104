"""What the index hands out: where a chunk lies, and what is known of a pack."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from ...ids import BackendId, PackId, PackNumber, WriterId
from ..formats.chunktable import Kind
from ..formats.journal import NOWHERE, PackStored

NUMBER: Final = struct.Struct(">I")
"""A pack number: as key, in `packids` and as `next_pack` in `meta`."""
HEAD: Final = struct.Struct("<32s32sq")
"""A head of a ref: change id, commit, time."""
REFLOG: Final = struct.Struct(">Q32s")
"""A key in `reflog`: time, change id."""
RECORD: Final = struct.Struct(">16sQ")
"""A key in `lost` and `gaps`: writer id, sequence number."""

WRITER: Final = struct.Struct("<Q32s")
"""A value in `writers`: sequence number, digest."""

_LOCATION: Final = struct.Struct(">IHBBIII")
LOCATION_SIZE: Final = _LOCATION.size
_PACK: Final = struct.Struct("<16sBBBxQQQIxxxxq")
_SHARD: Final = struct.Struct("<16sB")
_UNPLACED: Final = _SHARD.pack(NOWHERE, 1)
"""A shard that no backend took: nowhere, and missing."""
_GAP: Final = struct.Struct(">QB")


class ShardState(IntEnum):
    """What the last look at a shard found."""

    GOOD = 0
    MISSING = 1
    DAMAGED = 2


@dataclass(frozen=True, slots=True)
class LostRecords:
    """Records `first` to `last` of a writer that a rebuild found no sound copy of.

    `open` says that refs which they made or moved may be missing here.
    """

    writer: WriterId
    first: int
    last: int
    open: bool

    def row(self) -> tuple[bytes, bytes]:
        """Key and value in the sub-database `gaps`."""
        return RECORD.pack(self.writer, self.first), _GAP.pack(self.last, self.open)

    @classmethod
    def of_row(cls, key: bytes, value: bytes) -> "LostRecords":
        """What a row of `gaps` says."""
        last, open_ = _GAP.unpack(value)
        writer, first = RECORD.unpack(key)
        return cls(WriterId(writer), first, last, bool(open_))


@dataclass(frozen=True, slots=True)
class Location:
    """One place of a chunk: `offset` and lengths in bytes within the pack of that number."""

    pack: PackNumber
    slot: int
    codec: int
    kind: Kind
    offset: int
    stored: int
    raw: int

    def encode(self) -> bytes:
        """The value in the sub-database `chunks`, 20 bytes."""
        return _LOCATION.pack(
            self.pack, self.slot, self.codec, self.kind, self.offset, self.stored, self.raw
        )

    @classmethod
    def decode(cls, data: bytes) -> "Location":
        """A location from its 20 bytes."""
        pack, slot, codec, kind, offset, stored, raw = _LOCATION.unpack(data)
        return cls(PackNumber(pack), slot, codec, Kind(kind), offset, stored, raw)


@dataclass(frozen=True, slots=True)
class PackRecord:
    """One pack as the index knows it.

    `length` is L and `shard` S of `docs/format.md`; `raw` is the sum of its chunks' raw lengths;
    `checked_ns` is when verify last read all of it (0: never). `backends[i]` holds shard i, and
    `states[i]` says what the last look at it found.
    """

    number: PackNumber
    id: PackId
    k: int
    m: int
    kind: Kind
    length: int
    shard: int
    raw: int
    chunk_count: int
    checked_ns: int
    backends: tuple[BackendId, ...]
    states: tuple[ShardState, ...]

    @staticmethod
    def may_lack(data: bytes) -> bool:
        """Whether a shard of the record in these bytes may have no place: soon told, not surely."""
        return data.find(_UNPLACED, _PACK.size) >= 0

    @property
    def n(self) -> int:
        """k+m."""
        return self.k + self.m

    def encode(self) -> bytes:
        """The value in the sub-database `packs`."""
        head = _PACK.pack(
            self.id,
            self.k,
            self.m,
            self.kind,
            self.length,
            self.shard,
            self.raw,
            self.chunk_count,
            self.checked_ns,
        )
        shards = zip(self.backends, self.states, strict=True)
        return head + b"".join(_SHARD.pack(b, s) for b, s in shards)

    @classmethod
    def decode(cls, number: int, data: bytes) -> "PackRecord":
        """A record from its bytes."""
        id_, k, m, kind, length, shard, raw, count, checked = _PACK.unpack_from(data)
        backends, states = _shards(bytes(data[_PACK.size :]))
        if len(states) != k + m:
            raise ValueError(f"pack {number} has {len(states)} shards, not {k}+{m}")
        return cls(
            PackNumber(number),
            PackId(id_),
            k,
            m,
            Kind(kind),
            length,
            shard,
            raw,
            count,
            checked,
            backends,
            states,
        )

    @classmethod
    def of(cls, number: int, stored: PackStored) -> "PackRecord":
        """The record of a pack that a journal entry announces."""
        return cls(
            PackNumber(number),
            stored.pack,
            stored.k,
            stored.m,
            stored.kind,
            stored.length,
            stored.shard,
            sum(chunk.raw for chunk in stored.chunks),
            len(stored.chunks),
            0,
            stored.locations,
            tuple(
                ShardState.MISSING if where == NOWHERE else ShardState.GOOD
                for where in stored.locations
            ),
        )


@lru_cache(maxsize=4096)
def _shards(data: bytes) -> tuple[tuple[BackendId, ...], tuple[ShardState, ...]]:
    """Where each shard of a pack is, and what was found of it; many packs lie alike."""
    shards = list(_SHARD.iter_unpack(data))
    return tuple(BackendId(b) for b, _ in shards), tuple(ShardState(s) for _, s in shards)
