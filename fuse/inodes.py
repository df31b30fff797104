"""Inode numbers, and which of them the kernel knows.

A number is 63 bits of the BLAKE3 of its node's key; where that number is taken, the next free one.
The kernel counts its lookups of each inode and gives them back with FORGET; an inode whose count
falls to nothing is dropped here, so the table is as large as what the kernel remembers.

Concurrency: used in the event loop only, and nothing here awaits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ..ids import Inode
from .nodes import NamedNode, Node, RootNode

ROOT: Final = Inode(1)
"""The root's number, as the FUSE protocol has it."""
_LARGEST: Final = (1 << 63) - 1


@dataclass(slots=True)
class _Known:
    node: NamedNode
    digest: bytes
    lookups: int


def preferred(digest: bytes) -> int:
    """The number that a digest asks for: its first 63 bits."""
    return int.from_bytes(digest[:8], "big") >> 1


class Inodes:
    """The inodes of one mount. `first` says which number a digest asks for."""

    def __init__(self, first: Callable[[bytes], int] = preferred) -> None:
        self._first = first
        self._known: dict[Inode, _Known] = {}
        self._numbers: dict[bytes, Inode] = {}

    def __len__(self) -> int:
        """How many inodes the kernel knows, the root not counted."""
        return len(self._known)

    def node(self, inode: Inode) -> Node | None:
        """What a number stands for; None when the kernel should not know it."""
        if inode == ROOT:
            return RootNode()
        known = self._known.get(inode)
        return None if known is None else known.node

    def number(self, node: NamedNode) -> Inode:
        """The number of a node; `remember` makes it lasting, up to then nothing is kept."""
        return self._number(blake3(node.key()).digest())

    def remember(self, node: NamedNode) -> Inode:
        """The number of a node that the kernel is about to look up once more."""
        digest = blake3(node.key()).digest()
        inode = self._number(digest)
        known = self._known.get(inode)
        if known is None:
            self._known[inode] = _Known(node, digest, 1)
            self._numbers[digest] = inode
        else:
            known.lookups += 1
        return inode

    def forget(self, lookups: Iterable[tuple[Inode, int]]) -> None:
        """The kernel gives back so many lookups of each inode."""
        for inode, count in lookups:
            known = self._known.get(inode)
            if known is None:
                continue
            known.lookups -= count
            if known.lookups <= 0:
                del self._known[inode]
                del self._numbers[known.digest]

    def _number(self, digest: bytes) -> Inode:
        taken = self._numbers.get(digest)
        if taken is not None:
            return taken
        number = self._first(digest)
        # 0 means "no entry" to the kernel, and 1 is the root.
        while number <= ROOT or number in self._known:
            number = number + 1 if number < _LARGEST else ROOT + 1
        return Inode(number)
