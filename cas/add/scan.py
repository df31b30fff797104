"""What there is to add: sources walked into items, each with its path in the repository.

Synchronous; runs in a worker thread. Nothing is read but directories and links. Memory: the names
in the folders that lie above the item at hand, and no more, however many files there are.
"""

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...errors import ModelFloatError, NotFoundError, SourceUnreadableError
from ..formats.tree import EntryType, is_entry_name

SKIPPED_FOLDERS: Final = (".git", ".cache/huggingface")
"""Left out by name: another tool's own books about the files beside them."""
DEEPEST: Final = 400
"""Folders within folders that are followed: trees are walked and merged by recursion."""
SKIPPED_FILES: Final = ("*.incomplete",)
BY_DEFAULT: Final = "by default"
BY_EXCLUDE: Final = "by --exclude"
_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""What a link to nothing gives."""
_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to add: `path` in the repository, `source` on disk (bytes, opened as they are).

    What stat said when it was found: `mode` with the type's bits, `size` in bytes, both times in
    nanoseconds, device and inode. `link` is a symbolic link's text.
    """

    path: tuple[bytes, ...]
    source: bytes
    type: EntryType
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int
    link: bytes = b""

    @classmethod
    def found(
        cls,
        path: tuple[bytes, ...],
        source: bytes,
        type_: EntryType,
        status: os.stat_result,
        link: bytes = b"",
    ) -> "Item":
        """The item for what stat tells of `source`."""
        return cls(
            path,
            source,
            type_,
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            status.st_dev,
            status.st_ino,
            link,
        )


@dataclass(slots=True)
class Scan:
    """Walks sources. After `items` was used up, `skipped` says what was left out, and why, and
    `failed` what should not have been: folders that may not be read.

    `avoid` are the store's own folders, which are never added to it, `devices` are its mounts.
    `passed` has the paths, as in the repository, of both.
    """

    exclude: Sequence[str] = ()
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    avoid: frozenset[bytes] = frozenset()
    devices: frozenset[int] = frozenset()
    passed: set[tuple[bytes, ...]] = field(default_factory=set)
    by_name: dict[str, tuple[str, int]] = field(default_factory=dict)

    def left_out(self) -> list[str]:
        """A line for each rule that left something out by its name: the first, and how many."""
        lines = []
        for rule, (first, count) in self.by_name.items():
            more = f" and {count - 1:,} more" if count > 1 else ""
            lines.append(f"{first}{more}, left out {rule}")
        return lines

    def items(self, sources: Sequence[str], into: tuple[bytes, ...], name: bytes) -> Iterator[Item]:
        """Every item of `sources`, to lie below the directory `into`.

        A directory's contents are laid into `into` itself. `name`, if not empty, is what a single
        source file is to be called there. Within a folder items come sorted by name.
        """
        for source in map(os.fsencode, sources):
            try:
                status = os.stat(source)
            except OSError as error:
                raise NotFoundError(f"{os.fsdecode(source)}: {error.strerror}") from error
            if stat.S_ISDIR(status.st_mode):
                if name:
                    raise ModelFloatError(
                        f"{os.fsdecode(source)} is a directory, a file was expected; name a file"
                    )
                root = os.path.realpath(source)
                yield from self._walk(source, root, into, b"", (root,))
            elif stat.S_ISREG(status.st_mode):
                path = (*into, name or os.path.basename(os.path.abspath(source)))
                yield from self._leaf(source, path, status)
            else:
                raise ModelFloatError(
                    f"{os.fsdecode(source)} is neither a file nor a folder and cannot be added"
                )

    def _walk(
        self,
        folder: bytes,
        root: bytes,
        path: tuple[bytes, ...],
        below: bytes,
        ancestors: tuple[bytes, ...],
    ) -> Iterator[Item]:
        """`below` is the path from the added root; `ancestors` are real paths, against cycles."""
        if len(ancestors) > DEEPEST:
            raise ModelFloatError(
                f"{os.fsdecode(folder[:200])}… nests deeper than {DEEPEST} folders; "
                "add a folder below it"
            )
        try:
            status, names = os.stat(folder), os.listdir(folder)
        except OSError as error:
            if len(ancestors) == 1:
                raise SourceUnreadableError(f"{os.fsdecode(folder)}: {error.strerror}") from error
            self._fail(folder, path, error)
            return
        yield Item.found(path, folder, EntryType.DIRECTORY, status)
        names.sort(reverse=True)
        while names:
            # Taken from the end: a million names are let go of while their files are found.
            name = names.pop()
            inside = os.path.join(below, name)
            if rule := rule_against(os.fsdecode(inside), self.exclude):
                first, count = self.by_name.get(rule, (os.fsdecode(os.path.join(folder, name)), 0))
                self.by_name[rule] = first, count + 1
                continue
            source, target = os.path.join(folder, name), (*path, name)
            try:
                status = os.lstat(source)
                if stat.S_ISLNK(status.st_mode):
                    text = os.readlink(source)
                    if _is_inner(inside, text, source, root):
                        yield Item.found(target, source, EntryType.SYMLINK, status, text)
                        continue
                    status = os.stat(source)
            except OSError as error:
                if error.errno in _NOTHING:
                    self._skip(source, target, error.strerror)
                else:
                    self._fail(source, target, error)
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield from self._leaf(source, target, status)
                continue
            real = os.path.realpath(source)
            if real in self.avoid or status.st_dev in self.devices:
                self._skip(source, target, "the store itself, or a part of it")
            elif real in ancestors:
                self._skip(source, target, "a link to a folder it lies in")
            else:
                yield from self._walk(source, root, target, inside, (*ancestors, real))

    def _leaf(
        self, source: bytes, path: tuple[bytes, ...], status: os.stat_result
    ) -> Iterator[Item]:
        if not is_entry_name(path[-1]):
            raise ModelFloatError(
                f"{os.fsdecode(source)} has a name that cannot be stored; rename it, or give PATH"
            )
        if stat.S_ISREG(status.st_mode):
            yield Item.found(path, source, EntryType.FILE, status)
        else:
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "neither file, folder nor link")
            self._skip(source, path, kind)

    def _fail(self, source: bytes, path: tuple[bytes, ...], error: OSError) -> None:
        self.failed.append(f"{os.fsdecode(source)}: {error.strerror}")
        self.passed.add(path)

    def _skip(self, source: bytes, path: tuple[bytes, ...], why: str | None) -> None:
        self.skipped.append(f"{os.fsdecode(source)}: {why}")
        self.passed.add(path)


def rule_against(below: str, exclude: Sequence[str]) -> str:
    """Why what lies at the path `below` an added folder is not to be looked at, "" if it is."""
    name = os.path.basename(below)
    for rule, patterns in ((BY_DEFAULT, SKIPPED_FILES), (BY_EXCLUDE, exclude)):
        if any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(below, p) for p in patterns):
            return rule
    skipped = any(below == f or below.endswith("/" + f) for f in SKIPPED_FOLDERS)
    return BY_DEFAULT if skipped else ""


def _is_inner(below: bytes, text: bytes, link: bytes, root: bytes) -> bool:
    """Whether the link at `below` the added root stays inside it, on its way and in the end.

    Only such a link means the same thing wherever the tree is laid out.
    """
    if text.startswith(b"/"):
        return False
    depth = below.count(b"/")
    for part in text.split(b"/"):
        depth += -1 if part == b".." else part not in (b"", b".")
        if depth < 0:
            return False
    target = os.path.realpath(link)
    return target == root or target.startswith(root.rstrip(b"/") + b"/")
