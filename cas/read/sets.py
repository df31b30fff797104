"""Models in several files: which they are, and what is loaded of those that come next.

Loaders read an index or the first file, then the others in order, each from its beginning. So on
backends far away the first chunk of each is loaded when the set is opened, and the next file's
first window when a stream has all of its own file under way. A file that somebody has open is left
alone: its own streams know better; one that was read and closed as well, until its set is opened
anew.

Concurrency: used in the event loop; names and manifests are read in a worker thread.
"""

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import trio

from ...errors import ModelFloatError
from ..formats.manifest import Manifest
from .flights import Flights
from .pace import Pace
from .recipe import Recipe
from .supply import Supply

HEADS: Final = 64
"""Files of which the first chunk is loaded when their set is opened, at most."""
REMEMBERED: Final = 1024
"""Closed files remembered."""

_SHARD: Final = re.compile(rb"(.+)-([0-9]{5})-of-([0-9]{5})(\.[A-Za-z0-9.]+)")
_INDEX: Final = re.compile(rb"(.+)(\.safetensors|\.bin)\.index\.json")

Following = Callable[[], Sequence[Manifest]]
"""Finds the files that come after one in its set. For a worker thread."""

log = logging.getLogger(__name__)


def in_set(name: bytes) -> bool:
    """Whether a file of that name is one of several, or their index."""
    return bool(_SHARD.fullmatch(name) or _INDEX.fullmatch(name))


def opens_set(name: bytes) -> bool:
    """Whether it is what is opened first of a set."""
    shard = _SHARD.fullmatch(name)
    return bool(_INDEX.fullmatch(name)) or (shard is not None and int(shard[2]) <= 1)


def following(name: bytes, names: Iterable[bytes]) -> list[bytes]:
    """Those of `names` that come after `name` in its set, in order; after an index all of it."""
    index, own = _INDEX.fullmatch(name), _SHARD.fullmatch(name)

    def follows(other: "re.Match[bytes]") -> bool:
        if index is not None:
            return index.group(1, 2) == other.group(1, 4)
        same = own is not None and own.group(1, 3, 4) == other.group(1, 3, 4)
        return same and own is not None and other[2] > own[2]

    shards = filter(None, map(_SHARD.fullmatch, names))
    return sorted(shard[0] for shard in shards if follows(shard))


class Opened:
    """The files that are open, or were of late, by the BLAKE3 of their content."""

    def __init__(self) -> None:
        self._open: Counter[bytes] = Counter()
        self._closed: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, manifest: Manifest) -> bool:
        return manifest.blake3 in self._open or manifest.blake3 in self._closed

    def add(self, manifest: Manifest) -> None:
        """It is opened now, once more."""
        self._open[manifest.blake3] += 1

    def close(self, manifest: Manifest) -> None:
        """One of those who opened it has closed it."""
        digest = manifest.blake3
        self._open[digest] -= 1
        if self._open[digest]:
            return
        del self._open[digest]
        self._closed[digest] = None
        self._closed.move_to_end(digest)
        if len(self._closed) > REMEMBERED:
            self._closed.popitem(last=False)

    def forget(self, manifests: Iterable[Manifest]) -> None:
        """Those of them that are closed will be read again."""
        for manifest in manifests:
            self._closed.pop(manifest.blake3, None)


class SetAhead:
    """What comes after one open file.

    `first` says that with it the set is opened; if that is `far`, the first chunk of each of the
    others is loaded at once.
    """

    def __init__(
        self,
        find: Following,
        first: bool,
        far: bool,
        flights: Flights,
        opened: Opened,
        enter: Callable[[Manifest], tuple[Recipe, Supply]],
    ) -> None:
        self._find = find
        self._first = first
        self._heads = first and far
        self._flights = flights
        self._opened = opened
        self._enter = enter
        self._supplies: list[Supply] = []
        self._next: Sequence[Manifest] | None = None
        self._size: int | None = None
        self._closed = False

    async def learn(self) -> None:
        """Find the files that follow, and load what is to be loaded at once."""
        after: Sequence[Manifest] = ()
        try:
            after = await trio.to_thread.run_sync(self._find)
        except ModelFloatError as error:
            # It is a help only. Who opens those files meets it again.
            log.debug("what follows a file of a set cannot be told: %s", error)
        except Exception:  # a mistake in the program must not end the mount
            log.exception("what follows a file of a set cannot be told")
        self._next = after
        if self._first:
            self._opened.forget(after)
        if self._size is not None:
            self._load_next(self._size)
        for manifest in after[:HEADS] if self._heads else ():
            if not self._load(manifest, 1):
                return

    def go_on(self, size: int) -> None:
        """All of the file is under way, and `size` bytes more may be: of the next, once."""
        if self._size is None:
            self._size = size
            self._load_next(size)

    def _load_next(self, size: int) -> None:
        if self._next:
            self._load(self._next[0], size)

    def _load(self, manifest: Manifest, size: int) -> bool:
        """Begin to load the chunks with the first `size` bytes; False if memory is short."""
        if manifest in self._opened or not manifest.size:
            return True
        recipe, supply = self._enter(manifest)
        started = self._flights.start_ahead(recipe.spans(0, size), supply, Pace(0))
        if self._closed:
            supply.close()
        else:
            self._supplies.append(supply)
        return started

    def close(self) -> None:
        """Let go of the others. What is to be loaded is loaded: an index is open for an instant."""
        self._closed = True
        for supply in self._supplies:
            supply.close()
