"""Packs mended because a read met damage in them: off the read's path, a few at a time.

What reads find is noted in the index first, so nothing depends on this: what is not mended here,
because somebody else holds the store, this process may not write to it, or too much was found at
once, `verify --repair` mends later. A pack is tried once.

Concurrency: one task, which waits until reads have found nothing new for a while.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from ...errors import ModelFloatError
from ...ids import PackNumber
from .report import VerifyReport

QUEUED: Final = 256
"""Packs that wait to be mended; more wait for a check."""
CALM: Final = 10.0
"""Seconds without anything new, before what was found is mended."""
TRIED: Final = 100_000
"""Packs that are remembered as tried; a process that finds more is mended by nobody's reading."""

Mend = Callable[[Sequence[PackNumber]], Awaitable[VerifyReport]]
"""Checks and mends packs; LockedError where others hold the store alone."""

log = logging.getLogger(__name__)


class ReadRepair:
    """Mends packs that reads found damaged, for as long as `run` runs."""

    def __init__(self, mend: Mend) -> None:
        self._mend = mend
        self._queue: dict[PackNumber, None] = {}
        self._tried: set[PackNumber] = set()
        self._some = trio.Event()
        self._told = False
        self._wakes = 0

    def note(self, packs: Sequence[PackNumber]) -> None:
        """Reads found damage in these packs, and the index knows."""
        for pack in packs:
            full = len(self._queue) >= QUEUED or len(self._tried) >= TRIED
            if pack not in self._tried and not full:
                self._queue[pack] = None
        if self._queue:
            self._wakes += 1
            self._some.set()

    async def run(self) -> None:
        """Mend what was noted, when reads are calm."""
        while True:
            await self._some.wait()
            await self._calm()
            self._some = trio.Event()
            queue, self._queue = list(self._queue), {}
            self._tried.update(queue)
            await self._mend_all(queue)

    async def _calm(self) -> None:
        wakes = -1
        while wakes != self._wakes:
            wakes = self._wakes
            await trio.sleep(CALM)

    async def _mend_all(self, packs: Sequence[PackNumber]) -> None:
        try:
            report = await self._mend(packs)
        except ModelFloatError as error:
            # Nobody waits for it: what is wrong is noted, and a check mends it.
            level = logging.INFO if self._told else logging.WARNING
            log.log(level, "damage that reads found is not mended now: %s", error)
            self._told = True
            return
        mended = sum(problem.repaired for problem in report.problems)
        if mended:
            log.warning("%d shards that reads found missing or damaged were mended", mended)
