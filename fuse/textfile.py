"""Reading a small file that the mount itself writes: it lies in memory."""

from collections.abc import Sequence
from typing import Final

from ..cas.read.claims import Soon


class TextFile:
    """An open file of known bytes; see `OpenFile`."""

    def __init__(self, text: bytes) -> None:
        self._text: Final = text

    async def read(self, offset: int, size: int) -> bytes:
        """See `OpenFile.read`."""
        return self._text[offset : offset + size]

    def at_once(self, offset: int, size: int, soon: Soon) -> Sequence[bytes]:
        """See `OpenFile.at_once`."""
        return [self._text[offset : offset + size]]

    def go_on(self, soon: Soon) -> None:
        """See `OpenFile.go_on`."""

    async def prepare(self) -> None:
        """See `OpenFile.prepare`."""

    def backing(self) -> None:
        """See `OpenFile.backing`."""

    def close(self) -> None:
        """See `OpenFile.close`."""
