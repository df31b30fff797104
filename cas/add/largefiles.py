"""Large files: cut and hashed in windows, the next of which is read meanwhile, the last encoded.

Holes of sparse files come as runs of zeros that are not read, and whose chunks are hashed once.

Memory: a window that is read and one that is cut, beside those in the line (`line`); one file is
added at a time, and uses all cores.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from blake3 import blake3

from ...errors import SourceChangedError, one_failure
from ..buffers import BufferPool
from ..chunking.cutter import Cutter, open_cutter
from ..chunking.regions import MAX_CHUNK
from ..formats.manifest import ChunkRef, encode_entries, encode_manifest
from ..zeros import zero_id, zeros
from .digests import Sha256
from .holes import Piece, Pieces
from .ingest import Ingest, Part
from .line import DEPTH, Line
from .origins import extensions_of
from .scan import Item
from .sources import FileSource, check_unchanged, found_again, open_item
from .staged import Leaf

WINDOW: Final = 8 << 20
"""Bytes of a large file read at a time."""


NotePart = Callable[[Item, int], Awaitable[None]]
"""Is told how many bytes of a file, from its start, are cut and on their way."""


class LargeFiles:
    """Turns large files into manifests, one after the other."""

    def __init__(self, ingest: Ingest, line: Line, note_part: NotePart) -> None:
        self._ingest = ingest
        self._line = line
        self._note_part = note_part
        self._windows = BufferPool(MAX_CHUNK + WINDOW, DEPTH + 2)

    async def add(self, leaf: Leaf) -> None:
        """Store one file, and its manifest in `leaf`.

        One that changes meanwhile is read once more; SourceChangedError if it changes again.
        """
        item = leaf.item
        try:
            await self._add(leaf, item)
        except SourceChangedError:
            item = await trio.to_thread.run_sync(found_again, item)
            await self._add(leaf, item)

    async def _add(self, leaf: Leaf, item: Item) -> None:
        fd = await trio.to_thread.run_sync(open_item, item)
        try:
            name = os.fsdecode(item.source)
            source = FileSource(fd, item.size, name, self._ingest.folders.beside(item))
            cutter = await trio.to_thread.run_sync(open_cutter, name, source)
            file = _LargeFile(self._ingest, self._line, self._windows, item, cutter)
            with one_failure():
                await file.run(Pieces(item, fd), self._note_part)
            check_unchanged(fd, item)
        finally:
            os.close(fd)
        # The region table of a large model is some megabytes of Python.
        objects = await trio.to_thread.run_sync(file.manifest, limiter=self._ingest.cpus)
        await self._ingest.put_objects(objects)
        manifest = self._ingest.ids.object(objects[-1])
        leaf.store(item, manifest, file.size)
        self._ingest.unchanged.note(item, manifest, file.size)


class _LargeFile:
    """One file on its way in; `size` counts its bytes so far."""

    def __init__(
        self, ingest: Ingest, line: Line, windows: BufferPool, item: Item, cutter: Cutter
    ) -> None:
        self._ingest = ingest
        self._line = line
        self._windows = windows
        self._item = item
        self._name = os.fsdecode(item.source)
        self._cutter = cutter
        self._hasher = blake3()
        self._sha256 = Sha256(ingest.request, item)
        self._entries: list[bytes] = []
        # What was read and is not decided yet.
        self._rest: memoryview = memoryview(b"")
        self.size = 0

    def manifest(self) -> list[bytes]:
        """The objects of its manifest, the manifest last."""
        entries, extensions = b"".join(self._entries), self._sha256.extensions()
        extensions |= extensions_of(self._ingest.request, self._item)
        return encode_manifest(
            self.size,
            self._hasher.digest(),
            entries,
            extensions,
            self._cutter.regions,
            self._ingest.ids,
        )

    async def run(self, pieces: Pieces, note_part: NotePart) -> None:
        """Store everything."""
        piece = await self._next(pieces)
        while piece.size:
            following: list[Piece] = []
            async with trio.open_nursery() as nursery:
                if not piece.final:
                    nursery.start_soon(self._read_ahead, pieces, following)
                if self._sha256.wanted:
                    nursery.start_soon(self._hash, piece)
                await self._take(piece)
            self.size += piece.size
            self._ingest.progress.advance(piece.size, self._name)
            await note_part(self._item, self.size)
            if not following:
                break
            (piece,) = following
        if len(self._rest):
            await self._store(self._rest, True, pure=False)

    async def _next(self, pieces: Pieces) -> Piece:
        return await trio.to_thread.run_sync(pieces.next, self._windows.take())

    async def _read_ahead(self, pieces: Pieces, out: list[Piece]) -> None:
        out.append(await self._next(pieces))

    async def _hash(self, piece: Piece) -> None:
        data = zeros(piece.size) if piece.buffer is None else piece.buffer[MAX_CHUNK:][: piece.size]
        await trio.to_thread.run_sync(self._sha256.update, data, limiter=self._ingest.cpus)

    async def _take(self, piece: Piece) -> None:
        """Store what is decided of the rest and the piece."""
        if piece.buffer is None:
            # A hole is given as one only where the rest before it is zeros too.
            window, pure = zeros(len(self._rest) + piece.size), True
        else:
            start = MAX_CHUNK - len(self._rest)
            piece.buffer[start:MAX_CHUNK] = self._rest
            window, pure = piece.buffer[start : MAX_CHUNK + piece.size], False
        used = await self._store(window, piece.final, pure=pure)
        self._rest = window[used:]

    async def _store(self, window: memoryview, final: bool, *, pure: bool) -> int:
        """Store what is new in a window, `pure` if of zeros; the number of bytes decided."""
        work = self._cut_zeros if pure else self._cut
        parts = await trio.to_thread.run_sync(work, window, final, limiter=self._ingest.cpus)
        await self._line.put(parts)
        self._entries.append(encode_entries([ChunkRef(id_, len(data)) for id_, data, _ in parts]))
        return sum(len(data) for _, data, _ in parts)

    def _cut(self, window: memoryview, final: bool) -> list[Part]:
        at, parts, ids = 0, [], self._ingest.ids
        for span in self._cutter.cut(window, final):
            data = window[at : at + span.size]
            parts.append((ids.of(data), data, span.element))
            # At once, while the chunk is in the processor's cache: memory is the bottleneck.
            self._hasher.update(data)
            at += span.size
        return parts

    def _cut_zeros(self, window: memoryview, final: bool) -> list[Part]:
        spans = self._cutter.cut_zeros(len(window), final)
        self._hasher.update(window[: sum(span.size for span in spans)])
        ids = self._ingest.ids
        return [(zero_id(span.size, ids), zeros(span.size), span.element) for span in spans]
