"""Records of several writers, applied in an order in which nothing is seen that never was.

A change of a ref names the change before it, which another writer may have made. Applied without
that one it would stand as a second head beside what was superseded long ago, until the other record
has come too; and who looks meanwhile, or after a round that was cut off, would be told of updates
that met. So a record waits for those that its changes follow, and for the packs whose shards it
places.

Memory: records that wait, `KEPT` bytes of them all together, and what they follow, which may take
five times as much; others are read again.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from ...ids import PackId, WriterId
from ..encryption.storecipher import StoreCipher
from ..formats.journal import (
    NO_ID,
    PackDeleted,
    PackListed,
    RefChanged,
    ShardPlaced,
    decode_head,
    list_entries,
    says_segment,
)
from ..index.index import Index
from ..refnames import RepoName
from .copies import record_name

KEPT: Final = 8 << 20
"""Bytes of records that wait, held in memory."""

LoadNext = Callable[[WriterId], Awaitable[bytes | None]]
"""The record behind the last one of a writer that is applied; None where there is none to be had,
or none is asked for."""
Apply = Callable[[bytes], Awaitable[None]]
"""Applies such a record, unless somebody else has meanwhile."""


@dataclass(frozen=True, slots=True)
class _Follows:
    """What is to be known before a record: what its `changes` change, and packs."""

    changes: tuple[RefChanged, ...] = ()
    packs: tuple[PackId, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """The record of that number waits: what it is and follows, None where it is read again."""

    seq: int
    time_ns: int
    kept: tuple[bytes, _Follows] | None


class InOrder:
    """Applies to `index` what `load_next` finds, by `apply`. Used by one task."""

    def __init__(
        self, index: Index, cipher: StoreCipher, load_next: LoadNext, apply: Apply
    ) -> None:
        self._index = index
        self._cipher = cipher
        self._load_next = load_next
        self._apply = apply
        self._waiting: dict[WriterId, _Waiting] = {}

    async def run(self, writers: Iterable[WriterId]) -> set[WriterId]:
        """Apply what these writers recorded, one record after the other; those of them whose next
        one waits for what none of them has told."""
        left, before = list(dict.fromkeys(writers)), -1
        applied = 0
        while left and applied > before:
            before, waiting = applied, []
            for writer in left:
                count, waits = await self._advance(writer)
                applied += count
                if waits:
                    waiting.append(writer)
            left = waiting
        return set(left)

    async def run_all(self, writers: Iterable[WriterId]) -> None:
        """`run`, and what waits then does so no longer, the earliest first: what it follows is
        lost."""
        wanted = list(writers)
        while left := await self.run(wanted):
            first = min(left, key=lambda writer: self._waiting[writer].time_ns)
            data = await self._next(first)
            self._waiting.pop(first, None)
            if data is not None:
                await self._apply(data)

    async def _advance(self, writer: WriterId) -> tuple[int, bool]:
        """How many records were applied, and whether the next one waits."""
        applied = 0
        while True:
            kept = self._kept(writer)
            if kept is not None and self._is_early(kept[1]):
                return applied, True
            data = await self._next(writer)
            self._waiting.pop(writer, None)
            if data is None:
                return applied, False
            if kept is None and await self._waits(writer, data):
                return applied, True
            await self._apply(data)
            applied += 1

    def _kept(self, writer: WriterId) -> tuple[bytes, _Follows] | None:
        """What is kept of a record that waits; nothing where somebody else applied it meanwhile."""
        waiting = self._waiting.get(writer)
        if waiting is None or waiting.seq != self._index.writer(writer)[0] + 1:
            return None
        return waiting.kept

    async def _next(self, writer: WriterId) -> bytes | None:
        kept = self._kept(writer)
        return await self._load_next(writer) if kept is None else kept[0]

    async def _waits(self, writer: WriterId, data: bytes) -> bool:
        """Note what a record follows if that is not known."""
        head = decode_head(data, "a journal record")
        name = record_name(writer, head.seq)
        follows = await trio.to_thread.run_sync(self._follows, data, name)
        if not self._is_early(follows):
            return False
        size = sum(len(each.kept[0]) for each in self._waiting.values() if each.kept is not None)
        kept = (data, follows) if size + len(data) <= KEPT else None
        self._waiting[writer] = _Waiting(head.seq, head.time_ns, kept)
        return True

    def _follows(self, data: bytes, name: str) -> _Follows:
        """What a record follows that it does not say itself. A segment follows nothing: it says
        what others did, in its order."""
        if says_segment(data):
            return _Follows()
        said: set[bytes] = {NO_ID}
        changes, packs = [], []
        for entry in list_entries(data, name, self._cipher):
            match entry:
                case RefChanged():
                    if entry.previous not in said:
                        changes.append(entry)
                    said.add(entry.id)
                case ShardPlaced():
                    if entry.pack not in said:
                        packs.append(entry.pack)
                case PackListed() | PackDeleted():
                    said.add(entry.pack)
        return _Follows(tuple(changes), tuple(packs))

    def _is_early(self, follows: _Follows) -> bool:
        index = self._index
        return not all(map(self._knows, follows.changes)) or any(
            index.pack_of_id(pack) is None and not index.is_deleted(pack) for pack in follows.packs
        )

    def _knows(self, change: RefChanged) -> bool:
        """Whether what a change follows is a head, or was one and is superseded."""
        repo = RepoName(change.vendor, change.name)
        heads = self._index.ref(repo, change.kind, change.ref)
        if any(head.change == change.previous for head in heads):
            return True
        return self._index.is_superseded(change.previous)
