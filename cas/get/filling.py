"""A file's bytes into its part: what is to be fetched, in runs; zeros are left out as holes."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

import trio

from ..formats.chunkids import ChunkIds
from ..formats.chunktable import MAX_CHUNK
from ..formats.tree import Entry
from ..progress import Progress
from ..read.filereader import FileReader
from ..read.recipe import ChunkSpan
from ..zeros import zero_id
from .landing import Folder, Part

WINDOW: Final = 4 << 20
"""Bytes of a file fetched and written at a time."""


async def fill(
    reader: FileReader, part: Part, ids: ChunkIds, progress: Progress, path: str
) -> None:
    """Write what a file still lacks, a window at a time; the reader is closed.

    `ids` names the store's chunks.
    """
    with contextlib.closing(reader):
        offset = 0
        while offset < reader.size:
            spans = await trio.to_thread.run_sync(reader.spans, offset, WINDOW)
            wanted = await trio.to_thread.run_sync(_missing, part, spans, ids)
            for run in runs(wanted):
                await _copy(reader, part, run)
            end = spans[-1].offset + spans[-1].raw
            progress.advance(end - offset, path)
            offset = end


def put(
    folder: Folder,
    entry: Entry,
    name: bytes,
    pieces: list[tuple[int, list[memoryview]]],
    digest: bytes | None,
) -> None:
    """Write a file that is in memory. In a worker thread."""
    part = Part(folder, name, entry)
    try:
        os.ftruncate(part.fd, 0)
        for offset, views in pieces:
            part.write(offset, views)
        part.publish(digest)
    except BaseException:
        part.discard()
        raise
    finally:
        part.close()


async def _copy(reader: FileReader, part: Part, run: list[ChunkSpan]) -> None:
    await trio.to_thread.run_sync(part.write, run[0].offset, await reader.parts(run))


def _missing(part: Part, spans: list[ChunkSpan], ids: ChunkIds) -> list[ChunkSpan]:
    """The chunks that are to be fetched: neither there already nor zeros, which stay a hole."""
    return [
        span
        for span in spans
        if not (
            part.holds(span.offset, span.raw, span.id, ids)
            if span.offset < part.had
            else is_hole(span, ids)
        )
    ]


def runs(spans: list[ChunkSpan]) -> Iterator[list[ChunkSpan]]:
    """Chunks that follow each other in the file, together."""
    run: list[ChunkSpan] = []
    for span in spans:
        if run and run[-1].offset + run[-1].raw != span.offset:
            yield run
            run = []
        run.append(span)
    if run:
        yield run


def is_hole(span: ChunkSpan, ids: ChunkIds) -> bool:
    """Whether a chunk is zeros: they are not written but left out, as holes.

    Only whole chunks are asked about, which all holes but short ones consist of: the id of every
    other length would have to be computed for it.
    """
    return span.raw == MAX_CHUNK and span.id == zero_id(MAX_CHUNK, ids)
