"""Object packs read back: for objects that the index's mirror lacks."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import trio

from ...errors import (
    BackendError,
    ChunkDamagedError,
    DamageError,
    KeyNotFoundError,
    UnavailableError,
)
from ...ids import BackendId, ObjectId
from ..codecs.registry import decode
from ..formats.chunktable import PACK_SIZE, Kind, PackedChunk
from ..formats.journal import NOWHERE, PackStored
from ..index.records import PackRecord
from .member import Member
from .pool import Pool
from .scrutiny import load_sound
from .verifying import ChunkOpener


async def read_objects(pool: Pool, stored: PackStored) -> dict[ObjectId, bytes]:
    """Every object of a pack that a journal entry announces, by id, verified.

    Its bytes are asked for at once; what the footers say of them only where an object is not what
    its id says. Where its shards do not lie where the entry has them they are looked for: who moved
    them may be heard of later only. DamageError where too few are found; UnavailableError where a
    backend that may have them did not answer just now: that is no damage, and soon over.
    """
    if stored.length <= PACK_SIZE:
        with contextlib.suppress(DamageError):
            return await _read_plain(pool, stored)
    try:
        return await _read(pool, stored)
    except DamageError:
        places, silent = await _where(pool, stored)
    try:
        return await _read(pool, replace(stored, locations=places))
    except DamageError:
        silent = silent or (await _where(pool, stored))[1]
        if silent is not None:
            raise silent from None
        raise


async def _where(
    pool: Pool, stored: PackStored
) -> tuple[tuple[BackendId, ...], UnavailableError | None]:
    """Where the shards of a pack are, as backends that are up say: each on another one where that
    can be, for one that lies may say that it has them all. What one said that did not answer."""
    silent: list[UnavailableError] = []
    pack, holders = PackRecord.of(0, stored), dict[int, list[BackendId]]()

    async def ask(member: Member) -> None:
        try:
            for index in range(pack.n):
                with contextlib.suppress(KeyNotFoundError):
                    await member.backend.head(pool.key(pack, index))
                    holders.setdefault(index, []).append(member.id)
        except BackendError as error:
            pool.members.note_failure(member, error)
            if isinstance(error, UnavailableError):
                silent.append(error)

    async with trio.open_nursery() as nursery:
        for member in pool.members.up():
            nursery.start_soon(ask, member)
    used, places = Counter[BackendId](), []
    for index in range(pack.n):
        place = min(holders.get(index, [NOWHERE]), key=lambda id_: (used[id_], id_))
        used[place] += 1
        places.append(place)
    return tuple(places), next(iter(silent), None)


async def _read_plain(pool: Pool, stored: PackStored) -> dict[ObjectId, bytes]:
    """Read as chunks are: an object's id vouches for it, wherever its bytes came from."""
    pack = PackRecord.of(0, stored)
    data = await pool.load(pack, 0, pack.length, lambda size: memoryview(bytearray(size)))
    opener = ChunkOpener.of(pool.members.cipher, stored.pack)
    return await trio.to_thread.run_sync(decode_objects, data, stored.chunks, opener)


async def _read(pool: Pool, stored: PackStored) -> dict[ObjectId, bytes]:
    pack = PackRecord.of(0, stored)
    data = await load_sound(pool, pack, 0, pack.length)
    opener = ChunkOpener.of(pool.members.cipher, stored.pack)
    return await trio.to_thread.run_sync(decode_objects, data, stored.chunks, opener)


def decode_objects(
    data: memoryview, chunks: Sequence[PackedChunk], opener: ChunkOpener, first: int = 0
) -> dict[ObjectId, bytes]:
    """The objects among `chunks`, from their pack's bytes; ChunkDamagedError if one is not.

    `first` is the slot of the first of them.
    """
    found: dict[ObjectId, bytes] = {}
    for slot, chunk in enumerate(chunks, first):
        if chunk.kind is not Kind.OBJECT:
            continue
        stored = data[chunk.offset : chunk.offset + chunk.stored]
        out = bytearray(chunk.raw)
        decode(chunk.codec, opener.encoded(slot, stored), memoryview(out))
        id_ = opener.ids.object(bytes(out))
        if bytes(id_) != chunk.id:
            raise ChunkDamagedError(f"object {chunk.id.hex()[:16]} is damaged in its pack")
        found[id_] = bytes(out)
    return found
