"""Objects as values: commits, directories and manifests, read from the index's mirror.

Every object that a ref reaches is mirrored in the index, so nothing here touches a backend. All
methods are synchronous reads of one small transaction each: call them in a worker thread where the
event loop must not wait for a disk.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final

from ..errors import ChunkDamagedError, IndexDamagedError
from ..ids import ObjectId
from .formats.chunkids import ChunkIds
from .formats.commit import Commit, decode_commit
from .formats.manifest import Manifest, decode_manifest, decode_page
from .formats.objects import ObjectType, object_type
from .formats.regiontable import decode_region_page
from .formats.tree import Entry, EntryType, Tree, TreeRef, decode_tree_index, find_tree
from .index.index import Index
from .read.recipe import Recipe
from .read.regions import RegionTable

if TYPE_CHECKING:
    from ..cid import Cid

_BATCH: Final = 64
"""Manifests that are read in one transaction: each may have 512 KiB."""

Both = tuple[Entry | None, Entry | None]
"""What two directories have of one name."""
_Part = tuple[Callable[[], Tree], bytes]
"""One tree of a directory, to be read, and the name that it begins with."""


class Objects:
    """Reads objects by id."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def ids(self) -> ChunkIds:
        """What names them."""
        return self._index.ids

    def cid(self, digest: bytes) -> "Cid | None":
        """The CID of a file's or a chunk's raw bytes, by their BLAKE3. None in an encrypted store:
        its chunks' ids are other digests, and who sees a CID could tell which model it is."""
        if self.ids.keyed:
            return None
        from ..cid import raw_cid

        return raw_cid(digest)

    def raw(self, id_: ObjectId) -> bytes:
        """An object's verified bytes; IndexDamagedError if the mirror lacks or garbled it."""
        return self._verified(id_, self._index.object(id_))

    def _verified(self, id_: ObjectId, data: bytes | None) -> bytes:
        if data is None:
            raise IndexDamagedError(
                f"object {id_.hex()[:16]} is not in the index; run `modelfloat verify --repair`"
            )
        if not self._index.ids.fits(id_, data):
            raise ChunkDamagedError(
                f"object {id_.hex()[:16]} is damaged in the index; run `modelfloat verify --repair`"
            )
        return data

    def commit(self, id_: ObjectId) -> Commit:
        """The commit of that id."""
        return decode_commit(self.raw(id_))

    def directory(self, id_: ObjectId) -> "Directory":
        """The directory whose tree, or tree index, has that id."""
        return Directory(self, id_)

    def manifest(self, id_: ObjectId) -> Manifest:
        """The manifest of that id; its pages are read when they are needed."""
        return decode_manifest(self.raw(id_))

    def manifests(self, ids: Iterable[ObjectId]) -> Iterator[Manifest]:
        """The manifests of those ids, in their order; read many at a time."""
        rest = iter(ids)
        while batch := list(islice(rest, _BATCH)):
            for id_, data in zip(batch, self._index.objects(batch), strict=True):
                yield decode_manifest(self._verified(id_, data))

    def recipe(self, manifest: Manifest) -> Recipe:
        """The chunks of a manifest, by file offset."""
        return Recipe(manifest, lambda page: decode_page(self.raw(page)))

    def regions(self, manifest: Manifest) -> RegionTable:
        """The regions of a manifest, by file offset."""
        return RegionTable(manifest, lambda page: decode_region_page(self.raw(page)))

    def find(self, root: ObjectId, path: tuple[bytes, ...]) -> Entry | None:
        """The entry at `path` below the directory `root`; None if there is none."""
        entry = None
        for name in path:
            if entry is not None and entry.type is not EntryType.DIRECTORY:
                return None
            entry = self.directory(entry.object if entry else root).lookup(name)
            if entry is None:
                return None
        return entry


class Directory:
    """A directory's entries, sorted by name; trees of a long one are read one at a time."""

    def __init__(self, objects: Objects, id_: ObjectId) -> None:
        self._objects = objects
        self._id = id_
        data = objects.raw(id_)
        self._trees: list[TreeRef] = []
        # Number and tree of the one last loaded: one tuple, so that threads see both or neither.
        self._current: tuple[int, Tree] | None = None
        if object_type(data) is ObjectType.TREE_INDEX:
            self._trees = decode_tree_index(data)
            self._starts = list(accumulate((t.count for t in self._trees), initial=0))
        else:
            self._current = (0, Tree(data))
            self._starts = [0, len(self._current[1])]

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def pages(self) -> tuple[ObjectId, ...]:
        """The trees under the tree index of a long directory; none for any other."""
        return tuple(tree.id for tree in self._trees)

    @property
    def trees(self) -> list[TreeRef]:
        """All trees that its entries lie in, in order: the root itself, or those under it."""
        if self._trees:
            return self._trees
        tree = self._load(0)
        return [TreeRef(self._id, len(tree), tree[0].name if len(tree) else b"")]

    def tree(self, number: int) -> Tree:
        """One of `trees`."""
        return self._load(number)

    def lookup(self, name: bytes) -> Entry | None:
        """The entry of that name."""
        which = find_tree(self._trees, name) if self._trees else 0
        return None if which < 0 else self._load(which).lookup(name)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Entries from the given index on."""
        for which in range(bisect_right(self._starts, start) - 1, len(self._starts) - 1):
            tree, first = self._load(which), self._starts[which]
            for index in range(max(start - first, 0), len(tree)):
                yield tree[index]

    def entries_unlike(self, other: "Directory | None") -> Iterator[Entry]:
        """Entries of all trees but those that `other` has too."""
        same = other._tree_ids() if other is not None else frozenset()
        for which, id_ in enumerate(self._ordered_ids()):
            if id_ not in same:
                tree = self._load(which)
                yield from (tree[index] for index in range(len(tree)))

    def changes_from(self, other: "Directory | None") -> Iterator[Both]:
        """Every name that is not in both with equal bytes, in order: what the other one has of it,
        and what this one has. Trees that both have are not looked at, nor most of two trees that
        differ in one entry."""
        if other is None:
            yield from ((None, entry) for entry in self.entries())
            return
        if not self._trees and not other._trees:
            yield from _apart(other._load(0), self._load(0))
            return
        before = other._trees_unlike(self)
        after = self._trees_unlike(other)
        if [first for _, first in before] == [first for _, first in after]:
            # Names begin with the same ones in each pair: none is in another pair.
            for (old, _), (new, _) in zip(before, after, strict=True):
                yield from _apart(old(), new())
        else:
            yield from both_of(_entries_of(before), _entries_of(after))

    def _trees_unlike(self, other: "Directory") -> "list[_Part]":
        same = other._tree_ids()
        return [
            (partial(self._load, which), tree.first)
            for which, tree in enumerate(self.trees)
            if tree.id not in same
        ]

    def _ordered_ids(self) -> tuple[ObjectId, ...]:
        return self.pages or (self._id,)

    def _tree_ids(self) -> frozenset[ObjectId]:
        return frozenset(self._ordered_ids())

    def _load(self, which: int) -> Tree:
        current = self._current
        if current is None or current[0] != which:
            current = (which, Tree(self._objects.raw(self._trees[which].id)))
            self._current = current
        return current[1]


def _entries_of(parts: Sequence[_Part]) -> Iterator[Entry]:
    for load, _ in parts:
        tree = load()
        yield from (tree[index] for index in range(len(tree)))


def _apart(old: Tree, new: Tree) -> Iterator[Both]:
    first, last = old.alike(new)
    before = (old[index] for index in range(first, len(old) - last))
    after = (new[index] for index in range(first, len(new) - last))
    return both_of(before, after)


def both_of(left: Iterator[Entry], right: Iterator[Entry]) -> Iterator[Both]:
    """The entries of two directories, both sorted, name by name; equal ones left out."""
    before, after = next(left, None), next(right, None)
    while before or after:
        name = min(entry.name for entry in (before, after) if entry)
        here = before if before and before.name == name else None
        there = after if after and after.name == name else None
        if here != there:
            yield here, there
        before = next(left, None) if here else before
        after = next(right, None) if there else after
