"""Packs found by their shards alone, where the record that named them is lost.

Every footer says what pack its shard is of, and m+1 of them carry the chunk table: that is all that
a record says of a pack.
"""

import logging
from collections import Counter
from dataclasses import dataclass, replace

import trio

from ...backends.keys import shard_key
from ...errors import BackendError, FormatError, ShardDamagedError
from ...ids import BackendId, PackId, StoreId
from ..encryption.storecipher import StoreCipher
from ..formats.journal import NOWHERE, PackStored
from ..formats.shard import TRAILER_SIZE, Footer, PackInfo, decode_tail, footer_length, join_tails
from ..packs.members import Member, Members

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A pack of which shards were found: its scheme, as their keys say, and where they lie."""

    pack: PackId
    k: int
    m: int
    holders: dict[int, list[BackendId]]


async def read_found(members: Members, store: StoreId, found: Found) -> PackStored | None:
    """What a record would say of a pack; None where fewer than k shards are sound, or no table."""
    if len(found.holders) < found.k:
        return None
    footers: dict[int, tuple[Footer, BackendId]] = {}

    async def read(index: int, holders: list[BackendId]) -> None:
        for id_ in holders:
            member = members.get(id_)
            footer = None
            if member is not None:
                footer = await _footer(member, members.cipher, store, found, index)
            if footer is not None:
                footers[index] = footer, id_
                return

    async with trio.open_nursery() as nursery:
        for index, holders in found.holders.items():
            nursery.start_soon(read, index, holders)
    info = _agreed([footer for footer, _ in footers.values()], found.k)
    if info is None:
        return None
    places = [footers[i][1] if i in footers else NOWHERE for i in range(found.k + found.m)]
    return PackStored(
        info.pack, info.k, info.m, info.kind, info.length, info.shard, tuple(places), info.chunks
    )


async def _footer(
    member: Member, cipher: StoreCipher, store: StoreId, found: Found, index: int
) -> Footer | None:
    """A shard's footer, if it is that of the pack that its key names."""
    key = shard_key(found.pack, index, found.k, found.m)
    what = f"shard {index} of pack {found.pack.hex()} on {member.name}"
    try:
        size = await member.backend.head(key)
        at = max(0, size - TRAILER_SIZE)
        length = footer_length(await member.backend.get(key, at, size - at), what)
        at -= length
        if at < 0:
            return None
        footer = decode_tail(await member.backend.get(key, at, size - at), what, cipher)
    except (BackendError, ShardDamagedError, FormatError) as error:
        log.info("%s", error)
        return None
    said = (footer.store, footer.pack, footer.k, footer.m, footer.index, footer.shard)
    return footer if said == (store, found.pack, found.k, found.m, index, at) else None


def _agreed(footers: list[Footer], k: int) -> PackInfo | None:
    """What at least k footers say together, one of them with the chunk table."""
    versions = Counter(replace(f, index=0, chunks=None, sealed=None) for f in footers)
    for version, count in versions.most_common():
        if count < k:
            break
        info = join_tails(
            [f for f in footers if replace(f, index=0, chunks=None, sealed=None) == version]
        )
        if info is not None:
            return info
    return None
