"""A directory with a few names changed: only the trees that hold them are read and encoded again.

The result is what encoding all entries would give, byte for byte, so it does not tell how a
directory came to be what it is. That follows from `Splitter`: where a tree ends depends only on
what lies between its first entry and the one behind its last.

Pure but for reading the old objects; runs in worker threads.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ...ids import ObjectId
from ..formats.tree import (
    Entry,
    Splitter,
    TreeRef,
    encode_one_tree,
    encode_tree_index,
    tree_ref,
)
from ..objects import Directory, Objects
from ..treesize import bytes_of

Sink = Callable[[bytes], None]
"""Takes one new object. Some may be there already: what did not change may be encoded again."""
Change = tuple[bytes, Entry | None]
"""A name, and what it stands for from now on; None: nothing."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A directory after a change: its tree's id, and by how many bytes all files beneath grew."""

    tree: ObjectId
    grown: int


def edit_pages(
    objects: Objects, base: ObjectId | None, changes: Iterable[Change], sink: Sink
) -> Merged:
    """The directory `base` (None: an empty one) with `changes`, which come sorted by name.

    `sink` gets every tree that was encoded anew, the root last if it is one of them.
    """
    return _Pages(objects, base, iter(changes), sink).run()


class _Pages:
    """One directory being edited, tree by tree."""

    def __init__(
        self, objects: Objects, base: ObjectId | None, changes: Iterator[Change], sink: Sink
    ) -> None:
        self._objects = objects
        self._base = base
        self._changes = changes
        self._next = next(changes, None)
        self._sink = sink
        self._splitter = Splitter()
        self._refs: list[TreeRef] = []
        self._grown = 0

    def run(self) -> Merged:
        """Go through the trees in their order."""
        directory = None if self._base is None else self._objects.directory(self._base)
        pages = [] if directory is None else directory.trees
        for number, page in enumerate(pages):
            end = pages[number + 1].first if number + 1 < len(pages) else None
            if directory is not None and not self._stays(directory, number, end):
                self._rewrite(directory, number, end)
            else:
                self._refs.append(page)
        while self._next is not None:
            self._put(None)
        return Merged(self._root(pages), self._grown)

    def _stays(self, directory: Directory, number: int, end: bytes | None) -> bool:
        """Whether a tree, whose follower begins at `end`, is as it was; ends the one before it.

        A change of the follower's first entry counts: that may have been why this one ended.
        """
        if self._next is not None and (end is None or self._next[0] <= end):
            return False
        if self._splitter.is_open:
            tree = directory.tree(number)
            if len(tree) and self._splitter.ends_before(tree[0]):
                self._write(self._splitter.take())
        return not self._splitter.is_open

    def _rewrite(self, directory: Directory, number: int, end: bytes | None) -> None:
        tree = directory.tree(number)
        for entry in (tree[index] for index in range(len(tree))):
            while self._next is not None and self._next[0] < entry.name:
                self._put(None)
            if self._next is not None and self._next[0] == entry.name:
                self._put(entry)
            else:
                self._push(entry)
        while self._next is not None and (end is None or self._next[0] < end):
            self._put(None)

    def _put(self, old: Entry | None) -> None:
        """Make the change that is next, of a name that stood for `old`."""
        new = None if self._next is None else self._next[1]
        self._grown += bytes_of(new) - bytes_of(old)
        self._next = next(self._changes, None)
        if new is not None:
            self._push(new)

    def _push(self, entry: Entry) -> None:
        if group := self._splitter.push(entry):
            self._write(group)

    def _write(self, group: list[Entry]) -> None:
        data = encode_one_tree(group)
        self._refs.append(tree_ref(group, self._objects.ids.object(data)))
        self._sink(data)

    def _root(self, pages: list[TreeRef]) -> ObjectId:
        if self._splitter.is_open or not self._refs:
            self._write(self._splitter.take())
        if self._base is not None and self._refs == pages:
            return self._base
        if len(self._refs) == 1:
            return self._refs[0].id
        data = encode_tree_index(self._refs)
        self._sink(data)
        return self._objects.ids.object(data)
