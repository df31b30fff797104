"""Folders of files being added, as parsers may look into them: names, and single files read.

Concurrency: several worker threads add files of one folder; each folder has a lock, held while
something is made once for all of them.
"""

import errno
import heapq
import itertools
import logging
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from ...errors import SourceChangedError
from ..chunking.parser import Source
from .scan import Item
from .sources import READING, FileSource

FOLDERS: Final = 2
"""Folders that are remembered: files come folder by folder, large ones and small ones."""
LOOKED_AT: Final = 100_000
"""Names of a folder that are looked at; what stands behind them is not found."""
MOST_NAMES: Final = 64
"""Names that are found at most: the first in alphabetical order."""

_LOG: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class Folders:
    """The folders of the files that were added last. Memory: what parsers keep of `FOLDERS`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: OrderedDict[bytes, _Folder] = OrderedDict()

    def beside(self, item: Item) -> "FolderSiblings":
        """The files beside the one that `item` was found as."""
        path, slash, name = item.source.rpartition(b"/")
        path = path or slash or b"."
        with self._lock:
            folder = self._folders.pop(path, None) or _Folder(path)
            self._folders[path] = folder
            if len(self._folders) > FOLDERS:
                self._folders.popitem(last=False)
        return FolderSiblings(folder, name, item)


class _Folder:
    """One folder: its path, and what was made once for all files of it."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.kept: dict[str, Any] = {}


class FolderSiblings:
    """See `Siblings`.

    A link is followed only where the file itself was found through one: so a Hugging Face cache,
    all of whose files are links, is understood, and otherwise nothing outside is ever opened.
    """

    def __init__(self, folder: _Folder, name: bytes, item: Item) -> None:
        self._folder = folder
        self._name = name
        self._source = item.source

    @property
    def name(self) -> str:
        """What the file itself is called in the folder."""
        return os.fsdecode(self._name)

    def names(self, suffix: str) -> list[str]:
        """Names that end so, in small or capital letters, sorted."""
        return self.once(f"names {suffix}", lambda: _names(self._folder.path, suffix))

    def look(self, name: str, work: Callable[[Source], _T]) -> _T | None:
        """What `work` makes of the file of that name; None when it cannot be read as it is."""
        try:
            with self._opened(os.fsencode(name)) as source:
                return work(source)
        except (OSError, SourceChangedError) as error:
            _LOG.debug("%s: not looked at: %s", name, error)
            return None

    def once(self, key: str, work: Callable[[], _T]) -> _T:
        """What `work` gives, kept for the other files of the folder."""
        with self._folder.lock:
            if key not in self._folder.kept:
                self._folder.kept[key] = work()
            kept: _T = self._folder.kept[key]
            return kept

    @contextmanager
    def _opened(self, name: bytes) -> Iterator[FileSource]:
        if b"/" in name or b"\0" in name:
            raise OSError(errno.EINVAL, "no name in this folder")
        flags = READING if os.path.islink(self._source) else READING | os.O_NOFOLLOW
        fd = os.open(os.path.join(self._folder.path, name), flags)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "no file")
            yield FileSource(fd, status.st_size, os.fsdecode(name))
        finally:
            os.close(fd)


def _names(folder: bytes, suffix: str) -> list[str]:
    """At most `MOST_NAMES` names, of the first `LOOKED_AT` that the folder shows."""
    end = os.fsencode(suffix).lower()
    try:
        with os.scandir(folder) as entries:
            looked_at = (entry.name for entry in itertools.islice(entries, LOOKED_AT))
            found = (name for name in looked_at if name.lower().endswith(end))
            return sorted(map(os.fsdecode, heapq.nsmallest(MOST_NAMES, found)))
    except OSError as error:
        _LOG.debug("%s: not looked into: %s", os.fsdecode(folder), error.strerror)
        return []
