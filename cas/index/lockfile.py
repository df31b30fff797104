"""LMDB's lock file, given real blocks before LMDB maps it: a page without room is a SIGBUS."""

import contextlib
import os
from typing import Final

from ...durable import on_store_disk

NAME: Final = "lock.mdb"
READERS: Final = 126
"""Readers at once where none are asked for (`mdb_env_set_maxreaders`)."""

_READER: Final = 64
_HEAD: Final = 2 * 64
"""Bytes, on machines whose cache lines have 64 of them (`MDB_reader`, `MDB_txninfo` in mdb.c)."""


def allocate_lock(folder: str, readers: int = READERS) -> None:
    """Make the lock file of a new environment in `folder`; one that is there stays as it is.

    ModelFloatError where there is no room for it. Blocks.
    """
    path = os.path.join(folder, NAME)
    with on_store_disk(path), contextlib.suppress(FileExistsError):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _HEAD + readers * _READER)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
