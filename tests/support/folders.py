"""Folders compared: every path with its type, mode, time and content."""

import os
import stat
from pathlib import Path

from blake3 import blake3

Facts = tuple[str, int, int, bytes]
"""Type, permission bits, mtime in nanoseconds, and BLAKE3 of a file's bytes or a link's text."""


def contents(folder: Path, *, times: bool = True) -> dict[bytes, Facts]:
    """What lies below a folder; without `times` every mtime is 0."""
    found: dict[bytes, Facts] = {}
    base = os.fsencode(folder)
    for directory, folders, files in os.walk(base):
        for name in folders + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, base)] = _facts(path, times=times)
    return found


def _facts(path: bytes, *, times: bool) -> Facts:
    status = os.lstat(path)
    mode, mtime = stat.S_IMODE(status.st_mode), status.st_mtime_ns if times else 0
    if stat.S_ISLNK(status.st_mode):
        return "link", 0, mtime, os.readlink(path)
    if stat.S_ISDIR(status.st_mode):
        return "folder", mode, mtime, b""
    with open(path, "rb") as file:
        return "file", mode, mtime, blake3(file.read()).digest()


def restored(folder: Path) -> dict[str, dict[bytes, Facts]]:
    """What `get --all` wrote: the contents of every vendor/name, whose own times are nobody's."""
    return {str(p.relative_to(folder)): contents(p) for p in sorted(folder.glob("*/*"))}
