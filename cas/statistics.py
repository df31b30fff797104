"""Figures about a store, read from its index. Synchronous: for worker threads."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from ..erasure.scheme import Scheme
from ..ids import BackendId, ObjectId, PackId, PackNumber
from .capacity import shard_size
from .chunking.regions import element_name
from .codecs.registry import CODECS
from .formats.chunktable import Kind
from .formats.tree import Entry, EntryType
from .index.index import Index
from .index.records import PackRecord, ShardState
from .index.sums import Sum, Sums, total
from .objects import Objects
from .packs.pool import Pool
from .packs.survival import Survival
from .storestats import BackendStatus, KindStats, SchemeStats, StoreStats

LOOKED: Final = 2.0
"""Seconds in which names of files are looked for."""

Files = dict[str, tuple[int, int]]
"""How many files repositories have, and their bytes, by name."""

_NONE: Final[Mapping[PackNumber, Sums]] = MappingProxyType({})


class Statistics:
    """Counts what the index knows."""

    def __init__(self, index: Index, objects: Objects, pool: Pool) -> None:
        self._index = index
        self._objects = objects
        self._pool = pool

    def packs(self) -> list[PackRecord]:
        """All packs, read once for all that is counted of them."""
        return list(self._index.packs())

    def by_backend(
        self, packs: Iterable[PackRecord] | None = None
    ) -> dict[BackendId, tuple[int, int]]:
        """Shards on each backend, and the bytes they take, of `packs` or else of all."""
        counts: dict[BackendId, tuple[int, int]] = {}
        for pack in self._index.packs() if packs is None else packs:
            for index, backend in enumerate(pack.backends):
                if pack.states[index] is ShardState.GOOD:
                    shards, used = counts.get(backend, (0, 0))
                    counts[backend] = (shards + 1, used + shard_size(pack, index))
        return counts

    def encoded(self) -> int:
        """Bytes of all packs, without parity."""
        return sum(pack.length for pack in self._index.packs())

    def collect(
        self,
        scheme: Scheme,
        survives: Survival,
        backends: tuple[BackendStatus, ...],
        files: Files,
        counted: Mapping[PackNumber, Sums] = _NONE,
        packs: Sequence[PackRecord] | None = None,
    ) -> StoreStats:
        """All figures of `StoreStats` but those of repositories.

        `files` are those of all of them, `counted` are sums that the index lacks,
        `packs` all packs where the caller has them.
        """
        packs = self.packs() if packs is None else packs
        data = [pack for pack in packs if pack.kind is Kind.DATA]
        kinds, uncounted = self._kinds(data, counted)
        return StoreStats(
            repositories=len({head.repo for head in self._index.refs()}),
            files=sum(count for count, _ in files.values()),
            logical=sum(size for _, size in files.values()),
            unique=sum(pack.raw for pack in data),
            encoded=sum(pack.length for pack in data),
            objects=sum(pack.length for pack in packs if pack.kind is Kind.OBJECT),
            stored=sum(shard_size(pack, i) for pack in packs for i in range(pack.n)),
            packs=len(packs),
            chunks=sum(pack.chunk_count for pack in data),
            degraded_packs=self._count_degraded(packs),
            scheme=str(scheme),
            unreadable_packs=survives.unreadable,
            survives=survives.text,
            backends=backends,
            kinds=kinds,
            uncounted=uncounted,
            schemes=tuple(SchemeStats(g.schemes, g.packs, g.survives) for g in survives.groups),
        )

    def _kinds(
        self, packs: Sequence[PackRecord], counted: Mapping[PackNumber, Sums]
    ) -> tuple[tuple[KindStats, ...], int]:
        """What the packs hold by element type and codec, and of how many of them nobody knows."""
        known = zip(packs, self._index.sums(packs), strict=True)
        sums = [counted.get(pack.number) if own is None else own for pack, own in known]
        kinds = total(each for own in sums if own is not None for each in own)
        return tuple(map(_kind, sorted(kinds, key=lambda each: -each.raw))), sums.count(None)

    def _count_degraded(self, packs: Iterable[PackRecord]) -> int:
        """How many lack shards: packs that lie alike are looked at once."""
        alike: dict[object, bool] = {}
        count = 0
        for pack in packs:
            key = pack.backends, pack.states
            if key not in alike:
                alike[key] = self._is_degraded(pack)
            count += alike[key]
        return count

    def _is_degraded(self, pack: PackRecord) -> bool:
        return any(not self._pool.usable(pack, index) for index in range(pack.n))

    def files(self) -> Files:
        """Files of every branch's and tag's head of each repository, and their bytes, by its name.

        A repository without files is not among them.
        """
        found: Files = {}
        for path, entry in self.head_files():
            name = _repository(path)
            files, size = found.get(name, (0, 0))
            found[name] = files + 1, size + entry.size
        return found

    def head_files(self) -> Iterator[tuple[str, Entry]]:
        """Every file of every ref's head: `vendor/name@ref/path` and its entry.

        Refs of one repository that point at one commit are walked once, under the first's name.
        """
        seen: set[tuple[str, ObjectId]] = set()
        for head in self._index.refs():
            if (str(head.repo), head.commit) not in seen:
                seen.add((str(head.repo), head.commit))
                tree = self._objects.commit(head.commit).tree
                yield from self._walk(f"{head.repo}@{head.ref}", tree)

    def names_of(self, wanted: AbstractSet[bytes]) -> dict[bytes, str]:
        """Where files are whose BLAKE3 is in `wanted`: the first path of each that is found.

        What is not found in LOOKED seconds is left out.
        """
        found: dict[bytes, str] = {}
        end = time.monotonic() + LOOKED
        for path, entry in self.head_files():
            if len(found) == len(wanted) or time.monotonic() > end:
                break
            digest = self._objects.manifest(entry.object).blake3
            if digest in wanted:
                found.setdefault(digest, path)
        return found

    def _walk(self, path: str, tree: ObjectId) -> Iterator[tuple[str, Entry]]:
        for entry in self._objects.directory(tree).entries():
            below = f"{path}/{entry.name.decode('utf-8', 'backslashreplace')}"
            if entry.type is EntryType.DIRECTORY:
                yield from self._walk(below, entry.object)
            elif entry.type is EntryType.FILE:
                yield below, entry

    def health(self) -> dict[str, str]:
        """What is known of the repositories that damage touches: `degraded`, `unreadable: 3 files`.

        Chunks are looked at only where some pack lacks shards, so a sound store answers at once.
        """
        usable = {
            pack.id: sum(self._pool.usable(pack, i) for i in range(pack.n)) - pack.k
            for pack in self._index.packs()
            if self._is_degraded(pack)
        }
        if not usable:
            return {}
        found = dict.fromkeys(map(_repository, self.files_in(usable.keys())), "degraded")
        lost = Counter(
            map(_repository, self.files_in({p for p, left in usable.items() if left < 0}))
        )
        return {
            **found,
            **{name: f"unreadable: {n:,} file{'s' * (n > 1)}" for name, n in lost.items()},
        }

    def files_in(self, packs: AbstractSet[PackId]) -> list[str]:
        """Files that need a chunk of which every place is in one of `packs`."""
        numbers = {pack.number for pack in self._index.packs() if pack.id in packs}
        return [path for path, entry in self.head_files() if self._needs(entry, numbers)]

    def _needs(self, entry: Entry, numbers: AbstractSet[PackNumber]) -> bool:
        recipe = self._objects.recipe(self._objects.manifest(entry.object))
        places = self._index.locate([span.id for span in recipe.all()])
        return any(all(place.pack in numbers for place in found) for found in places)


def _kind(sums: Sum) -> KindStats:
    codec = CODECS.get(sums.codec)
    element = element_name(sums.element).lower()
    name = f"codec {sums.codec}" if codec is None else codec.name
    return KindStats(element, name, sums.chunks, sums.raw, sums.stored)


def _repository(path: str) -> str:
    """`vendor/name` of `vendor/name@ref/path`."""
    return path.partition("@")[0]
