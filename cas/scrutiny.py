"""Finding the shards that lie: footers gathered, blocks checked, the sound ones used.

The footer of every shard holds the BLAKE3 of every 1 MiB block of every shard. So when a chunk does
not verify, the blocks it came from are checked one by one and those that differ are left out.
"""

import logging

import trio
from blake3 import blake3

from ..errors import BackendError, DamageError, ShardDamagedError
from .formats.shard import BLOCK, TRAILER_SIZE, Footer, decode_tail, footer_length
from .pool import Pool, split_range
from .records import PackRecord

log = logging.getLogger(__name__)


async def read_footer(pool: Pool, pack: PackRecord, index: int) -> Footer:
    """The footer of one shard; BackendError or ShardDamagedError when it cannot be had."""
    member = pool.holder(pack, index)
    key = pool.key(pack, index)
    if member is None or member.down:
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
    footer = decode_tail(tail, what)
    if (footer.pack, footer.index, footer.shard) != (pack.id, index, pack.shard):
        raise ShardDamagedError(f"{what} belongs elsewhere: pack {footer.pack.hex()}")
    return footer


async def read_footers(pool: Pool, pack: PackRecord) -> dict[int, Footer]:
    """All sound footers of a pack, by shard."""
    found: dict[int, Footer] = {}

    async def read(index: int) -> None:
        try:
            found[index] = await read_footer(pool, pack, index)
        except (BackendError, ShardDamagedError) as error:
            log.info("%s", error)

    async with trio.open_nursery() as nursery:
        for index in range(pack.n):
            nursery.start_soon(read, index)
    return found


def agreed(footers: dict[int, Footer]) -> list[Footer]:
    """One footer for each version of the truth, the most common first."""
    versions: dict[tuple[bytes, ...], list[Footer]] = {}
    for footer in footers.values():
        versions.setdefault(footer.blocks, []).append(footer)
    ordered = sorted(versions.values(), key=len, reverse=True)
    return [next((f for f in group if f.chunks is not None), group[0]) for group in ordered]


async def load_sound(pool: Pool, pack: PackRecord, offset: int, size: int) -> memoryview:
    """The pack's bytes [offset, offset+size), from blocks that match their hashes only.

    DamageError when too few of them are left. The chunk's own hash is still the caller's to check.
    """
    versions = agreed(await read_footers(pool, pack))
    if not versions:
        raise ShardDamagedError(f"pack {pack.id.hex()}: no shard has a sound footer")
    for number, footer in enumerate(versions):
        try:
            return await _load_by(pool, pack, footer, offset, size)
        except DamageError:
            if number == len(versions) - 1:
                raise
    raise ShardDamagedError(f"pack {pack.id.hex()}: no footer can be trusted")


async def _load_by(
    pool: Pool, pack: PackRecord, footer: Footer, offset: int, size: int
) -> memoryview:
    out = memoryview(bytearray(size))
    for piece in split_range(pack, offset, size):
        end = piece.offset + piece.size
        for block in range(piece.offset // BLOCK, -(-end // BLOCK)):
            data = await _sound_block(pool, pack, footer, piece.shard, block)
            low, high = max(piece.offset, block * BLOCK), min(end, block * BLOCK + len(data))
            at = piece.start + low - piece.offset
            out[at : at + high - low] = data[low - block * BLOCK : high - block * BLOCK]
    return out


async def _sound_block(
    pool: Pool, pack: PackRecord, footer: Footer, shard: int, block: int
) -> memoryview:
    """One block of one shard: as it is if its hash is right, else decoded from sound others."""
    start, size = block * BLOCK, min(BLOCK, pack.shard - block * BLOCK)
    bad: set[int] = set()
    for index in range(pack.n):
        data = memoryview(bytearray(size))
        member = pool.holder(pack, index)
        try:
            if member is None or member.down:
                bad.add(index)
                continue
            await member.backend.get_into(pool.key(pack, index), start, data)
        except BackendError:
            bad.add(index)
            continue
        sound = blake3(data).digest() == footer.blocks[index][32 * block : 32 * block + 32]
        if sound and index == shard:
            return data
        if not sound:
            bad.add(index)
    out = memoryview(bytearray(size))
    await pool.rebuild(pack, shard, start, out, without=frozenset(bad))
    if blake3(out).digest() != footer.blocks[shard][32 * block : 32 * block + 32]:
        raise ShardDamagedError(f"pack {pack.id.hex()}: block {block} of shard {shard} is lost")
    return out
