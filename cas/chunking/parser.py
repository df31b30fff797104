"""What a parser is: it finds the structure of one file format, and never trusts it."""

from typing import Final, Protocol

from .regions import Region

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
