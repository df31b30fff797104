"""What an add is asked for, and what it needs of a store."""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import trio

from ...erasure.scheme import Scheme
from ...ids import StoreId
from ..access import Access
from ..codecs.effort import Effort
from ..history.moving import Moves
from ..index.index import Index
from ..journal.journal import Journal
from ..lease.reliance import Reliance
from ..objects import Objects
from ..packer import Packer
from ..packs.pool import Pool
from ..packs.storing import SPARE
from ..refnames import Address
from ..refs import Refs

Move = Callable[[Moves], Awaitable[object]]
ENOUGH_CORES: Final = 4
"""With so many cores SHA-256 is computed while adding: the others have enough to do."""


@dataclass(frozen=True, slots=True)
class AddRequest:
    """What to add and where. `address` is vendor/name[@branch][/path]; a single source file takes
    the path's last part as its name unless that is a directory already.

    With `sync` the branch's tree, or the address's path, becomes as the sources are, which must be
    folders: what they do not have is removed, unless it is excluded or was skipped. `keep_out` has
    the device numbers of this store's mounts: nothing is added from there.

    With `move` each source is unlinked once it was read back from the backends and compared, and
    the moved branch reaches it; see `cas.add.moving`.

    Files that are as an earlier add has read them are not read again, unless `reread`.

    `effort` is what is spent on encoding new chunks; what is stored already stays as it is.

    `erasure` is the scheme that the repository has from now on, None: as it had, or the store's.
    A pack counts as stored when `min_shards` of its shards are durable, as many of k+m as a pack of
    data has; never fewer than k or more than all. None: one more than k.

    With `preflight` an add that is not going to fit ends before anything is stored.

    `source_url` is where the one source was got from, and can be again: the URL of a file, or of
    the folder that has files of the same names (`cas.formats.sourceurls`).

    `sha256` None means: where there are ENOUGH_CORES. `expected_sha256` gives, for the path of a
    source file, the SHA-256 that it must have, or None; another one is a
    SourceDamagedError.
    """

    sources: Sequence[str]
    address: Address
    message: str = ""
    tag: str | None = None
    author: str = ""
    exclude: Sequence[str] = ()
    sync: bool = False
    move: bool = False
    reread: bool = False
    effort: Effort = Effort.BALANCED
    erasure: Scheme | None = None
    min_shards: int | None = None
    preflight: bool = True
    keep_out: frozenset[int] = frozenset()
    sha256: bool | None = None
    expected_sha256: Callable[[bytes], bytes | None] | None = None
    source_url: str = ""

    @property
    def hashes_sha256(self) -> bool:
        """Whether every file's SHA-256 is computed."""
        return _has_enough_cores() if self.sha256 is None else self.sha256


@dataclass(frozen=True, slots=True)
class Reading:
    """What of a store is enough to see what an add would do; `path` is its folder.

    `scheme` is that of its new packs, `copies` the parity of those with objects. What is relied on
    is noted in `reliance`.
    """

    path: str
    store: StoreId
    scheme: Scheme
    copies: int
    index: Index
    objects: Objects
    refs: Refs
    pool: Pool
    reliance: Reliance

    @classmethod
    def of(
        cls,
        access: Access,
        refs: Refs,
        objects: Objects,
        store: Scheme,
        scheme: Scheme,
        reliance: Reliance,
    ) -> "Reading":
        """What a store that is reached by `access` has for packs of `scheme`; `store` is its own.

        What names the files is kept as the store's other objects are, whatever the files are.
        """
        index, copies = access.index, max(scheme.m, store.m)
        return cls(
            access.path, index.store, scheme, copies, index, objects, refs, access.pool, reliance
        )

    def packer(self, journal: Journal, nursery: trio.Nursery, spare: int = SPARE) -> Packer:
        """What puts new chunks and objects into packs, which are relied on from then on; it runs in
        `nursery` until it is closed. `spare` shards more than k of each must be durable."""
        return Packer(
            self.store,
            self.scheme,
            self.pool,
            journal,
            nursery,
            copies=self.copies,
            spare=spare,
            made=self.reliance.relied.add,
        )

    def writing(self, journal: Journal, move: Move) -> "Writing":
        """The same with what writing takes besides."""
        return Writing(
            self.path,
            self.store,
            self.scheme,
            self.copies,
            self.index,
            self.objects,
            self.refs,
            self.pool,
            self.reliance,
            journal,
            move,
        )


@dataclass(frozen=True, slots=True)
class Writing(Reading):
    """What an add needs of a store besides; `move` moves refs (`cas.history.moving`)."""

    journal: Journal
    move: Move


@cache
def _has_enough_cores() -> bool:
    # Asked for once: it is read from a file, and every file that is added wants to know.
    return (os.cpu_count() or 1) >= ENOUGH_CORES
