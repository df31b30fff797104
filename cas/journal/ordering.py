"""Records of several writers, applied in an order in which nothing is seen that never was.

A change of a ref names the change before it, which another writer may have made. Applied without
that one it would stand as a second head beside what was superseded long ago, until the other record
has come too; and who looks meanwhile, or after a round that was cut off, would be told of updates
that met. So a record waits for those that its changes follow, and for the packs whose shards it
places. Of those that wait for nothing the earliest comes first, by its writer's clock: a shard that
was moved twice, by two writers, is where the later one says, and no entry tells which that is.

Memory: records that are next, `KEPT` bytes of them all together, and what they follow, which may
take five times as much; others are read again.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

import trio

from ...errors import FormatError, one_failure
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
READERS: Final = 4
"""Writers whose first records are asked for at once."""

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
    """The record of that number is next: what it is and follows, None where it is read again.
    `when` says whether it is no segment, then its time: what segments say is older than most.
    With `places` it follows no change of a ref."""

    seq: int
    when: tuple[bool, int]
    places: bool
    kept: tuple[bytes, _Follows] | None


_Turn = tuple[tuple[bool, int], WriterId]
"""A writer, behind when its next record comes."""


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
        self._refused: FormatError | None = None

    async def run(self, writers: Iterable[WriterId]) -> set[WriterId]:
        """Apply what these writers recorded, one record after the other; those of them whose next
        one waits for what none of them has told.

        FormatError where one cannot be read, once the others' are applied.
        """
        left, more = list(dict.fromkeys(writers)), True
        self._refused = None
        while left and more:
            left, more = await self._pass(left)
        if self._refused is not None:
            raise self._refused
        return set(left)

    async def run_all(self, writers: Iterable[WriterId]) -> None:
        """`run`, and what waits then does so no longer, the earliest first: what it follows is
        lost."""
        wanted = list(writers)
        left = await self.run(wanted)
        while left:
            for writer in self._let_go(left):
                found = self._kept(writer) or await self._read(writer)
                self._waiting.pop(writer, None)
                if found is not None:
                    await self._apply(found[0])
            left = await self.run(left) or await self.run(wanted)

    def _let_go(self, left: Iterable[WriterId]) -> list[WriterId]:
        """Whose records wait no longer: all that wait for packs alone, which take no key to make up
        and come into their own later (`cas.journal.lateplaces`); else the earliest one."""
        ordered = sorted(left, key=lambda writer: self._waiting[writer].when)
        return [writer for writer in ordered if self._waiting[writer].places] or ordered[:1]

    async def _pass(self, writers: Iterable[WriterId]) -> tuple[list[WriterId], bool]:
        """Apply what waits for nothing, the earliest first; whose next record waits, and whether
        any was applied."""
        queue: list[_Turn] = []
        waiting: list[WriterId] = []
        applied = False
        await self._line_up_all(queue, writers)
        while queue:
            _, writer = heappop(queue)
            found = self._kept(writer) or await self._read(writer)
            if found is None:
                continue  # it was there, and is not to be had any more
            data, follows = found
            if self._is_early(follows):
                waiting.append(writer)
                continue
            self._waiting.pop(writer, None)
            await self._apply(data)
            applied = True
            await self._line_up(queue, writer)
        return waiting, applied

    async def _line_up_all(self, queue: list[_Turn], writers: Iterable[WriterId]) -> None:
        limiter = trio.CapacityLimiter(READERS)

        async def line_up(writer: WriterId) -> None:
            async with limiter:
                await self._line_up(queue, writer)

        with one_failure():
            async with trio.open_nursery() as nursery:
                for writer in writers:
                    if (noted := self._noted(writer)) is None:
                        nursery.start_soon(line_up, writer)
                    else:
                        heappush(queue, (noted.when, writer))

    async def _line_up(self, queue: list[_Turn], writer: WriterId) -> None:
        """Put a writer where its next record belongs, if it has one."""
        if self._noted(writer) is None:
            try:
                await self._read(writer)
            except FormatError as error:
                self._refused = self._refused or error
                return
        if (noted := self._noted(writer)) is not None:
            heappush(queue, (noted.when, writer))

    def _noted(self, writer: WriterId) -> _Waiting | None:
        """What is noted of a writer's next record; nothing where somebody else applied it
        meanwhile."""
        noted = self._waiting.get(writer)
        return noted if noted and noted.seq == self._index.writer(writer)[0] + 1 else None

    def _kept(self, writer: WriterId) -> tuple[bytes, _Follows] | None:
        noted = self._noted(writer)
        return None if noted is None else noted.kept

    async def _read(self, writer: WriterId) -> tuple[bytes, _Follows] | None:
        """A writer's next record and what it follows, and note it; None where there is none."""
        self._waiting.pop(writer, None)
        data = await self._load_next(writer)
        if data is None:
            return None
        head = decode_head(data, "a journal record")
        name = record_name(writer, head.seq)
        follows = await trio.to_thread.run_sync(self._follows, data, name)
        size = sum(len(each.kept[0]) for each in self._waiting.values() if each.kept is not None)
        kept = (data, follows) if size + len(data) <= KEPT else None
        when = (not says_segment(data), head.time_ns)
        self._waiting[writer] = _Waiting(head.seq, when, not follows.changes, kept)
        return data, follows

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
