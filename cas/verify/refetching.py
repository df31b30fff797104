"""Chunks that no pack has any more, had again from where their files came from, and stored anew.

Memory: a run of AT_ONCE bytes as they came and as they are encoded, and a pack with its parity.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

import trio

from ...errors import ModelFloatError
from ...ids import ChunkId
from ..chunking.regions import ElementType
from ..formats.manifest import Manifest
from ..formats.regiontable import TableRegion
from ..index.records import PackRecord
from ..objects import Objects
from ..packs.encoding import Cut, encode_chunks
from ..read.recipe import ChunkSpan
from ..read.refetch import Refetch
from .rescue import Rescuer
from .throttle import Throttle

AT_ONCE: Final = 32 << 20
"""Bytes that are fetched before they are stored."""
ASKED: Final = 4
"""Chunks that are asked for at one time."""
_TYPES: Final = {each.value: each for each in ElementType}


class Refetcher:
    """Stores chunks again that their files' sources still have."""

    def __init__(
        self, objects: Objects, refetch: Refetch, rescuer: Rescuer, throttle: Throttle
    ) -> None:
        self._objects = objects
        self._refetch = refetch
        self._rescuer = rescuer
        self._throttle = throttle

    async def file(
        self, manifest: Manifest, lost: Mapping[ChunkId, PackRecord | None]
    ) -> set[ChunkId]:
        """Those of a file's chunks `lost` that were stored again.

        What is known of the packs that had them says how well they are to be protected.
        """
        done: set[ChunkId] = set()
        spans = await trio.to_thread.run_sync(lambda: list(self._runs(manifest, lost)))
        regions = await trio.to_thread.run_sync(self._regions, manifest)
        for run in spans:
            for like, cuts in _by_scheme(await self._fetch(manifest, run, regions), lost):
                chunks = await trio.to_thread.run_sync(encode_chunks, cuts)
                await self._rescuer.data(chunks, like)
                done.update(cut.id for cut in cuts)
        return done

    def _runs(
        self, manifest: Manifest, lost: Mapping[ChunkId, PackRecord | None]
    ) -> Iterator[list[ChunkSpan]]:
        """The lost chunks, each once, in runs of at most AT_ONCE bytes."""
        run: list[ChunkSpan] = []
        seen: set[ChunkId] = set()
        size = 0
        for span in self._objects.recipe(manifest).all():
            if span.id not in lost or span.id in seen:
                continue
            if run and size + span.raw > AT_ONCE:
                yield run
                run, size = [], 0
            seen.add(span.id)
            run.append(span)
            size += span.raw
        if run:
            yield run

    def _regions(self, manifest: Manifest) -> list[TableRegion]:
        """What the file consists of, where that is known: it helps to choose codecs."""
        try:
            return list(self._objects.regions(manifest))
        except ModelFloatError:
            return []

    async def _fetch(
        self, manifest: Manifest, run: list[ChunkSpan], regions: list[TableRegion]
    ) -> list[Cut]:
        found: dict[ChunkId, Cut] = {}
        left = iter(run)

        async def work() -> None:
            for span in left:
                await self._throttle.take(span.raw)
                chunk = await self._refetch.chunk(manifest.sources, span)
                if chunk is not None:
                    found[span.id] = Cut(span.id, chunk.data, _element(regions, span), None)

        async with trio.open_nursery() as nursery:
            for _ in range(ASKED):
                nursery.start_soon(work)
        return [found[span.id] for span in run if span.id in found]


def _by_scheme(
    cuts: list[Cut], lost: Mapping[ChunkId, PackRecord | None]
) -> list[tuple[PackRecord | None, list[Cut]]]:
    """The cuts of packs of one scheme each, with such a pack: each is to be stored as it was."""
    groups: dict[tuple[int, int] | None, tuple[PackRecord | None, list[Cut]]] = {}
    for cut in cuts:
        like = lost[cut.id]
        scheme = None if like is None else (like.k, like.m)
        groups.setdefault(scheme, (like, []))[1].append(cut)
    return list(groups.values())


def _element(regions: list[TableRegion], span: ChunkSpan) -> ElementType:
    at = bisect_right(regions, span.offset, key=lambda region: region.offset) - 1
    number = regions[at].element if at >= 0 else None
    return ElementType.UNKNOWN if number is None else _TYPES.get(number, ElementType.UNKNOWN)
