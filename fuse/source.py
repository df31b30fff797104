"""What the mount needs of a store. `cas.store.Store` offers it; so may anything else."""

from collections.abc import Sequence
from typing import Protocol

from ..cas.formats.manifest import Manifest
from ..cas.objects import Objects
from ..cas.read.claims import Soon
from ..cas.read.counters import ReadCounters
from ..cas.read.figures import ReadFigures
from ..cas.read.sets import Following
from ..cas.refs import Refs
from ..cas.room import Room


class OpenFile(Protocol):
    """One open file."""

    async def read(self, offset: int, size: int) -> memoryview | bytes:
        """The file's verified bytes [offset, offset+size), fewer only at its end."""
        ...

    def at_once(self, offset: int, size: int, soon: Soon) -> Sequence[memoryview | bytes] | None:
        """What `read` would give, in parts, where all of it is in memory, or can be loaded in the
        calling thread; else None.

        Any thread may ask. It may hang where a disk does. What has to follow in the event loop goes
        to `soon`.
        """
        ...

    def go_on(self, soon: Soon) -> None:
        """Load what is likely to be asked for next, after an answer by `at_once`.

        Any thread may ask that has time, unless all who read do. It may hang where a disk does.
        """
        ...

    async def prepare(self) -> None:
        """Do what is better done before the first read; in bounded time, and it never fails."""
        ...

    def backing(self) -> int | None:
        """A descriptor of one local file that holds exactly this file's verified bytes, valid until
        `close`; None where there is none. Known after `prepare`; never waits."""
        ...

    def close(self) -> None:
        """Nothing will be read any more."""
        ...


class Opener(Protocol):
    """Opens files for reading."""

    def open(
        self, manifest: Manifest, following: Following | None = None, *, first: bool = False
    ) -> OpenFile:
        """A reader of one file; touches neither index nor backend.

        `following` finds what comes after it in its set, of which `first` is opened first.
        """
        ...


class Source(Protocol):
    """A store as the mount sees it: names, objects, and a reader of files."""

    @property
    def path(self) -> str:
        """The store's folder."""
        ...

    @property
    def objects(self) -> Objects:
        """Commits, directories and manifests by id."""
        ...

    @property
    def refs(self) -> Refs:
        """Repositories and revisions by name."""
        ...

    @property
    def reader(self) -> Opener:
        """Files' bytes."""
        ...

    @property
    def counters(self) -> ReadCounters:
        """What reading does; the mount adds its requests."""
        ...

    @property
    def caches(self) -> bool:
        """Whether what is read is kept in a disk cache, so that a file may have a `backing`."""
        ...

    def figures(self) -> ReadFigures:
        """What it has come to."""
        ...

    async def room(self) -> Room:
        """The space for data; takes seconds at most, whatever hangs."""
        ...
