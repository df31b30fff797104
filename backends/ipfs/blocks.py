"""Values as blocks: cut, named and put one by one; fetched, checked and joined.

A value is cut every 1 MiB, which is what every node takes and passes on, and where the blocks of a
shard end whose BLAKE3 its footer holds: so those are their CIDs' digests. A small value lies in its
root itself. The root's time is when it was stored, by the node's clock; what is below a millisecond
is drawn at random, so that two keys hardly ever share a root, and the pin of it.

Whatever a node or a gateway answers is compared with its CID.

Concurrency: what is fetched in part is kept for a moment, and fetched once however many ask:
`_coming` and `_recent` change only between awaits.
"""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ...cid import DAG_PB, Cid, cid_of
from ...errors import CorruptAnswerError, one_failure
from ..base import Buffer
from ..staging import pieces, size_of
from ..upload import Approval
from .dagpb import FILE, RAW_TYPE, Node, decode_node, encode_node, file_node

BLOCK: Final = 1 << 20
"""Bytes of a block: Kubo's limit before 0.40."""
INLINE: Final = 32 << 10
"""Bytes of the largest value that lies in its root: a request less."""
PUTS: Final = 4
"""Blocks of one value that are put at once."""
GETS: Final = 8
"""Blocks of one range that are fetched at once."""
RECENT: Final = 16
"""Blocks of which only a part was wanted that are kept: the next range begins in them."""
ROOT: Final = 4 * BLOCK
"""Bytes of the largest node that is looked at."""
_NANOSECONDS: Final = 10**9

Fetch = Callable[[str, Cid, int], Awaitable[bytes]]
"""Fetches the block of a key with that CID, of at most so many bytes."""
Put = Callable[[str, Cid, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Value:
    """A value by its root: its size, its blocks with their sizes, or its bytes where it has none.

    `time` is when it was stored, seconds since the epoch; None where its root does not tell.
    """

    root: Cid
    size: int
    blocks: tuple[tuple[Cid, int], ...]
    data: bytes
    time: float | None


def value_of(root: Cid, node: Node) -> Value:
    """The value of a file's root; ValueError where it is none that we store."""
    if node.kind not in (FILE, RAW_TYPE) or len(node.sizes) != len(node.links):
        raise ValueError("it is no file")
    blocks = tuple((link.cid, size) for link, size in zip(node.links, node.sizes, strict=True))
    size = len(node.data) + sum(size for _, size in blocks)
    if size != node.size or (node.data and blocks) or any(each > BLOCK for _, each in blocks):
        raise ValueError("it is no file that was stored here")
    time = None if node.time_ns is None else node.time_ns / _NANOSECONDS
    return Value(root, size, blocks, node.data, time)


def stamp(now: float | None) -> int | None:
    """A time in nanoseconds, those below a millisecond drawn at random."""
    return None if now is None else int(now * 1000) * 1_000_000 + secrets.randbelow(1_000_000)


async def put_value(put: Put, key: str, parts: Sequence[Buffer], time_ns: int | None) -> Value:
    """Put the blocks of a value, and its root last; `time_ns` is a `stamp`."""
    if size_of(parts) <= INLINE:
        data = b"".join(bytes(memoryview(part)) for part in parts)
        node = file_node([], time_ns, data)
    else:
        blocks = await put_blocks(put, key, parts)
        node = file_node(blocks, time_ns)
    block = encode_node(node)
    root = cid_of(block, DAG_PB)
    await put(key, root, block)
    return value_of(root, node)


async def put_blocks(put: Put, key: str, parts: Sequence[Buffer]) -> list[tuple[Cid, int]]:
    """Put what `parts` hold, PUTS blocks at once; the CIDs and sizes of the blocks, in order."""
    left = iter(enumerate(pieces(parts, BLOCK, Approval())))
    taking = trio.Lock()
    found: dict[int, tuple[Cid, int]] = {}

    async def work() -> None:
        while True:
            async with taking:  # a generator is not for two threads at once
                piece = await trio.to_thread.run_sync(_next, left)
            if piece is None:
                return
            number, block, cid = piece
            found[number] = (cid, len(block))
            await put(key, cid, block)

    with one_failure():
        async with trio.open_nursery() as nursery:
            for _ in range(min(PUTS, -(-size_of(parts) // BLOCK))):
                nursery.start_soon(work)
    return [found[number] for number in range(len(found))]


class Blocks:
    """Blocks fetched on behalf of the backend `name`, each compared with its CID."""

    def __init__(self, name: str, fetch: Fetch) -> None:
        self._name = name
        self._fetch = fetch
        self._recent: OrderedDict[Cid, bytes] = OrderedDict()
        self._coming: dict[Cid, trio.Event] = {}

    async def root(self, key: str, cid: Cid) -> Value:
        """The value with that root; CorruptAnswerError where it is none of ours."""
        try:
            return value_of(cid, await self.node(key, cid))
        except ValueError as error:
            raise damaged(self._name, key, f"the block {cid} is no root of it ({error})") from None

    async def node(self, key: str, cid: Cid) -> Node:
        """The node with that CID; ValueError where it is none."""
        if cid.codec != DAG_PB:
            raise ValueError("it is no node")
        return decode_node(await self._checked(key, cid, ROOT))

    async def fill(self, key: str, value: Value, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes of a value from `offset` on, which it has."""
        if value.data:
            target[:] = value.data[offset : offset + len(target)]
            return
        spans = _spans(value, offset, target)

        async def work() -> None:
            for cid, size, begin, part in spans:
                await self._fill_part(key, cid, size, begin, part)

        with one_failure():
            async with trio.open_nursery() as nursery:
                for _ in range(min(GETS, len(target) // BLOCK + 2)):
                    nursery.start_soon(work)

    async def _fill_part(self, key: str, cid: Cid, size: int, begin: int, part: memoryview) -> None:
        if len(part) == size and cid not in self._recent and cid not in self._coming:
            block = await self._checked(key, cid, size)
        else:
            block = await self._kept(key, cid, size)
        if len(block) != size:
            raise damaged(self._name, key, f"the block {cid} has another size than its root says")
        part[:] = memoryview(block)[begin : begin + len(part)]

    async def _kept(self, key: str, cid: Cid, size: int) -> bytes:
        """A block of which more may be wanted soon."""
        while cid not in self._recent:
            coming = self._coming.get(cid)
            if coming is not None:
                await coming.wait()
                continue
            self._coming[cid] = trio.Event()
            try:
                self._recent[cid] = await self._checked(key, cid, size)
            finally:
                self._coming.pop(cid).set()
        self._recent.move_to_end(cid)
        block = self._recent[cid]
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return block

    async def _checked(self, key: str, cid: Cid, most: int) -> bytes:
        block = await self._fetch(key, cid, most)
        if not await trio.to_thread.run_sync(cid.names, block):
            raise damaged(self._name, key, f"the block {cid} comes as other bytes than it names")
        return block


def damaged(backend: str, key: str, problem: str) -> CorruptAnswerError:
    """The error for a value that is not whole."""
    return CorruptAnswerError(
        f"backend {backend}: {key}: {problem}, so it is damaged there; run `modelfloat verify "
        "--repair`",
        backend=backend,
        key=key,
    )


def _spans(
    value: Value, offset: int, target: memoryview
) -> Iterator[tuple[Cid, int, int, memoryview]]:
    """The blocks in which a range lies: CID, size, where it begins there, and where that goes."""
    at, end = 0, offset + len(target)
    for cid, size in value.blocks:
        begin, stop = max(offset, at), min(end, at + size)
        if begin < stop:
            yield cid, size, begin - at, target[begin - offset : stop - offset]
        at += size


def _next(left: Iterator[tuple[int, bytes]]) -> tuple[int, bytes, Cid] | None:
    piece = next(left, None)
    return None if piece is None else (*piece, cid_of(piece[1]))
