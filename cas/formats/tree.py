"""Trees: directories as sorted entries, split by content when long. `docs/format.md`, Tree."""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...errors import ChunkDamagedError
from ...ids import ID_SIZE, ObjectId
from .chunkids import PLAIN, ChunkIds
from .objects import ObjectType, expect, header

SPLIT_SIZE: Final = 256 << 10
"""A tree of an index ends before it would exceed this many bytes."""

_COUNT: Final = struct.Struct("<8xI")
_ENTRY: Final = struct.Struct("<BxHqQHH")
_INDEX_ENTRY: Final = struct.Struct("<32sIH")
_OFFSET: Final = struct.Struct("<I")


class EntryType(IntEnum):
    """What a tree entry names."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


_TYPES: Final = {int(kind): kind for kind in EntryType}
"""By their numbers: a call of the class for each of many thousand entries would take longer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory.

    `mode` is the permission bits, `mtime_ns` nanoseconds since the epoch, `size` bytes (for a
    directory of all files beneath it). `target` is the object id of a file's manifest or of a
    directory's tree, or a symbolic link's text. `name` is bytes, as the system gave them.
    """

    name: bytes
    type: EntryType
    mode: int
    mtime_ns: int
    size: int
    target: bytes

    @property
    def object(self) -> ObjectId:
        """The manifest's or tree's id; only for files and directories."""
        return ObjectId(self.target)


@dataclass(frozen=True, slots=True)
class TreeRef:
    """One tree of a tree index."""

    id: ObjectId
    count: int
    first: bytes


class Tree:
    """One tree object, read in place: lookups do not parse the other entries."""

    __slots__ = ("_data", "_offsets")

    def __init__(self, data: bytes) -> None:
        expect(data, ObjectType.TREE, _COUNT.size)
        (count,) = _COUNT.unpack_from(data)
        if _COUNT.size + 4 * count > len(data):
            raise ChunkDamagedError("a tree is shorter than it says")
        self._data = data
        self._offsets = struct.unpack_from(f"<{count}I", data, _COUNT.size)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Entry:
        return self._entry(self._offsets[index])

    def start(self, index: int) -> int:
        """Where in the tree's bytes an entry begins."""
        return int(self._offsets[index])

    def lookup(self, name: bytes) -> Entry | None:
        """The entry of that name, by binary search."""
        index = bisect_left(self._offsets, name, key=self._name)
        if index < len(self._offsets) and self._name(self._offsets[index]) == name:
            return self[index]
        return None

    def alike(self, other: "Tree") -> tuple[int, int]:
        """How many entries of both are equal at the beginning, and how many of the others at the
        end, where that is soon told: by comparing bytes, if all entries lie at the same offsets."""
        if self._offsets != other._offsets or len(self._data) != len(other._data):
            return 0, 0
        ends, count = (*self._offsets, len(self._data)), len(self)

        def same(start: int, end: int) -> bool:
            return self._data[ends[start] : ends[end]] == other._data[ends[start] : ends[end]]

        first = bisect_left(range(count), True, key=lambda i: not same(0, i + 1))
        last = bisect_left(range(count - first), True, key=lambda i: not same(count - 1 - i, count))
        return first, last

    def _name(self, at: int) -> bytes:
        if at + _ENTRY.size > len(self._data):
            raise ChunkDamagedError("a tree's entry lies outside of it")
        length = _ENTRY.unpack_from(self._data, at)[4]
        return self._data[at + _ENTRY.size : at + _ENTRY.size + length]

    def _entry(self, at: int) -> Entry:
        name = self._name(at)
        type_, mode, mtime_ns, size, _, target_length = _ENTRY.unpack_from(self._data, at)
        start = at + _ENTRY.size + len(name)
        target = self._data[start : start + target_length]
        kind = _TYPES.get(type_)
        if kind is None or not is_entry_name(name):
            raise ChunkDamagedError("a tree has an entry that cannot be")
        if len(target) != target_length or (
            kind is not EntryType.SYMLINK and len(target) != ID_SIZE
        ):
            raise ChunkDamagedError("a tree's entry is cut short")
        return Entry(name, kind, mode, mtime_ns, size, target)


def target_offsets(data: bytes) -> Iterator[int]:
    """Where in a tree's bytes the ids of manifests and trees stand; ChunkDamagedError if it is
    none."""
    tree = Tree(data)
    for index in range(len(tree)):
        entry = tree[index]
        if entry.type is not EntryType.SYMLINK:
            yield tree.start(index) + _ENTRY.size + len(entry.name)


def tree_offsets(data: bytes) -> Iterator[int]:
    """Where in a tree index's bytes the ids of its trees stand; ChunkDamagedError if it is none."""
    at = _COUNT.size
    for ref in decode_tree_index(data):
        yield at
        at += _INDEX_ENTRY.size + len(ref.first)


def is_entry_name(name: bytes) -> bool:
    """Whether a directory may hold `name`."""
    plain = 0 < len(name) <= 0xFFFF and name not in (b".", b"..")
    return plain and b"/" not in name and b"\0" not in name


class Splitter:
    """Cuts the entries of a directory into trees, by content: one changed name changes the trees
    beside it only. Where a tree ends depends on nothing that lies before its first entry."""

    __slots__ = ("_group", "_size")

    def __init__(self) -> None:
        self._group: list[Entry] = []
        self._size = _COUNT.size

    def push(self, entry: Entry) -> list[Entry] | None:
        """Take the next entry in; what lies in the tree that ended before it or with it, if any."""
        length = _length(entry)
        ended = self.take() if self.ends_before(entry) else None
        self._group.append(entry)
        self._size += length
        if len(self._group) >= 64 and int.from_bytes(blake3(entry.name).digest(2), "big") >> 6 == 0:
            return self.take()
        return ended

    def ends_before(self, entry: Entry) -> bool:
        """Whether the tree that is open has no room for the entry that comes next."""
        return bool(self._group) and self._size + _length(entry) > SPLIT_SIZE

    @property
    def is_open(self) -> bool:
        """Whether entries wait for the end of their tree."""
        return bool(self._group)

    def take(self) -> list[Entry]:
        """End the tree that is open; its entries."""
        group, self._group, self._size = self._group, [], _COUNT.size
        return group


def _length(entry: Entry) -> int:
    return 4 + _ENTRY.size + len(entry.name) + len(entry.target)


def encode_tree(entries: Iterable[Entry], ids: ChunkIds = PLAIN) -> Iterator[bytes]:
    """The objects of a directory, its root (a tree, or a tree index) last; one at a time.

    Entries must be sorted by name, without doubles; no more of them than make one tree are held.
    `ids` names the store's objects.
    """
    refs: list[TreeRef] = []
    for group in _groups(entries):
        tree = encode_one_tree(group)
        refs.append(tree_ref(group, ids.object(tree)))
        yield tree
    if len(refs) > 1:
        yield encode_tree_index(refs)


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    splitter, several = Splitter(), False
    for entry in entries:
        if group := splitter.push(entry):
            yield group
            several = True
    if splitter.is_open or not several:
        yield splitter.take()


def tree_ref(group: list[Entry], id_: ObjectId) -> TreeRef:
    """What a tree index says of the tree of these entries."""
    return TreeRef(id_, len(group), group[0].name if group else b"")


def encode_one_tree(entries: list[Entry]) -> bytes:
    """The tree of entries that a `Splitter` left together."""
    at = _COUNT.size + 4 * len(entries)
    offsets, parts = [], []
    for e in entries:
        part = _ENTRY.pack(e.type, e.mode, e.mtime_ns, e.size, len(e.name), len(e.target))
        offsets.append(_OFFSET.pack(at))
        parts += [part, e.name, e.target]
        at += len(part) + len(e.name) + len(e.target)
    head = header(ObjectType.TREE) + _OFFSET.pack(len(entries))
    return b"".join([head, *offsets, *parts])


def encode_tree_index(refs: list[TreeRef]) -> bytes:
    """The index of several trees that make one directory."""
    parts = [header(ObjectType.TREE_INDEX), _OFFSET.pack(len(refs))]
    for ref in refs:
        parts += [_INDEX_ENTRY.pack(ref.id, ref.count, len(ref.first)), ref.first]
    return b"".join(parts)


def decode_tree_index(data: bytes) -> list[TreeRef]:
    """The trees of an index, in order of their names."""
    expect(data, ObjectType.TREE_INDEX, _COUNT.size)
    (count,) = _COUNT.unpack_from(data)
    refs, at = [], _COUNT.size
    for _ in range(count):
        if at + _INDEX_ENTRY.size > len(data):
            raise ChunkDamagedError("a tree index is shorter than it says")
        id_, entries, length = _INDEX_ENTRY.unpack_from(data, at)
        at += _INDEX_ENTRY.size
        refs.append(TreeRef(ObjectId(id_), entries, data[at : at + length]))
        at += length
    return refs


def find_tree(refs: list[TreeRef], name: bytes) -> int:
    """Which tree of an index would hold `name`; -1 when it sorts before all."""
    return bisect_right(refs, name, key=lambda ref: ref.first) - 1
