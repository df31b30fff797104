"""What there is to add: sources walked into items, each with its path in the repository.

Synchronous; runs in a worker thread. Nothing is read but directories and links.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..errors import ModelFloatError, NotFoundError, UsageError
from .formats.tree import EntryType, is_entry_name

SKIPPED_FOLDERS: Final = (".git", ".cache/huggingface")
"""Left out by name: another tool's own books about the files beside them."""
DEEPEST: Final = 400
"""Folders within folders that are followed: trees are walked and merged by recursion."""
SKIPPED_FILES: Final = ("*.incomplete",)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to add: `path` in the repository, `source` on disk (bytes, opened as they are).

    `link` is a symbolic link's text; `status` is what stat said when it was found.
    """

    path: tuple[bytes, ...]
    source: bytes
    type: EntryType
    status: os.stat_result
    link: bytes = b""


@dataclass(slots=True)
class Scan:
    """Walks sources. After `items` was used up, `skipped` says what was left out, and why.

    `avoid` is the store's own folder, which is never added to itself, `devices` are its mounts.
    `passed` has the paths, as in the repository, of what was skipped.
    """

    exclude: Sequence[str] = ()
    skipped: list[str] = field(default_factory=list)
    avoid: bytes = b""
    devices: frozenset[int] = frozenset()
    passed: set[tuple[bytes, ...]] = field(default_factory=set)

    def items(self, sources: Sequence[str], into: tuple[bytes, ...], name: bytes) -> Iterator[Item]:
        """Every item of `sources`, to lie below the directory `into`.

        A directory's contents are laid into `into` itself. `name`, if not empty, is what a single
        source file is to be called there.
        """
        for source in map(os.fsencode, sources):
            try:
                status = os.stat(source)
            except OSError as error:
                raise NotFoundError(f"{os.fsdecode(source)}: {error.strerror}") from error
            if stat.S_ISDIR(status.st_mode):
                if name:
                    raise UsageError(f"{os.fsdecode(source)} is a directory, a file was expected")
                root = os.path.realpath(source)
                yield from self._walk(source, root, into, b"", (root,))
            elif stat.S_ISREG(status.st_mode):
                path = (*into, name or os.path.basename(os.path.abspath(source)))
                yield from self._leaf(source, path, status)
            else:
                raise UsageError(f"{os.fsdecode(source)} is neither a file nor a folder")

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
            raise UsageError(f"{os.fsdecode(folder[:200])}… nests deeper than {DEEPEST} folders")
        yield Item(path, folder, EntryType.DIRECTORY, os.stat(folder))
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise ModelFloatError(f"{os.fsdecode(folder)}: {error.strerror}") from error
        for entry in entries:
            inside = os.path.join(below, entry.name)
            if left_out(os.fsdecode(inside), self.exclude):
                continue
            target = (*path, entry.name)
            if entry.is_symlink() and self._is_inner(entry.path, root):
                text = os.readlink(entry.path)
                yield Item(target, entry.path, EntryType.SYMLINK, os.lstat(entry.path), link=text)
                continue
            try:
                status = entry.stat()
            except OSError as error:
                self._skip(entry.path, target, error.strerror)
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield from self._leaf(entry.path, target, status)
                continue
            real = os.path.realpath(entry.path)
            if real == self.avoid or status.st_dev in self.devices:
                self._skip(entry.path, target, "the store itself, or a mount of it")
                continue
            if real in ancestors:
                self._skip(entry.path, target, "a link to a folder it lies in")
                continue
            yield from self._walk(entry.path, root, target, inside, (*ancestors, real))

    def _leaf(
        self, source: bytes, path: tuple[bytes, ...], status: os.stat_result
    ) -> Iterator[Item]:
        if not is_entry_name(path[-1]):
            raise UsageError(f"{os.fsdecode(source)} has a name that cannot be stored")
        if stat.S_ISREG(status.st_mode):
            yield Item(path, source, EntryType.FILE, status)
        else:
            self._skip(source, path, "neither file, folder nor link")

    def _skip(self, source: bytes, path: tuple[bytes, ...], why: str | None) -> None:
        self.skipped.append(f"{os.fsdecode(source)}: {why}")
        self.passed.add(path)

    @staticmethod
    def _is_inner(link: bytes, root: bytes) -> bool:
        """Whether a link points, by a relative text, at something inside the added root."""
        text = os.readlink(link)
        if text.startswith(b"/"):
            return False
        target = os.path.realpath(link)
        return target.startswith(root + b"/")


def left_out(below: str, exclude: Sequence[str]) -> bool:
    """Whether what lies at the path `below` an added folder is not to be looked at."""
    if any(below == f or below.endswith("/" + f) for f in SKIPPED_FOLDERS):
        return True
    name = os.path.basename(below)
    patterns = (*SKIPPED_FILES, *exclude)
    return any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(below, p) for p in patterns)
