"""A value in the pieces in which it is uploaded: whole chunks, encrypted one piece after the other.

Pure but for the caller's buffers, which are read where a piece is sealed.
"""

from collections.abc import Sequence
from typing import Final

from ..base import Buffer
from .ciphers import FileKey, chunk_mac, chunks, condense, crypt

PIECE: Final = 4 << 20
"""Bytes of an upload that go in one request, or little more."""


class Parts:
    """The caller's buffers as one run of bytes."""

    def __init__(self, parts: Sequence[Buffer]) -> None:
        self._views = [memoryview(part).cast("B") for part in parts]
        self.size = sum(map(len, self._views))

    def copy(self, offset: int, length: int) -> bytearray:
        """Some of them."""
        found, at = bytearray(), 0
        for view in self._views:
            first, last = max(offset - at, 0), min(offset + length - at, len(view))
            if first < last:
                found += view[first:last]
            at += len(view)
        return found


class Piece:
    """What goes in one request: whole chunks, by offset and length."""

    def __init__(self, number: int, chunks: Sequence[tuple[int, int]]) -> None:
        self.number = number
        self.chunks = chunks
        self.offset = chunks[0][0]
        self.length = sum(length for _, length in chunks)


class Upload:
    """One upload: its pieces, the MACs of its chunks, and the token once it is whole."""

    def __init__(self, key: FileKey, source: Parts) -> None:
        self._key = key
        self._source = source
        self._macs: dict[int, list[bytes]] = {}
        self.pieces = pieces_of(source.size)
        self.token: str | None = None

    def sealed(self, piece: Piece) -> bytearray:
        """The bytes of a piece, encrypted; their MACs are kept. Runs in a worker thread."""
        data = self._source.copy(piece.offset, piece.length)
        view = memoryview(data)
        self._macs[piece.number] = [
            chunk_mac(self._key, view[at - piece.offset : at - piece.offset + length])
            for at, length in piece.chunks
            if length
        ]
        crypt(self._key, piece.offset, view)
        return data

    def finished(self) -> FileKey:
        """The key with the MAC of all."""
        macs = (mac for number in sorted(self._macs) for mac in self._macs[number])
        return FileKey(self._key.key, self._key.nonce, condense(self._key, macs))


def pieces_of(size: int) -> list[Piece]:
    """All of a value in requests; an empty one takes one too."""
    found: list[Piece] = []
    run: list[tuple[int, int]] = []
    for at, length in chunks(size):
        run.append((at, length))
        if at + length - run[0][0] >= PIECE:
            found.append(Piece(len(found), run))
            run = []
    if run or not found:
        found.append(Piece(len(found), run or [(0, 0)]))
    return found
