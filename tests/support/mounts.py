"""A small tmpfs for tests that need a filesystem of their own; a skip where none may be mounted."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_NOATIME = 1, 2, 4, 32, 1024
"""Flags of mount(2)."""


@contextlib.contextmanager
def small_tmpfs(path: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of `size` (as mount(8) writes it) at `path`; unmounted afterwards if it is."""
    path.mkdir(exist_ok=True)
    if not _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)):
        pytest.skip("this user may not mount a tmpfs")
    try:
        yield path
    finally:
        if path.is_mount():
            unmount(path)


def remount_read_only(path: Path) -> None:
    """Make the filesystem at `path` read-only."""
    assert _run("mount", "-o", "remount,ro", str(path))


def forget_names(path: Path) -> None:
    """Have the kernel drop what it remembers of a mount and does not use: names and inodes.

    That is what a remount begins with; nothing else of the machine's memory is touched.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    flags = MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME
    if libc.mount(None, os.fsencode(path), None, flags, None) != 0:
        pytest.skip(f"this user may not remount: {os.strerror(ctypes.get_errno())}")


def unmount(path: Path) -> None:
    """Take the filesystem at `path` away; what the folder below holds shows again."""
    assert _run("umount", str(path))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
