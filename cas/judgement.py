"""What was read of a pack's shards, held against a footer: sound blocks, and the rest made again.

Damage is mended block by block: as long as k shards are sound at a block, that block of all others
can be made again, even where no k shards are sound from end to end.

CPU work, for worker threads. What was read is never changed: several footers may be tried on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blake3 import blake3

from ..erasure.codec import decode
from ..erasure.scheme import Scheme
from ..errors import ModelFloatError
from .codecs.registry import decode as decode_chunk
from .formats.chunktable import PackedChunk
from .formats.shard import BLOCK, Footer, PackInfo, encode_tail, hash_blocks, join_tails
from .records import ShardState


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one shard. `payload` is None where nothing was, and `problem` says why.

    `state` is what to remember of it, and `footer` its footer if it is a sound one.
    """

    payload: memoryview | None
    tail: bytes
    state: ShardState
    problem: str = ""
    footer: Footer | None = None


@dataclass(slots=True)
class Shard:
    """One shard as it should be: its payload, damage mended, and what was wrong with it."""

    payload: memoryview
    state: ShardState
    problem: str
    sound: list[bool]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A pack by one version of its footers.

    `whole` says that all blocks are there or were made again, `verified` that all chunks then
    decode to their ids. Payloads are as they should be only where `whole`.
    """

    info: PackInfo
    shards: list[Shard]
    whole: bool
    verified: bool


def judge(found: Sequence[Found], versions: Sequence[Footer]) -> Judgement | None:
    """What the shards are by the first version that their blocks and chunks confirm.

    Where there is none, by the one that comes nearest; None where no version has a chunk table.
    """
    nearest: Judgement | None = None
    for footer in versions:
        info = join_tails([footer])
        if info is None:
            continue
        shards = [_hold_against(info, index, shard) for index, shard in enumerate(found)]
        whole = _rebuild(info, shards)
        judgement = Judgement(info, shards, whole, whole and _all_verify(info, shards))
        if judgement.verified:
            return judgement
        if nearest is None or (whole and not nearest.whole):
            nearest = judgement
    return nearest


def _hold_against(info: PackInfo, index: int, found: Found) -> Shard:
    """Compare every block, and the tail, with what the version says."""
    count = len(range(0, info.shard, BLOCK))
    if found.payload is None:
        empty = memoryview(bytes(info.shard))
        return Shard(empty, found.state, found.problem, [False] * count)
    expected, have = info.blocks[index], hash_blocks(found.payload)
    sound = [have[at : at + 32] == expected[at : at + 32] for at in range(0, 32 * count, 32)]
    state, problem = found.state, found.problem
    wrong = [str(block) for block, is_sound in enumerate(sound) if not is_sound]
    if not problem and wrong:
        problem, state = f"damaged in block {', '.join(wrong[:8])}", ShardState.DAMAGED
    elif not problem and found.tail != encode_tail(info, index):
        # Its payload can be read as before: nothing to remember but to write it anew.
        problem = "damaged footer or trailer"
    return Shard(found.payload, state, problem, sound)


def _rebuild(info: PackInfo, shards: list[Shard]) -> bool:
    """Make every block that is not sound again; False where a block cannot be, or is wrong then."""
    blocks = range(len(shards[0].sound))
    if any(sum(shard.sound[block] for shard in shards) < info.k for block in blocks):
        return False
    for shard in shards:
        if not all(shard.sound):
            shard.payload = memoryview(bytearray(shard.payload))
    for block in blocks:
        start, end = block * BLOCK, min((block + 1) * BLOCK, info.shard)
        parts = {index: shard.payload[start:end] for index, shard in enumerate(shards)}
        present = {index: part for index, part in parts.items() if shards[index].sound[block]}
        wanted = {index: part for index, part in parts.items() if index not in present}
        decode(Scheme(info.k, info.m), present, wanted)
        at = 32 * block
        if any(blake3(p).digest() != info.blocks[i][at : at + 32] for i, p in wanted.items()):
            return False
    return True


def _all_verify(info: PackInfo, shards: list[Shard]) -> bool:
    """Whether every chunk of the pack decodes to its id."""
    return all(_verifies(chunk, info, shards) for chunk in info.chunks)


def _verifies(chunk: PackedChunk, info: PackInfo, shards: list[Shard]) -> bool:
    first, start = divmod(chunk.offset, info.shard)
    last = (chunk.offset + chunk.stored - 1) // info.shard
    if first == last:
        data = shards[first].payload[start : start + chunk.stored]
    else:
        joined = b"".join(shards[i].payload for i in range(first, last + 1))
        data = memoryview(joined)[start : start + chunk.stored]
    if chunk.codec:
        out = memoryview(bytearray(chunk.raw))
        try:
            decode_chunk(chunk.codec, data, out)
        except ModelFloatError:
            return False
        data = out
    return blake3(data).digest() == chunk.id
