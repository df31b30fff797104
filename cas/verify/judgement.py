"""What was read of a pack's shards, held against a footer: sound blocks, and the rest made again.

Damage is mended block by block: as long as k shards are sound at a block, that block of all others
can be made again, even where no k shards are sound from end to end.

CPU work, for worker threads. What was read is never changed: several footers may be tried on it.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ...erasure.codec import decode
from ...erasure.scheme import Scheme
from ..encryption.storecipher import CLEAR, StoreCipher
from ..formats.chunktable import PackedChunk
from ..formats.shard import BLOCK, Footer, PackInfo, encode_tail, hash_blocks, join_tails
from ..index.records import ShardState
from ..packs.verifying import ChunkOpener


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one shard. `payload` is None where nothing was, and `problem` says why.

    `state` is what to remember of it, and `footer` its footer if it is a sound one. Where the
    bytes behind the payload are not what they should be, `tail_problem` says how; `whose` says
    which other shard's footer lies there, if it is a sound one.
    """

    payload: memoryview | None
    tail: bytes
    state: ShardState
    problem: str = ""
    footer: Footer | None = None
    tail_problem: str = ""
    whose: str = ""

    @property
    def unread(self) -> bool:
        """Whether nobody looked: it was not needed."""
        return self.payload is None and not self.problem


@dataclass(slots=True)
class Shard:
    """One shard as it should be: its payload, damage mended, and what was wrong with it.

    One that is not `wanted` was not read, and is not made: nobody needs its payload.
    """

    payload: memoryview
    state: ShardState
    problem: str
    sound: list[bool]
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """A pack by one version of its footers.

    `whole` says that all blocks are there or were made again: payloads are as they should be.
    `bad` are the slots of chunks that do not decode to their ids: where the pack is `whole`, they
    were wrong when it was sealed, else they need a block that is lost.
    """

    info: PackInfo
    shards: list[Shard]
    whole: bool
    bad: frozenset[int]
    opener: ChunkOpener

    @property
    def verified(self) -> bool:
        """Whether all chunks decode to their ids."""
        return not self.bad

    def let_go(self, but: Container[int]) -> None:
        """Let go of the payloads that need not be written anew, but for some."""
        for index, shard in enumerate(self.shards):
            if not shard.problem and index not in but:
                shard.payload = memoryview(b"")

    def chunk(self, slot: int) -> memoryview | None:
        """The encoded bytes of one chunk, decrypted; None where a block of it is lost."""
        stored = _stored(self.info.chunks[slot], self.info, self.shards)
        return None if stored is None else self.opener.encoded(slot, stored)


def fresh(size: int) -> memoryview:
    """New memory, not zeroed first."""
    return np.empty(size, np.uint8).data


Take = Callable[[int], memoryview]
"""Gives memory for so many bytes; what lies in it is arbitrary."""


def judge(
    found: Sequence[Found],
    versions: Sequence[Footer],
    take: Take = fresh,
    cipher: StoreCipher = CLEAR,
) -> Judgement | None:
    """What the shards are by the first version that their blocks and chunks confirm.

    Where there is none, by the one that comes nearest; None where no version has a chunk table.
    What is made again lies in memory from `take`. Without the key of an encrypted store blocks
    alone confirm a version.
    """
    nearest: Judgement | None = None
    for footer in versions:
        info = join_tails([footer])
        if info is None:
            continue
        shards = [hold_against(info, index, shard) for index, shard in enumerate(found)]
        whole = _rebuild(info, shards, take)
        opener = ChunkOpener.of(cipher, info.pack)
        bad = _bad_chunks(info, shards, opener)
        judgement = Judgement(info, shards, whole, bad, opener)
        if whole and judgement.verified:
            return judgement
        if nearest is None or _merit(judgement) > _merit(nearest):
            nearest = judgement
    return nearest


def _merit(judgement: Judgement) -> tuple[bool, int]:
    return judgement.whole, -len(judgement.bad)


def hold_against(info: PackInfo, index: int, found: Found) -> Shard:
    """Compare every block, and the tail, with what the version says."""
    count = len(range(0, info.shard, BLOCK))
    if found.payload is None:
        wanted = not found.unread or index < info.k
        return Shard(memoryview(b""), found.state, found.problem, [False] * count, wanted)
    expected, have = info.blocks[index], hash_blocks(found.payload)
    sound = [have[at : at + 32] == expected[at : at + 32] for at in range(0, 32 * count, 32)]
    state, problem = found.state, found.problem
    wrong = [str(block) for block, is_sound in enumerate(sound) if not is_sound]
    if not problem and wrong:
        problem, state = f"damaged in block {', '.join(wrong[:8])}", ShardState.DAMAGED
        if found.whose:
            problem = f"{found.whose} lies in its place"
    elif not problem and found.tail != encode_tail(info, index):
        # Its payload can be read as before: nothing to remember but to write it anew.
        problem = f"footer of {found.whose}" if found.whose else found.tail_problem
    return Shard(found.payload, state, problem, sound)


def _rebuild(info: PackInfo, shards: list[Shard], take: Take) -> bool:
    """Make every block again that is not sound, where k others are; False where one cannot be."""
    for shard in shards:
        if any(shard.sound) and not all(shard.sound):
            shard.payload = memoryview(bytearray(shard.payload))
        elif not any(shard.sound) and shard.wanted:
            shard.payload = take(info.shard)
    for block in range(len(shards[0].sound)):
        _rebuild_block(info, shards, block)
    return all(all(shard.sound) for shard in shards if shard.wanted)


def _rebuild_block(info: PackInfo, shards: list[Shard], block: int) -> None:
    start, end = block * BLOCK, min((block + 1) * BLOCK, info.shard)
    parts = {i: shard.payload[start:end] for i, shard in enumerate(shards) if shard.wanted}
    present = {index: part for index, part in parts.items() if shards[index].sound[block]}
    wanted = {index: part for index, part in parts.items() if index not in present}
    if not wanted or len(present) < info.k:
        return
    decode(Scheme(info.k, info.m), present, wanted)
    for index, part in wanted.items():
        expected = info.blocks[index][32 * block : 32 * block + 32]
        shards[index].sound[block] = blake3(part).digest() == expected


def _bad_chunks(info: PackInfo, shards: list[Shard], opener: ChunkOpener) -> frozenset[int]:
    """The slots of chunks that do not decode to their ids."""
    return frozenset(
        slot
        for slot, chunk in enumerate(info.chunks)
        if (data := _stored(chunk, info, shards)) is None or not opener.verifies(chunk, slot, data)
    )


def _stored(chunk: PackedChunk, info: PackInfo, shards: list[Shard]) -> memoryview | None:
    """A chunk as it is stored; None where a block of it is neither sound nor made again."""
    end = chunk.offset + chunk.stored
    parts = []
    for index in range(chunk.offset // info.shard, -(-end // info.shard)):
        low = max(chunk.offset - index * info.shard, 0)
        high = min(end - index * info.shard, info.shard)
        if not all(shards[index].sound[low // BLOCK : -(-high // BLOCK)]):
            return None
        parts.append(shards[index].payload[low:high])
    return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
