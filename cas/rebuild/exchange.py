"""Two folders that take each other's place in one step: neither name is ever without one."""

import ctypes
import errno
import os
from typing import Final

from ...durable import sync_folder

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_UNSUPPORTED: Final = (errno.EINVAL, errno.ENOSYS)


def put_in_place(new: str, path: str) -> str | None:
    """Give the folder `new` the name `path`, durably; where the one is now that had it, if any.

    Both lie in one folder. Where the filesystem cannot exchange names, `path` is away for the
    moment between two renames.
    """
    if not os.path.lexists(path):
        os.rename(new, path)
        former = None
    else:
        former = new
        if not _exchange(new, path):
            former = f"{new}.old"
            os.rename(path, former)
            os.rename(new, path)
    sync_folder(os.path.dirname(path))
    return former


def _exchange(one: str, other: str) -> bool:
    """Exchange two names; False where this is not to be had here."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    if rename(*paths, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), one)
