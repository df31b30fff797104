"""What a store's index tells by itself: refs, trees, manifests. No backend takes part.

Commands that only list need no more, and nothing is imported for it that takes long: neither trio
nor NumPy, nor what reads and writes packs. Synchronous, like the index.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..erasure.scheme import Scheme
from ..errors import IndexDamagedError, NotFoundError, UsageError
from ..ids import StoreId
from .following import follow
from .formats.manifest import Manifest
from .formats.tree import Entry, EntryType
from .index.index import Index
from .missing import nothing_at
from .objects import Objects
from .read.regions import StoredTensor, tensors_of
from .refnames import Address
from .refs import Refs

if TYPE_CHECKING:
    from .read.filereader import FileReader


class BackendsNeededError(Exception):
    """What is asked for is not told by the index: the store has to be opened."""


class Catalog:
    """What is in the store whose folder is `path`; `scheme` is that of its new packs."""

    def __init__(self, path: str, scheme: Scheme, index: Index) -> None:
        self.path = path
        self.scheme = scheme
        self.index = index
        self.objects = Objects(index)
        self.refs = Refs(index, self.objects)

    @property
    def id(self) -> StoreId:
        """The store's id."""
        return self.index.store

    def find(self, address: Address) -> Entry:
        """What an address with a path names, links followed; NotFoundError if nothing."""
        commit = self.refs.resolve(address.repo, address.rev)
        root = self.objects.commit(commit).tree
        entry = follow(self.objects, root, address.path, str(address))
        if entry is None:
            raise nothing_at(address)
        return entry

    def tensors(self, address: Address) -> Iterator[StoredTensor]:
        """The tensors of the file at `address`, in file order; NotFoundError, or UsageError without
        a path.

        None where its structure is not known, or was not when it was added. ChunkDamagedError where
        its region table is no such.
        """
        manifest = self.manifest(address)
        return tensors_of(self.objects.regions(manifest), self.objects.recipe(manifest))

    def manifest(self, address: Address) -> Manifest:
        """The manifest of the file at `address`; errors as of `tensors`."""
        if not address.path:
            raise UsageError(f"{address} is a repository: name a file in it")
        entry = self.find(address)
        if entry.type is not EntryType.FILE:
            raise NotFoundError(
                f"{address} is a directory, not a file; see `modelfloat ls {address}`"
            )
        return self.objects.manifest(entry.object)

    def open_manifest(self, manifest: Manifest) -> "FileReader":
        """A reader of the file of that manifest; BackendsNeededError unless backends are open."""
        raise BackendsNeededError


def check_index(index: Index, store: StoreId, path: str) -> None:
    """IndexDamagedError unless the index in the folder `path` is that of `store`."""
    if index.store != store:
        raise IndexDamagedError(
            f"the index in {path} is another store's; run `modelfloat rebuild-index`"
        )
