"""A directory's keys, found folder by folder and handed out in batches. Blocks: run it in threads.

Concurrency: one `next_batch` at a time; a walk whose call was abandoned is not used again.
"""

import contextlib
import os
from typing import Final

from ..ids import Key
from .base import Listed
from .keys import RESERVED, is_key

BATCH: Final = 1000
"""A batch is handed out once it has that many keys; a large folder may make it larger."""


class Walk:
    """Files below `root` whose key begins with `prefix`, which is checked already.

    Links, special files, the folder of uploads under way, and names that no key has are skipped.
    """

    def __init__(self, root: str, prefix: str) -> None:
        self._root = root
        self._prefix = prefix
        self._folders = [prefix.rpartition("/")[0]]

    def next_batch(self) -> list[Listed]:
        """More keys; [] when there are none left. OSError as the system gives it."""
        batch: list[Listed] = []
        while self._folders and len(batch) < BATCH:
            self._scan(self._folders.pop(), batch)
        return batch

    def _scan(self, folder: str, batch: list[Listed]) -> None:
        # Folders and files vanish while others delete.
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(os.path.join(self._root, folder)) as entries,
        ):
            for entry in entries:
                key = f"{folder}/{entry.name}" if folder else entry.name
                if key.startswith(self._prefix):
                    self._take(entry, key, batch)

    def _take(self, entry: os.DirEntry[str], key: str, batch: list[Listed]) -> None:
        if entry.is_dir(follow_symlinks=False):
            if key != RESERVED:
                self._folders.append(key)
        elif entry.is_file(follow_symlinks=False) and is_key(key):
            with contextlib.suppress(FileNotFoundError):
                batch.append(Listed(Key(key), entry.stat(follow_symlinks=False).st_size))
