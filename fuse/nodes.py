"""What an inode can stand for. Nodes are values: the same content or place is the same node.

A file is its manifest, mode and time, so it keeps its inode from commit to commit, and with it
whatever the kernel has cached of it. A directory is its place in a mount at one commit. The place
includes REV as it was spelled: the kernel allows a directory one name only, and would move it back
and forth between `name` and `name@main` if they shared an inode.
"""

import struct
from dataclasses import dataclass, field
from typing import ClassVar, Final

from ..cas.formats.tree import EntryType
from ..cas.refnames import RepoName
from ..ids import ObjectId

_MODE_AND_TIME: Final = struct.Struct("<Iq")
_TIME: Final = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class RootNode:
    """The mount's root: it lists the vendors."""

    kind: ClassVar[EntryType] = EntryType.DIRECTORY

    @property
    def label(self) -> str:
        """How messages call it."""
        return "the mount's root"


@dataclass(frozen=True, slots=True)
class VendorNode:
    """A vendor: it lists that vendor's repositories."""

    vendor: str

    kind: ClassVar[EntryType] = EntryType.DIRECTORY

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.vendor

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"v" + self.vendor.encode()


@dataclass(frozen=True, slots=True)
class DirectoryNode:
    """A directory of a repository at one commit; an empty `path` is the repository itself.

    `place` is where the mount shows that commit's root, `vendor/name@REV` say; `tree` the
    directory's object; `mtime_ns` nanoseconds since the epoch.
    """

    place: str
    commit: ObjectId
    path: tuple[bytes, ...]
    tree: ObjectId
    mtime_ns: int

    kind: ClassVar[EntryType] = EntryType.DIRECTORY

    @property
    def label(self) -> str:
        """How messages call it: its path in the mount."""
        parts = (part.decode("utf-8", "backslashreplace") for part in self.path)
        return "/".join((self.place, *parts))

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"".join((b"d", self.commit, self.place.encode(), b"\0", b"/".join(self.path)))


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file: its manifest, permission bits, time (ns since the epoch) and size (bytes).

    `directory` and `name` are one place where it stands, for messages only: a file that stands in
    several has one inode.
    """

    manifest: ObjectId
    mode: int
    mtime_ns: int
    size: int
    directory: DirectoryNode = field(compare=False)
    name: bytes = field(compare=False)

    kind: ClassVar[EntryType] = EntryType.FILE

    @property
    def label(self) -> str:
        """How messages call it: a path in the mount."""
        return f"{self.directory.label}/{self.name.decode('utf-8', 'backslashreplace')}"

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"f" + self.manifest + _MODE_AND_TIME.pack(self.mode, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class LinkNode:
    """A symbolic link: its text and its time (ns since the epoch)."""

    target: bytes
    mtime_ns: int

    kind: ClassVar[EntryType] = EntryType.SYMLINK

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"the link to {self.target.decode('utf-8', 'backslashreplace')}"

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"l" + _TIME.pack(self.mtime_ns) + self.target


@dataclass(frozen=True, slots=True)
class HubNode:
    """A folder of the Hugging Face cache that the mount shows, at `path`, above any commit.

    `repo` is the repository that it is about, None for the cache itself.
    """

    path: tuple[str, ...]
    repo: RepoName | None = None

    kind: ClassVar[EntryType] = EntryType.DIRECTORY

    @property
    def label(self) -> str:
        """How messages call it: its path in the mount."""
        return "/".join(self.path)

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"h" + self.label.encode()


@dataclass(frozen=True, slots=True)
class TextNode:
    """A small file that the mount itself writes: its bytes, and its time (ns since the epoch).

    `label` is one place where it stands, for messages only.
    """

    text: bytes
    mtime_ns: int
    label: str = field(compare=False)

    kind: ClassVar[EntryType] = EntryType.FILE

    @property
    def size(self) -> int:
        """Its length, bytes."""
        return len(self.text)

    def key(self) -> bytes:
        """What its inode number is made of."""
        return b"t" + _TIME.pack(self.mtime_ns) + self.text


NamedNode = VendorNode | DirectoryNode | FileNode | LinkNode | HubNode | TextNode
"""Whatever has a name in a directory."""
Node = RootNode | NamedNode
