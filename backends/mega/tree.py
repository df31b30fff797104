"""What lies in a folder of a drive: keys as files in folders, as in a directory. Pure.

MEGA lets several nodes have one name in one folder. Folders of one name count as one, whoever made
the second. Of files of one name that which was written last is the value: a replacement is there
before the one that it replaces is removed.

Nodes that are not ours to open, and files whose names make no key, are passed over.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ...ids import Key
from ..base import Listed
from ..keys import is_key
from .nodes import DRIVE, FILE, FOLDER, Node, Told, opened

_TREE: Final = (FILE, FOLDER)


class Tree:
    """The keys below the folder with the names `folder`, as far as `master` opens them.

    `stale` says that something happened which only a new tree can tell of.
    """

    def __init__(self, folder: Sequence[str], master: bytes) -> None:
        self._folder = tuple(folder)
        self._master = master
        self._levels: list[set[str]] = [set() for _ in range(len(self._folder) + 1)]
        self._paths: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._inside: dict[str, set[str]] = {}
        self._folders: dict[str, dict[str, None]] = {}
        self._files: dict[str, dict[str, Node]] = {}
        self._keys: dict[str, Key] = {}
        self.stale = False

    @property
    def root(self) -> str | None:
        """The handle of the folder itself; None where it is not there."""
        return self.folder("")

    def load(self, nodes: Iterable[Told]) -> None:
        """Take in all of an account's nodes, in any order."""
        children: dict[str, list[Told]] = {}
        waiting: list[Told] = []
        for node in nodes:
            if node.kind == DRIVE:
                waiting.append(node)
            elif node.kind in _TREE:
                children.setdefault(node.parent, []).append(node)
        while waiting:
            node = waiting.pop()
            if self.add(node):
                waiting += children.pop(node.handle, ())

    def add(self, node: Told) -> bool:
        """Take in one node; whether what lies in it may matter."""
        if node.kind == DRIVE:
            self._enter(0, node.handle)
            return True
        level = next((i for i, have in enumerate(self._levels[:-1]) if node.parent in have), None)
        if level is None and node.parent not in self._paths:
            return False
        ours = opened(node, self._master)
        if ours is None:
            return False
        if level is not None:
            return self._descend(level, ours)
        path = self._paths[ours.parent]
        whole = f"{path}/{ours.name}" if path else ours.name
        return self._add_folder(whole, ours) if ours.kind == FOLDER else self._add_file(whole, ours)

    def apply(self, events: Iterable[object]) -> None:
        """Take in what happened, in order."""
        for event in events:
            if not isinstance(event, Mapping):
                continue
            handle = event.get("n")
            match event.get("a"):
                case "t":
                    for node in _nodes(event.get("t")):
                        self._came(node)
                case "d" if isinstance(handle, str):
                    self.remove(handle)
                case "u" if isinstance(handle, str) and self._knows(handle):
                    self.stale = True  # it may have another name now

    def remove(self, handle: str) -> None:
        """A node is gone, and all that lay in it."""
        if any(handle in level for level in self._levels):
            self.stale = True
        elif handle in self._keys:
            self._remove_file(handle)
        elif handle in self._paths:
            for each in self._below(handle):
                (self._remove_file if each in self._keys else self._remove_folder)(each)

    def find(self, key: Key) -> Node | None:
        """The value of a key; None where there is none."""
        return max(self._files.get(key, {}).values(), key=lambda n: n.age_order, default=None)

    def all_of(self, key: Key) -> list[Node]:
        """All files that have the name of a key: its value, and what it replaced."""
        return list(self._files.get(key, {}).values())

    def folder(self, path: str) -> str | None:
        """The handle of a folder: of those of one name always the same one."""
        return min(self._folders.get(path, ()), default=None)

    def level(self, number: int) -> str | None:
        """The handle of the folder so many steps down to ours; 0 is the drive."""
        return min(self._levels[number], default=None)

    def keys(self, prefix: str) -> Iterator[Listed]:
        """All keys that begin with `prefix`, as they are now."""
        for key in [key for key in self._files if key.startswith(prefix)]:
            node = self.find(Key(key))
            if node is not None:
                yield Listed(Key(key), node.size)

    def _came(self, node: Told) -> None:
        """A node is new, or was moved; or it is one that was put here by ourselves."""
        if node.parent != self._parents.get(node.handle, ""):
            self.remove(node.handle)
            self.add(node)

    def _knows(self, handle: str) -> bool:
        return (
            handle in self._keys
            or handle in self._paths
            or any(handle in level for level in self._levels)
        )

    def _descend(self, level: int, node: Node) -> bool:
        """A node on the way down to the folder, or beside that way."""
        if node.kind != FOLDER or node.name != self._folder[level]:
            return False
        self._enter(level + 1, node.handle)
        return True

    def _enter(self, level: int, handle: str) -> None:
        self._levels[level].add(handle)
        if level == len(self._folder):
            self._paths[handle] = ""
            self._folders.setdefault("", {})[handle] = None

    def _add_folder(self, path: str, node: Node) -> bool:
        if not is_key(f"{path}/x") or "/" in node.name:
            return False
        self._paths[node.handle] = path
        self._lies(node)
        self._folders.setdefault(path, {})[node.handle] = None
        return True

    def _add_file(self, path: str, node: Node) -> bool:
        if is_key(path) and "/" not in node.name:
            self._keys[node.handle] = Key(path)
            self._lies(node)
            self._files.setdefault(path, {})[node.handle] = node
        return False

    def _remove_file(self, handle: str) -> None:
        key = self._keys.pop(handle)
        self._lies_no_more(handle)
        nodes = self._files[key]
        del nodes[handle]
        if not nodes:
            del self._files[key]

    def _remove_folder(self, handle: str) -> None:
        path = self._paths.pop(handle)
        self._lies_no_more(handle)
        self._folders[path].pop(handle)
        if not self._folders[path]:
            del self._folders[path]

    def _lies(self, node: Node) -> None:
        """Note in which folder a node lies."""
        self._parents[node.handle] = node.parent
        self._inside.setdefault(node.parent, set()).add(node.handle)

    def _lies_no_more(self, handle: str) -> None:
        above = self._parents.pop(handle, "")
        inside = self._inside.get(above, set())
        inside.discard(handle)
        if not inside:
            self._inside.pop(above, None)

    def _below(self, handle: str) -> list[str]:
        """A folder and all that lies in it."""
        found = {handle: None}
        waiting = [handle]
        while waiting:
            inner = self._inside.get(waiting.pop(), set()) - found.keys()
            found |= dict.fromkeys(inner)
            waiting += inner
        return list(found)


def _nodes(told: object) -> list[Told]:
    found = told.get("f") if isinstance(told, Mapping) else None
    return [each for each in found if isinstance(each, Told)] if isinstance(found, list) else []
