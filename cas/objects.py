"""Objects as values: commits, directories and manifests, read from the index's mirror.

Every object that a ref reaches is mirrored in the index, so nothing here touches a backend. All
methods are synchronous reads of one small transaction each: call them in a worker thread where the
event loop must not wait for a disk.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from ..errors import ChunkDamagedError, IndexDamagedError
from ..ids import ObjectId
from .formats.commit import Commit, decode_commit
from .formats.manifest import ENTRY, Manifest, decode_entries, decode_manifest, decode_page
from .formats.objects import ObjectType, object_id, object_type
from .formats.tree import Entry, EntryType, Tree, TreeRef, decode_tree_index, find_tree
from .index import Index
from .span import ChunkSpan


class Objects:
    """Reads objects by id."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def raw(self, id_: ObjectId) -> bytes:
        """An object's verified bytes; IndexDamagedError if the mirror lacks or garbled it."""
        data = self._index.object(id_)
        if data is None:
            raise IndexDamagedError(
                f"object {id_.hex()[:16]} is not in the index; run `modelfloat verify --repair`"
            )
        if object_id(data) != id_:
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

    def recipe(self, manifest: Manifest) -> "Recipe":
        """The chunks of a manifest, by file offset."""
        return Recipe(self, manifest)

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

    def lookup(self, name: bytes) -> Entry | None:
        """The entry of that name."""
        which = find_tree(self._trees, name) if self._trees else 0
        return None if which < 0 else self._load(which).lookup(name)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        """Entries from the given index on."""
        for index in range(start, len(self)):
            which = bisect_right(self._starts, index) - 1
            yield self._load(which)[index - self._starts[which]]

    def _load(self, which: int) -> Tree:
        current = self._current
        if current is None or current[0] != which:
            current = (which, Tree(self._objects.raw(self._trees[which].id)))
            self._current = current
        return current[1]


class Recipe:
    """Where each byte of a file comes from: chunk spans by file offset.

    The packed entries of the page last used stay decoded, so a sequential reader decodes each page
    once. Used by one thread at a time.
    """

    def __init__(self, objects: Objects, manifest: Manifest) -> None:
        self.manifest = manifest
        self._objects = objects
        self._page_starts = [page.offset for page in manifest.pages]
        self._page = -1
        self._spans: list[ChunkSpan] = []
        self._starts: list[int] = []

    def spans(self, offset: int, size: int) -> list[ChunkSpan]:
        """The chunks that hold the file's bytes [offset, offset+size), in order."""
        end = min(offset + size, self.manifest.size)
        found: list[ChunkSpan] = []
        while offset < end:
            self._turn_to(offset)
            index = bisect_right(self._starts, offset) - 1
            for span in self._spans[index:]:
                if span.offset >= end:
                    break
                found.append(span)
                offset = span.offset + span.raw
        return found

    def all(self) -> Iterator[ChunkSpan]:
        """Every chunk of the file, in order."""
        offset = 0
        while offset < self.manifest.size:
            self._turn_to(offset)
            yield from list(self._spans)
            offset = self._spans[-1].offset + self._spans[-1].raw

    def _turn_to(self, offset: int) -> None:
        page = bisect_right(self._page_starts, offset) - 1 if self._page_starts else 0
        if page == self._page:
            return
        if self.manifest.pages:
            ref = self.manifest.pages[page]
            packed, start = decode_page(self._objects.raw(ref.id)), ref.offset
            if len(packed) != ref.count * ENTRY.size:
                raise ChunkDamagedError("a manifest page has another length than its manifest says")
        else:
            packed, start = self.manifest.inline, 0
        spans = []
        for chunk in decode_entries(packed):
            spans.append(ChunkSpan(chunk.id, start, chunk.raw))
            start += chunk.raw
        self._spans, self._starts, self._page = spans, [s.offset for s in spans], page
