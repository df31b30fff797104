"""One shard read whole, with what its size and its footer tell about it: also what lies there
instead of it.

Memory: the shard.
"""

import logging

import trio

from ...errors import (
    BackendError,
    CorruptAnswerError,
    FormatError,
    KeyNotFoundError,
    ShardDamagedError,
)
from ...ids import Key, StoreId
from ..capacity import shard_size
from ..encryption.storecipher import StoreCipher
from ..formats.journal import NOWHERE
from ..formats.shard import LONGEST, TRAILER_SIZE, Footer, decode_tail, footer_length
from ..index.records import PackRecord, ShardState
from ..packs.members import Member, Members
from ..packs.pool import Pool
from ..packs.scrutiny import footer_of
from .judgement import Found
from .report import UNSEEN
from .shardbuffers import ShardBuffers

log = logging.getLogger(__name__)


def absent(pool: Pool, pack: PackRecord, index: int) -> Found | None:
    """What to say of a shard that cannot be asked for; None where it can."""
    member = pool.holder(pack, index)
    if member is None:
        never = pack.backends[index] == NOWHERE
        problem = "was never stored" if never else "its backend is gone"
        return Found(None, b"", ShardState.MISSING, problem)
    if member.down:
        return Found(None, b"", pack.states[index], UNSEEN)
    return None


async def read_shard(
    pool: Pool, pack: PackRecord, index: int, size: int | None, buffers: ShardBuffers
) -> Found:
    """One shard, whole; what is wrong with it is in what is returned, nothing is raised.

    `size` is how long it was when somebody looked, bytes, None where nobody did.
    """
    member = pool.holder(pack, index)
    gone = absent(pool, pack, index)
    if gone is not None or member is None:
        return gone or Found(None, b"", ShardState.MISSING, UNSEEN)
    known = pack.states[index]
    try:
        data = await _whole(member, pool.key(pack, index), size, shard_size(pack, index), buffers)
    except KeyNotFoundError:
        return Found(None, b"", ShardState.MISSING, "missing")
    except BackendError as error:
        pool.members.note_failure(member, error)
        # An outage, a refusal: that says nothing about the shard.
        state = ShardState.DAMAGED if isinstance(error, CorruptAnswerError) else known
        return Found(None, b"", state, f"cannot be read: {error}")
    what = f"shard {index} of pack {pack.id.hex()} on {member.name}"
    return found_in(pool.members, pack, index, data, what)


async def _whole(
    member: Member, key: Key, size: int | None, expected: int, buffers: ShardBuffers
) -> memoryview:
    if size != expected:
        # Another pack's shard may lie there, and tells whose it is; what is longer is none.
        size = await member.backend.head(key) if size is None else size
        most = LONGEST if size <= LONGEST else expected
        return memoryview(await member.backend.get(key, most=most))
    # In a thread: pages of new memory are made there, which takes milliseconds.
    buffer = await trio.to_thread.run_sync(buffers.take, size)
    await member.backend.get_into(key, 0, buffer)
    return buffer


def found_in(members: Members, pack: PackRecord, index: int, data: memoryview, what: str) -> Found:
    """What `data` is, that was read as one shard; `what` names it in the log."""
    store, there = members.store, _any_footer(data, members.cipher)
    whose = "" if there is None else _whose(store, pack, index, there)
    if len(data) < pack.shard:
        whole = memoryview(bytes(data) + bytes(pack.shard - len(data)))
        problem = "truncated" if data else "empty"
        problem = f"{whose} lies in its place" if whose else problem
        return Found(whole, b"", ShardState.DAMAGED, problem)
    tail = bytes(data[pack.shard :])
    footer, problem = None, "footer that others contradict"
    try:
        # A footer of the same pack tells as much of it, whichever shard it belongs to.
        sibling = there is not None and (there.store, there.pack) == (store, pack.id)
        footer = footer_of(members, pack, there.index if there and sibling else index, tail, what)
    except (ShardDamagedError, FormatError) as error:
        log.info("%s", error)
        problem = _tail_problem(len(data) - shard_size(pack, index), tail)
    return Found(data[: pack.shard], tail, ShardState.GOOD, "", footer, problem, whose)


def _tail_problem(surplus: int, tail: bytes) -> str:
    if surplus < 0:
        return "truncated"
    if surplus > 0:
        return "more bytes than it should have"
    try:
        footer_length(tail[-TRAILER_SIZE:], "a shard")
    except (ShardDamagedError, FormatError):
        return "damaged trailer"
    return "damaged footer"


def _whose(store: StoreId, pack: PackRecord, index: int, footer: Footer) -> str:
    """Which other shard a footer belongs to; "" if to this one."""
    if footer.store != store:
        return "a shard of another store"
    if footer.pack != pack.id:
        return "a shard of another pack"
    return f"shard {footer.index} of the same pack" if footer.index != index else ""


def _any_footer(data: memoryview, cipher: StoreCipher) -> Footer | None:
    try:
        length = footer_length(bytes(data[-TRAILER_SIZE:]), "a shard") + TRAILER_SIZE
        return decode_tail(bytes(data[-length:]), "a shard", cipher)
    except (ShardDamagedError, FormatError):
        return None
