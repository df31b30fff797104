"""What differs between two trees: files, tensors, and figures about all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ..chunking.regions import element_name
from ..formats.tree import EntryType

FileKind = Literal["added", "removed", "changed", "renamed", "mode"]
FILE_KINDS: Final[tuple[FileKind, ...]] = ("changed", "mode", "renamed", "added", "removed")
"""`mode`: the permission bits only. `renamed`: the same content under another path."""

TensorKind = Literal["added", "removed", "changed", "retyped", "reshaped", "renamed", "moved"]
TENSOR_KINDS: Final[tuple[TensorKind, ...]] = (
    "changed",
    "retyped",
    "reshaped",
    "renamed",
    "moved",
    "added",
    "removed",
)
"""`renamed`: the same bytes under another name. `moved`: the same tensor in another file. Those of
other type or shape may have other bytes too."""


@dataclass(frozen=True, slots=True)
class FileSide:
    """A file or link as one side has it. `size` is bytes; `content` is a file's BLAKE3 or a link's
    text."""

    path: bytes
    type: EntryType
    mode: int
    size: int
    content: bytes


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs; `old` is None where it was added, `new` where it was removed.

    `unknown` is the one side of a changed file of which no tensors are known, as of a format that
    is not understood: whether the other one's are gone cannot be told.
    """

    number: int
    kind: FileKind
    old: FileSide | None
    new: FileSide | None
    unknown: Literal["old", "new"] | None = None

    @property
    def path(self) -> bytes:
        """Where it is, or was."""
        side = self.new or self.old
        return side.path if side else b""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as one side has it: the path of its file, its bytes and what they are."""

    file: bytes
    name: str
    element: int
    shape: tuple[int, ...]
    size: int

    @property
    def type(self) -> str:
        """The name of its element type."""
        return element_name(self.element)


@dataclass(frozen=True, slots=True)
class TensorChange:
    """A tensor that differs; `same_bytes` says that its bytes do not."""

    kind: TensorKind
    old: Tensor | None
    new: Tensor | None
    same_bytes: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many tensors, and their bytes: of the new side where they are there, else of the old."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures. Sizes in bytes.

    `files` and `tensors` have what there is of each kind, `same` are tensors of files that differ
    which are as they were, `changed_bytes` those of tensors that have other bytes than before.
    What was added or removed is told apart, in `tensors`.
    `known` are bytes of the new side that lie in chunks which the old side has too; `fresh` those
    in chunks that it lacks, each chunk counted once.
    """

    files: Mapping[FileKind, int]
    tensors: Mapping[TensorKind, Count]
    same: Count
    old_size: int
    new_size: int
    known: int
    fresh: int
    changed_bytes: int
