"""What an add is going to lay over a branch's tree: directories whose files stand in packed tables.

A file takes its name and 84 bytes, so a million of them fit in a hundred megabytes. What a file was
when it was found stays in the table, and the item can be had back from it at any time.

Concurrency: changed by one thread at a time.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge as merge_sorted
from typing import Final

from ...errors import UsageError
from ...ids import ObjectId
from ..formats.journal import NO_ID
from ..formats.tree import Entry, EntryType
from .scan import Item

DEFAULT_MODE: Final = 0o755
PERMISSIONS: Final = 0o7777
LEFT_OUT: Final = 0
"""The type of a file that was found but is not to be stored after all."""

MOST: Final = 1 << 63
"""Beyond the size of any file."""

_ROW: Final = struct.Struct("<IBxxxIqqQQQ32s")
"""End of the name, type, mode, mtime, ctime, size, device, inode, manifest."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One staged file: its item, and its place in its table."""

    item: Item
    table: "Leaves"
    index: int

    @property
    def manifest(self) -> ObjectId | None:
        """The manifest it was given; None as long as it has none."""
        return self.table.manifest(self.index)

    def store(self, item: Item, manifest: ObjectId, size: int) -> None:
        """Remember what it became: `item` is what was read in the end, `size` how much."""
        self.table.store(self.index, item, manifest, size)

    def leave_out(self) -> None:
        """It does not go into the tree."""
        self.table.leave_out(self.index)


class Leaves:
    """The files and links of one staged directory."""

    __slots__ = ("_folders", "_last", "_links", "_names", "_order", "_rows", "_sorted", "_starts")

    def __init__(self) -> None:
        self._names = bytearray()
        self._rows = bytearray()
        self._links: dict[int, bytes] = {}
        # Which folder on disk the rows from a start on were found in; where a file is to be called
        # otherwise than on disk, its own path stands there, beginning with NUL.
        self._starts = array("L")
        self._folders: list[bytes] = []
        # Rows by name, where they did not come sorted and without doubles.
        self._sorted = True
        self._last = b""
        self._order: array[int] | None = None

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def append(self, item: Item) -> None:
        """Take one file or link in."""
        index, name = len(self), item.path[-1]
        folder, slash, base = item.source.rpartition(b"/")
        where = folder + slash if base == name else b"\0" + item.source
        if not self._folders or self._folders[-1] != where:
            self._starts.append(index)
            self._folders.append(where)
        if item.type is EntryType.SYMLINK:
            self._links[index] = item.link
        self._names += name
        self._rows += self._packed(len(self._names), item, NO_ID, item.size)
        self._sorted = self._sorted and name > self._last
        self._last, self._order = name, None

    @staticmethod
    def _packed(end: int, item: Item, manifest: bytes, size: int) -> bytes:
        return _ROW.pack(
            end,
            item.type,
            item.mode,
            item.mtime_ns,
            item.ctime_ns,
            size,
            item.device,
            item.inode,
            manifest,
        )

    def store(self, index: int, item: Item, manifest: ObjectId, size: int) -> None:
        """Give a file its manifest, and what stat said when its bytes were read."""
        at = index * _ROW.size
        (end,) = struct.unpack_from("<I", self._rows, at)
        self._rows[at : at + _ROW.size] = self._packed(end, item, manifest, size)

    def leave_out(self, index: int) -> None:
        """Keep a file out of the tree."""
        self._rows[index * _ROW.size + 4] = LEFT_OUT

    def manifest(self, index: int) -> ObjectId | None:
        """A file's manifest, None before it was stored."""
        target = _ROW.unpack_from(self._rows, index * _ROW.size)[-1]
        return None if target == NO_ID else ObjectId(target)

    def name(self, index: int) -> bytes:
        """The name of a row."""
        at = index * _ROW.size
        start = struct.unpack_from("<I", self._rows, at - _ROW.size)[0] if index else 0
        return bytes(self._names[start : struct.unpack_from("<I", self._rows, at)[0]])

    def entries(self) -> Iterator[Entry]:
        """What goes into the tree, sorted by name. UsageError where a name comes twice."""
        last, before = None, 0
        for index in self._by_name():
            name = self.name(index)
            if name == last:
                one, two = self._place(before), self._place(index)
                raise UsageError(
                    f"{shown(name)} is added twice to the same place, from {shown(one)} and "
                    f"{shown(two)}"
                )
            last, before = name, index
            _, type_, mode, mtime_ns, _, size, _, _, target = _ROW.unpack_from(
                self._rows, index * _ROW.size
            )
            if type_ == LEFT_OUT:
                continue
            if type_ == EntryType.SYMLINK:
                target = self._links[index]
                size = len(target)
            yield Entry(name, EntryType(type_), mode & PERMISSIONS, mtime_ns, size, target)

    def files(self, folder: tuple[bytes, ...], sizes: range) -> Iterator[Leaf]:
        """The files of the directory, whose path in the repository is `folder`, of these sizes."""
        for index, row in enumerate(_ROW.iter_unpack(memoryview(self._rows))):
            if row[1] == EntryType.FILE and row[5] in sizes:
                yield Leaf(self._item(index, folder, row), self, index)

    def _place(self, index: int) -> bytes:
        """The path on disk of a row."""
        where = self._folders[bisect_right(self._starts, index) - 1]
        return where[1:] if where.startswith(b"\0") else where + self.name(index)

    def _item(self, index: int, folder: tuple[bytes, ...], row: tuple[int, ...]) -> Item:
        name = self.name(index)
        source = self._place(index)
        _, type_, mode, mtime_ns, ctime_ns, size, device, inode, _ = row
        return Item(
            (*folder, name),
            source,
            EntryType(type_),
            mode,
            size,
            mtime_ns,
            ctime_ns,
            device,
            inode,
        )

    def has(self, name: bytes) -> bool:
        """Whether a file or link of that name is there."""
        order = self._by_name()
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            if self.name(order[middle]) < name:
                low = middle + 1
            else:
                high = middle
        return low < len(order) and self.name(order[low]) == name

    def _by_name(self) -> "range | array[int]":
        if self._sorted:
            return range(len(self))
        if self._order is None:
            self._order = array("L", sorted(range(len(self)), key=self.name))
        return self._order


@dataclass(slots=True)
class Staged:
    """A directory of what is to be added: its own mode and mtime, and what goes into it.

    Without an mtime it stands only for a part of a path: a directory that is there keeps its own
    mode and mtime. If it is `whole`, what is there and not in it is removed.
    """

    mode: int = DEFAULT_MODE
    mtime_ns: int | None = None
    whole: bool = False
    leaves: Leaves = field(default_factory=Leaves)
    folders: "dict[bytes, Staged]" = field(default_factory=dict)

    def directory(self, path: Iterable[bytes]) -> "Staged":
        """The staged directory at `path` below this one, made where it is not there."""
        here = self
        for name in path:
            there = here.folders.get(name)
            if there is None:
                there = here.folders[name] = Staged()
            here = there
        return here

    def put(self, item: Item) -> None:
        """Stage what was found; a file as a place to be filled once it is stored."""
        if item.type is EntryType.DIRECTORY:
            found = self.directory(item.path)
            found.mode = item.mode & PERMISSIONS
            found.mtime_ns = item.mtime_ns
        else:
            self.directory(item.path[:-1]).leaves.append(item)

    def check(self) -> None:
        """UsageError where two things were found for one place."""
        for _ in self.leaves.entries():
            pass
        for name, folder in self.folders.items():
            if self.leaves.has(name):
                raise UsageError(f"{shown(name)} is added both as a file and as a directory")
            folder.check()

    def entries(self) -> "Iterator[tuple[bytes, Entry | Staged]]":
        """Everything in the directory with its name, sorted by name."""
        leaves = ((entry.name, entry) for entry in self.leaves.entries())
        return merge_sorted(leaves, sorted(self.folders.items(), key=_name), key=_name)

    def files(self, folder: tuple[bytes, ...] = (), sizes: range = range(MOST)) -> Iterator[Leaf]:
        """The files of these sizes at or below the directory, whose path in the repository is
        `folder`."""
        yield from self.leaves.files(folder, sizes)
        for name, inner in self.folders.items():
            yield from inner.files((*folder, name), sizes)


def _name(pair: "tuple[bytes, Entry | Staged]") -> bytes:
    return pair[0]


def shown(name: bytes) -> str:
    """A name as messages show it."""
    return name.decode("utf-8", "backslashreplace")
