"""Which packs a check reads, and in what order.

Packs with no shard to spare come first, then those that miss any, then packs of objects (without
them no file can be named); of equals those whose last check is longest ago. So a check that is
ended early, or that takes a share of the packs each night, gets through all of them in time.

Memory: some twenty bytes a pack.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...ids import BackendId, ChunkId
from ..capacity import shard_size
from ..formats.chunktable import Kind
from ..formats.tree import EntryType
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from ..missing import nothing_at
from ..objects import Objects
from ..refnames import Address
from ..refs import Refs
from .due import due
from .packset import PackSet
from .reach import Reach, Reached

LOOKUP: Final = 4096
"""Chunks that are looked up at once."""

_ROW: Final = np.dtype([("rank", "u1"), ("checked", "<i8"), ("number", "<u4"), ("size", "<u8")])


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to check: everything, or what `address` holds, or a `share` of all bytes (0 to 1), or
    what is due for everything to be checked once a `period` (seconds; `cas.verify.due`).

    `repair` makes again what is damaged; `rate` bounds reading and writing, in bytes a second.
    """

    repair: bool = False
    address: Address | None = None
    share: float | None = None
    rate: float | None = None
    period: float | None = None

    @property
    def everything(self) -> bool:
        """Whether all packs are checked, and so also what only shows when all are known."""
        return self.address is None and self.share is None and self.period is None

    @property
    def journal(self) -> bool:
        """Whether the journal's copies are checked too: it is small, and each check has them."""
        return self.everything or self.period is not None


@dataclass(frozen=True, slots=True)
class Selection:
    """Packs to check, in order, and the bytes that all their shards take."""

    numbers: "np.ndarray[tuple[int], np.dtype[np.uint32]]"
    size: int


def select(
    index: Index,
    objects: Objects,
    refs: Refs,
    request: VerifyRequest,
    is_up: Callable[[BackendId], bool],
) -> Selection:
    """The packs that a request is about; NotFoundError where its address names nothing."""
    held = None if request.address is None else _held(index, objects, refs, request.address)
    rows = (_row(pack, is_up) for pack in index.packs() if held is None or pack.number in held)
    table = np.fromiter(rows, _ROW)
    table = table[np.lexsort((table["number"], table["checked"], table["rank"]))]
    if request.share is not None:
        # Up to the pack with which the share is reached, and at least one.
        ends = np.cumsum(table["size"])
        wanted = request.share * float(ends[-1]) if len(ends) else 0.0
        table = table[: int(np.searchsorted(ends, wanted)) + 1]
    if request.period is not None:
        table = table[_due(table, request.period, repair=request.repair)]
    return Selection(table["number"].copy(), int(table["size"].sum()))


def _due(table: np.ndarray, period: float, *, repair: bool) -> np.ndarray:
    """Which rows of a table in order are due.

    Packs are whole: one is due when all of its bytes are. What is known to be wrong is due where
    it would be repaired.
    """
    wanted = due(table["checked"], table["size"], time.time_ns(), period)
    oldest = np.argsort(table["checked"], kind="stable")
    ends = np.cumsum(table["size"][oldest].astype(np.float64))
    chosen = (table["rank"] <= 1) if repair else np.zeros(len(table), bool)
    # Half a byte: sums of floats are not exact.
    chosen[oldest[: int(np.searchsorted(ends, wanted + 0.5))]] = True
    return chosen


def _row(pack: PackRecord, is_up: Callable[[BackendId], bool]) -> tuple[int, int, int, int]:
    shards = zip(pack.states, pack.backends, strict=True)
    left = sum(state is ShardState.GOOD and is_up(backend) for state, backend in shards)
    wrong = 1 if left < pack.n else 2 if pack.kind is Kind.OBJECT else 3
    rank = 0 if left <= pack.k and pack.m else wrong
    return rank, pack.checked_ns, pack.number, sum(shard_size(pack, i) for i in range(pack.n))


def _held(index: Index, objects: Objects, refs: Refs, address: Address) -> PackSet:
    """The packs with what an address holds: its chunks and all objects on the way."""
    found = PackSet()
    for ids in batches(chunk_ids(objects, reached(index, objects, refs, address))):
        for places in index.locate([id_ for _, id_ in ids]):
            for place in places:
                found.add(place.pack)
    return found


def reached(index: Index, objects: Objects, refs: Refs, address: Address) -> Iterator[Reached]:
    """The commit of an address, the directories on the way, and all below."""
    reach = Reach(index, objects)
    commit = refs.resolve(address.repo, address.rev)
    tree = objects.commit(commit).tree
    name = str(address)
    yield Reached(name, (commit,))
    for depth, part in enumerate(address.path):
        directory = objects.directory(tree)
        yield Reached(name, (tree, *directory.pages))
        entry = directory.lookup(part)
        if entry is None or (
            entry.type is not EntryType.DIRECTORY and depth + 1 < len(address.path)
        ):
            raise nothing_at(address)
        if entry.type is not EntryType.DIRECTORY:
            if entry.type is EntryType.FILE:
                yield reach.file(name, entry)
            return
        tree = entry.object
    yield from reach.below(name, tree)


def chunk_ids(objects: Objects, items: Iterable[Reached]) -> Iterator[tuple[Reached, ChunkId]]:
    """Every object and every chunk of what was reached; it is raised where a page is damaged."""
    for item in items:
        for id_ in item.objects:
            yield item, ChunkId(id_)
        if item.manifest is not None:
            for span in objects.recipe(item.manifest).all():
                yield item, span.id


def batches(
    ids: Iterable[tuple[Reached, ChunkId]], size: int = LOOKUP
) -> Iterator[list[tuple[Reached, ChunkId]]]:
    """The ids in lists of `size`."""
    batch: list[tuple[Reached, ChunkId]] = []
    for item in ids:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
