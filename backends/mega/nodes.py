"""Nodes as MEGA tells them, and what they are to an account. Pure.

A node is JSON: handle `h`, parent's handle `p`, owner `u`, type `t`, size `s`, time `ts` (Unix),
attributes `a` (encrypted), and keys `k`: `user:key` with slashes between, each encrypted for that
user. We take the one of the node's owner, encrypted by the master key: what others share with the
account is none of ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .ciphers import BLOCK, FileKey, decode, open_attributes, unwrap

FILE: Final = 0
FOLDER: Final = 1
DRIVE: Final = 2
GENERATION: Final = "_g"
"""The attribute that tells which of two files of one name was written later. Names with `_` in
front
are for applications, in MEGA's attributes."""


class Told(NamedTuple):
    """A node as it was told, nothing of it decrypted."""

    handle: str
    parent: str
    kind: int
    owner: str
    size: int
    written: int
    attributes: str
    keys: str


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder of this account; `key` has 32 bytes or 16, `written` is Unix time."""

    handle: str
    parent: str
    kind: int
    name: str
    key: bytes = field(repr=False)
    size: int = 0
    written: int = 0
    generation: int = 0

    @property
    def age_order(self) -> tuple[int, int, str]:
        """Greater for what was written later."""
        return self.generation, self.written, self.handle

    @property
    def file_key(self) -> FileKey:
        """What its bytes are encrypted with."""
        return FileKey.unfold(self.key)


def told(found: Mapping[str, object]) -> Told | None:
    """The node that an object of JSON is; None where it is no node."""
    texts = [found.get(name, "") for name in ("h", "p", "u", "a", "k")]
    numbers = [found.get(name, 0) for name in ("t", "s", "ts")]
    if "h" not in found or "t" not in found or not all(isinstance(each, str) for each in texts):
        return None
    if not all(isinstance(each, int) and each >= 0 for each in numbers):
        return None
    handle, parent, owner, attributes, keys = map(str, texts)
    kind, size, written = (each if isinstance(each, int) else 0 for each in numbers)
    return Told(handle, parent, kind, owner, size, written, attributes, keys)


def opened(node: Told, master: bytes) -> Node | None:
    """A file or folder decrypted; None where it is neither, or not ours to open."""
    if node.kind not in (FILE, FOLDER):
        return None
    pairs = dict(each.split(":", 1) for each in node.keys.split("/") if ":" in each)
    try:
        key = unwrap(master, decode(pairs[node.owner]))
        inner = FileKey.unfold(key).key if node.kind == FILE else key
        if len(inner) != BLOCK:
            return None
        attributes = open_attributes(inner, node.attributes)
    except (KeyError, ValueError):
        return None
    name, generation = attributes.get("n"), attributes.get(GENERATION, 0)
    if not isinstance(name, str) or not isinstance(generation, int):
        return None
    return Node(node.handle, node.parent, node.kind, name, key, node.size, node.written, generation)
