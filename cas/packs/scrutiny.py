"""Finding the shards that lie: footers gathered, blocks checked, the sound ones used.

The footer of every shard holds the BLAKE3 of every 1 MiB block of every shard. So when a chunk does
not verify, the blocks it came from are checked one by one and those that differ are left out.
"""

import logging
from collections import Counter

import trio
from blake3 import blake3

from ...erasure.codec import decode
from ...erasure.scheme import Scheme
from ...errors import BackendError, DamageError, FormatError, ShardDamagedError
from ..formats.shard import BLOCK, TRAILER_SIZE, Footer, decode_tail, footer_length
from ..index.records import PackRecord, ShardState
from .fetching import Sighting
from .members import Members
from .pool import Pool, split_range

log = logging.getLogger(__name__)


async def read_footer(
    pool: Pool, pack: PackRecord, index: int, *, even_down: bool = False
) -> Footer:
    """The footer of one shard; BackendError or ShardDamagedError when it cannot be had.

    FormatError when a newer release wrote it. A backend that is down is only asked if `even_down`.
    """
    member = pool.holder(pack, index)
    key = pool.key(pack, index)
    if member is None or (member.down and not even_down):
        raise ShardDamagedError(f"shard {index} of pack {pack.id.hex()}: its backend is down")
    what = f"shard {index} of pack {pack.id.hex()} on {member.name}"
    size = await member.backend.head(key)
    if size < pack.shard + TRAILER_SIZE:
        raise ShardDamagedError(f"{what} is {size} bytes long, too short")
    trailer = await member.backend.get(key, size - TRAILER_SIZE, TRAILER_SIZE)
    length = footer_length(trailer, what)
    if size != pack.shard + length + TRAILER_SIZE:
        raise ShardDamagedError(f"{what} is {size} bytes long, which its trailer contradicts")
    tail = await member.backend.get(key, pack.shard, length + TRAILER_SIZE)
    return footer_of(pool.members, pack, index, tail, what)


def footer_of(members: Members, pack: PackRecord, index: int, tail: bytes, what: str) -> Footer:
    """The footer in a shard's `tail`, if it is this shard's; ShardDamagedError names `what`.

    It has to say of the pack what the index does, so that it can be used with no further check.
    """
    footer = decode_tail(tail, what, members.cipher)
    said = (footer.store, footer.pack, footer.k, footer.m, footer.index)
    sizes = (footer.kind, footer.length, footer.shard, footer.chunk_count)
    if said != (members.store, pack.id, pack.k, pack.m, index) or sizes != (
        pack.kind,
        pack.length,
        pack.shard,
        pack.chunk_count,
    ):
        raise ShardDamagedError(f"{what} belongs elsewhere: pack {footer.pack.hex()}")
    return footer


async def read_footers(pool: Pool, pack: PackRecord) -> dict[int, Footer]:
    """All sound footers of a pack, by shard."""
    found: dict[int, Footer] = {}

    async def read(index: int) -> None:
        try:
            found[index] = await read_footer(pool, pack, index)
        except (BackendError, ShardDamagedError, FormatError) as error:
            log.info("%s", error)

    async with trio.open_nursery() as nursery:
        for index in range(pack.n):
            nursery.start_soon(read, index)
    return found


def agreed(footers: dict[int, Footer]) -> list[Footer]:
    """One footer for each version of the truth, the most common first; all are `footer_of` a pack.

    Versions differ in block hashes or chunk tables. A footer without a table agrees with all those
    that have its block hashes; one with a table stands for its version where there is one.
    """
    by_blocks: dict[tuple[bytes, ...], list[Footer]] = {}
    for footer in footers.values():
        by_blocks.setdefault(footer.blocks, []).append(footer)
    versions: list[Footer] = []
    for group in sorted(by_blocks.values(), key=len, reverse=True):
        tables = Counter((f.chunks, f.sealed) for f in group if f.chunks is not None)
        ranked = [table for table, _ in tables.most_common()]
        with_table = [next(f for f in group if (f.chunks, f.sealed) == t) for t in ranked]
        versions += with_table or group[:1]
    return versions


async def load_sound(pool: Pool, pack: PackRecord, offset: int, size: int) -> memoryview:
    """The pack's bytes [offset, offset+size), from blocks that match their hashes only.

    DamageError when too few of them are left. The chunk's own hash is still the caller's to check.
    """
    versions = agreed(await read_footers(pool, pack))
    if not versions:
        raise ShardDamagedError(f"pack {pack.id.hex()}: no shard has a sound footer")
    for number, footer in enumerate(versions):
        try:
            # Where footers disagree it is not known yet which blocks are the right ones.
            seen = pool.seen if len(versions) == 1 else None
            return await _load_by(pool, pack, footer, offset, size, seen)
        except DamageError:
            if number == len(versions) - 1:
                raise
    raise ShardDamagedError(f"pack {pack.id.hex()}: no footer can be trusted")


async def _load_by(
    pool: Pool,
    pack: PackRecord,
    footer: Footer,
    offset: int,
    size: int,
    seen: Sighting | None,
) -> memoryview:
    out = memoryview(bytearray(size))
    for piece in split_range(pack, offset, size):
        end = piece.offset + piece.size
        for block in range(piece.offset // BLOCK, -(-end // BLOCK)):
            async with pool.decodings.turn(pack.n * BLOCK):
                data = await _sound_block(pool, pack, footer, piece.shard, block, seen)
            low, high = max(piece.offset, block * BLOCK), min(end, block * BLOCK + len(data))
            at = piece.start + low - piece.offset
            out[at : at + high - low] = data[low - block * BLOCK : high - block * BLOCK]
    return out


async def _sound_block(
    pool: Pool,
    pack: PackRecord,
    footer: Footer,
    shard: int,
    block: int,
    seen: Sighting | None,
) -> memoryview:
    """One block of one shard: as it is if its hash is right, else decoded from sound others."""
    start, size = block * BLOCK, min(BLOCK, pack.shard - block * BLOCK)
    sound: dict[int, memoryview] = {}
    answered: set[int] = set()

    def is_sound(index: int, data: memoryview) -> bool:
        return blake3(data).digest() == footer.blocks[index][32 * block : 32 * block + 32]

    async def fetch(index: int) -> None:
        data = pool.decodings.take(size)
        member = pool.holder(pack, index)
        if member is None or member.down:
            return
        try:
            await member.backend.get_into(pool.key(pack, index), start, data)
        except BackendError as error:
            log.info("shard %d of pack %s: %s", index, pack.id.hex(), error)
            return
        answered.add(index)
        if is_sound(index, data):
            sound[index] = data
        elif seen is not None:
            seen(pack, index, ShardState.DAMAGED)

    await fetch(shard)
    if shard not in sound:
        async with trio.open_nursery() as nursery:
            for index in range(pack.n):
                if index != shard:
                    nursery.start_soon(fetch, index)
        if len(answered) < pack.k:
            raise pool.lost(pack, answered)
        if len(sound) < pack.k:
            raise ShardDamagedError(
                f"pack {pack.id.hex()}: {len(sound)} of {pack.n} shards are sound in block "
                f"{block}, {pack.k} are needed"
            )
        out = pool.decodings.take(size)
        scheme = Scheme(pack.k, pack.m)
        await trio.to_thread.run_sync(decode, scheme, sound, {shard: out})
        if not is_sound(shard, out):
            raise ShardDamagedError(f"pack {pack.id.hex()}: block {block} of shard {shard} is lost")
        sound[shard] = out
    return sound[shard]
