"""Two trees compared by what the index has of them: trees, manifests and region tables.

What was found lies in a temporary file (`ledger`), so memory does not grow with the trees.

Concurrency: the ledger is used by one thread at a time, the comparison's or its reader's.
"""

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from ...ids import ObjectId
from ..addressed import look_up
from ..catalog import BackendsNeededError, Catalog
from ..following import follow
from ..formats.tree import Entry, EntryType
from ..refnames import Address
from ..treesize import size_of
from .chunknotes import Overlap, overlap
from .difference import FileChange, Summary, TensorChange
from .filenotes import file_changes, forget_untold, manifest_of, manifests, note_files
from .ledger import NEW, Ledger
from .matching import match_names, match_rest, wanted_bytes
from .pairs import files, pairs
from .tensornotes import summarize, tensor_changes
from .tensors import INSERT, naming, tensor_rows

if TYPE_CHECKING:
    from ..read.filereader import FileReader

_T = TypeVar("_T")


class Difference:
    """What differs. Its notes are kept in a temporary file until it is closed; use it in `with`.

    Its methods read that file: in worker threads where the event loop must not wait for a disk, and
    one at a time.
    """

    def __init__(self, ledger: Ledger, summary: Summary) -> None:
        self._ledger = ledger
        self.summary = summary

    def files(self) -> Iterator[FileChange]:
        """Every file and link that differs, sorted by path."""
        return file_changes(self._ledger)

    def tensors(self, file: FileChange) -> Iterator[TensorChange]:
        """The tensors that differ of a file, by name.

        Those that it has now, wherever they were before, and those that it had and that are nowhere
        any more.
        """
        return tensor_changes(self._ledger, file.number)

    def close(self) -> None:
        """Let go of the file."""
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def compare_listed(store: Catalog, old: Address, new: Address) -> Difference:
    """What makes `new` different from `old`, as the index tells it; blocks.

    Errors as of `compare`; BackendsNeededError where the index does not tell.
    """
    ledger = Ledger()
    try:
        comparison = Comparison(store, ledger, old, new, _go_on)
        comparison.note()
        comparison.require_told()
        return Difference(ledger, comparison.settle())
    except BaseException:
        ledger.close()
        raise


def _go_on() -> None:
    pass


class Comparison:
    """One comparison. Its methods block; `check` is called again and again, and may end them."""

    def __init__(
        self,
        store: Catalog,
        ledger: Ledger,
        old: Address,
        new: Address,
        check: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._addresses = old, new
        self._check = check

    def note(self) -> None:
        """Note what differs, and which tensors of it must be read."""
        self._sides = tuple(_named(self._store, address) for address in self._addresses)
        objects = self._store.objects
        note_files(self._ledger, objects, self._checked(pairs(objects, *self._sides)))
        for number, side, path, id_ in manifests(self._ledger):
            self._check()
            manifest = objects.manifest(id_)
            with naming(self._name(side, path)):
                rows = tensor_rows(self._store, side, number, path, manifest)
                self._ledger.put(INSERT, self._checked(rows))
        match_names(self._ledger)

    def require_told(self) -> None:
        """BackendsNeededError where tensors must be read."""
        if wanted_bytes(self._ledger):
            raise BackendsNeededError

    def open_file(self, side: int, number: int) -> "tuple[FileReader, str]":
        """A file for reading, and its name for messages."""
        path, id_ = manifest_of(self._ledger, side, number)
        manifest = self._store.objects.manifest(id_)
        return self._store.open_manifest(manifest), self._name(side, path)

    def settle(self) -> Summary:
        """Match the tensors that are left; the figures."""
        match_rest(self._ledger)
        forget_untold(self._ledger)
        old, new = self._sides
        return summarize(self._ledger, (old.size, new.size), self._overlap())

    def _overlap(self) -> Overlap:
        objects, old = self._store.objects, self._sides[0]
        new = (id_ for _, side, _, id_ in manifests(self._ledger) if side == NEW)
        return overlap(
            self._ledger, objects, self._checked(new), self._checked(files(objects, old))
        )

    def _name(self, side: int, path: bytes) -> str:
        address = self._addresses[side]
        if self._sides[side].type is EntryType.FILE:
            return str(address)
        return f"{address}/{path.decode('utf-8', 'backslashreplace')}"

    def _checked(self, items: Iterable[_T]) -> Iterator[_T]:
        for item in items:
            self._check()
            yield item


def _named(store: Catalog, address: Address) -> Entry:
    """What an address names; a repository is a directory without name."""
    named = look_up(store.objects, store.refs, address)
    entry = named.entry
    if entry is not None and entry.type is EntryType.SYMLINK:
        entry = follow(store.objects, named.root, address.path, str(address))
        if entry is None:
            return store.find(address)  # which says that it leads nowhere
    if entry is not None:
        return entry
    size = size_of(store.objects, named.root)
    return Entry(b"", EntryType.DIRECTORY, 0o755, 0, size, ObjectId(named.root))
