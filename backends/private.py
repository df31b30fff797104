"""Files that a backend keeps in a store's folder `accounts`, as who is logged in: for the owner of
the store alone, whoever of its users or root makes them."""

import contextlib
import os

from ..durable import replace_file


def make_folder(folder: str) -> None:
    """Make the folder of such files, and those above it; none is fine."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    os.makedirs(above, mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _give(folder, above)


def make_file(path: str) -> None:
    """Make a file, empty, if there is none."""
    make_folder(os.path.dirname(path))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    _give(path, os.path.dirname(path))


def write_file(path: str, data: bytes) -> None:
    """Replace a file as a whole, durably; OSError where that fails."""
    make_folder(os.path.dirname(path))
    replace_file(path, data, 0o600)
    _give(path, os.path.dirname(path))


def _give(path: str, above: str) -> None:
    """Root gives what it has made to the owner of the folder in which it lies."""
    if os.geteuid() == 0:
        owner = os.stat(above)
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
