"""What a parser is: it finds the structure of one file format, and never trusts it."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from .regions import Region

_T = TypeVar("_T")

HEAD_SIZE: Final = 64
"""How many bytes of a file `Parser.suits` is shown, or all of a shorter one."""


class Source(Protocol):
    """A file's bytes at any offset, as they are while the file is being added."""

    @property
    def size(self) -> int:
        """Length of the file in bytes."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on; an error of the source's own when they are not
        there. Parsers let that error pass: it says nothing about the format."""
        ...

    @property
    def beside(self) -> "Siblings | None":
        """The files in the same folder; None where there is no folder to look into."""
        ...


class Siblings(Protocol):
    """The files in a file's folder, for formats whose one file tells what stands in another.

    What they say is a hint like any other: it may be wrong, and is gone when they are. No method
    raises an error for what the folder holds, and none leaves the folder.
    """

    @property
    def name(self) -> str:
        """What the file itself is called there."""
        ...

    def names(self, suffix: str) -> Sequence[str]:
        """Names that end so, in small or capital letters, sorted; a bounded number of them."""
        ...

    def look(self, name: str, work: Callable[[Source], _T]) -> _T | None:
        """What `work` makes of the file of that name; None when it cannot be read as it is."""
        ...

    def once(self, key: str, work: Callable[[], _T]) -> _T:
        """What `work` gives, kept under `key` for the other files of the folder: `work` is not
        done again for each of them, and bounds the memory that its result takes."""
        ...


class Parser(Protocol):
    """One file format. Content that lies is no error: the file is then cut as unknown bytes."""

    @property
    def name(self) -> str:
        """The format's name, for the log."""
        ...

    def suits(self, file_name: str, head: bytes) -> bool:
        """Whether a file of this name that begins with `head` may be of this format."""
        ...

    def parse(self, source: Source) -> list[Region] | None:
        """The file's regions in file order, covering it exactly; None when it is malformed.

        Work and memory are bounded whatever the file claims, and no content raises an error.
        """
        ...
