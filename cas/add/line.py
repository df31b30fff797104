"""Windows of a large file on their way into packs: encoded side by side, packed in file order.

While one window is cut and hashed, those before it are encoded. What is in the line was claimed, so
it is stored whatever becomes of its file: other files may rely on it already. So the line's tasks
outlive the file's, and only an add that fails as a whole ends them.

Memory: DEPTH windows wait here, raw and encoded; who brings another one waits for a place.
"""

import os
from collections.abc import Sequence
from typing import Final

import trio

from ..packer import LaneName
from ..packs.encoding import Cut
from .ingest import Ingest, Part

DEPTH: Final = 2 if (os.cpu_count() or 1) <= 4 else 4
"""Windows in the line: one gives up to eight cores something to do, the next closes the gaps."""


class Line:
    """Takes the chunks of windows in file order; its tasks run in `nursery`."""

    def __init__(self, ingest: Ingest, nursery: trio.Nursery) -> None:
        self._ingest = ingest
        self._nursery = nursery
        self._places = trio.Semaphore(DEPTH)
        self._last = trio.Event()
        self._last.set()

    async def put(self, parts: Sequence[Part]) -> None:
        """Claim what is new of a window's chunks; when this returns it is in the line.

        Looked up only once there is a place: what others stored in the meantime is found.
        """
        await self._places.acquire()
        try:
            new = await self._ingest.claim(parts)
        except BaseException:
            self._places.release()
            raise
        before, self._last = self._last, trio.Event()
        self._nursery.start_soon(self._store, new, before, self._last)

    async def _store(self, new: Sequence[Cut], before: trio.Event, done: trio.Event) -> None:
        chunks = await self._ingest.encode(new)
        await before.wait()
        await self._ingest.pack(LaneName.LARGE, chunks)
        done.set()
        self._places.release()
