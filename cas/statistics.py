"""Figures about a store, read from its index. Synchronous parts run in worker threads."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from ..ids import BackendId, ObjectId, PackId, PackNumber
from .formats.chunktable import ENTRY, Kind
from .formats.shard import TRAILER_SIZE, block_count, carries_table
from .formats.tree import Entry, EntryType
from .records import PackRecord, ShardState
from .reports import BackendStatus, StoreStats

if TYPE_CHECKING:
    from .store import Store

_HEAD = 96


def shard_size(pack: PackRecord, index: int) -> int:
    """Bytes that one shard takes on its backend, footer and trailer included."""
    table = ENTRY.size * pack.chunk_count
    carried = table if carries_table(index, pack.k, pack.chunk_count, pack.shard) else 0
    return pack.shard + _HEAD + 32 * pack.n * block_count(pack.shard) + carried + TRAILER_SIZE


def status_of(store: "Store") -> dict[BackendId, tuple[int, int]]:
    """Shards and bytes on each backend, as the index has them."""
    counts: dict[BackendId, tuple[int, int]] = {}
    for pack in store.index.packs():
        for index, backend in enumerate(pack.backends):
            if pack.states[index] is ShardState.GOOD:
                shards, used = counts.get(backend, (0, 0))
                counts[backend] = (shards + 1, used + shard_size(pack, index))
    return counts


async def collect_stats(store: "Store", backends: list[BackendStatus], survives: str) -> StoreStats:
    """All figures of `StoreStats`."""
    return await trio.to_thread.run_sync(_collect, store, tuple(backends), survives)


def _collect(store: "Store", backends: tuple[BackendStatus, ...], survives: str) -> StoreStats:
    unique = encoded = objects = stored = packs = chunks = degraded = 0
    for pack in store.index.packs():
        packs += 1
        stored += sum(shard_size(pack, i) for i in range(pack.n))
        degraded += any(not store.pool.usable(pack, i) for i in range(pack.n))
        if pack.kind is Kind.DATA:
            unique += pack.raw
            encoded += pack.length
            chunks += pack.chunk_count
        else:
            objects += pack.length
    files = logical = 0
    for _, entry in head_files(store):
        files += 1
        logical += entry.size
    return StoreStats(
        len(store.refs.repositories()),
        files,
        logical,
        unique,
        encoded,
        objects,
        stored,
        packs,
        chunks,
        degraded,
        str(store.scheme),
        survives,
        backends,
    )


def head_files(store: "Store") -> Iterator[tuple[str, Entry]]:
    """Every file of every ref's head: `vendor/name@ref/path` and its entry.

    Refs of one repository that point at one commit are walked once, under the first one's name.
    """
    seen: set[tuple[str, ObjectId]] = set()
    for head in store.index.refs():
        if (str(head.repo), head.commit) in seen:
            continue
        seen.add((str(head.repo), head.commit))
        tree = store.objects.commit(head.commit).tree
        yield from _walk(store, f"{head.repo}@{head.ref}", tree)


def _walk(store: "Store", path: str, tree: ObjectId) -> Iterator[tuple[str, Entry]]:
    for entry in store.objects.directory(tree).entries():
        below = f"{path}/{entry.name.decode('utf-8', 'backslashreplace')}"
        if entry.type is EntryType.DIRECTORY:
            yield from _walk(store, below, entry.object)
        elif entry.type is EntryType.FILE:
            yield below, entry


def files_in(store: "Store", packs: set[PackId]) -> list[str]:
    """Files that need a chunk of which every place is in one of `packs`."""
    numbers = {pack.number for pack in store.index.packs() if pack.id in packs}
    return [path for path, entry in head_files(store) if _needs(store, entry, numbers)]


def _needs(store: "Store", entry: Entry, numbers: set[PackNumber]) -> bool:
    recipe = store.objects.recipe(store.objects.manifest(entry.object))
    ids = [span.id for span in recipe.all()]
    return any(
        places and all(place.pack in numbers for place in places)
        for places in store.index.locate(ids)
    )
