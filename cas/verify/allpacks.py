"""Packs checked several at a time, and those looked at again of which something came in doubt."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

import trio

from ...ids import PackNumber
from ..index.index import Index
from ..index.records import PackRecord
from .check import Checker

AHEAD: Final = 2
"""Packs that are checked at once,"""
REPAIRED: Final = 3
"""and with a repair, which also waits for what it writes."""


async def check_packs(
    index: Index, checker: Checker, packs: Iterator[PackRecord], workers: int
) -> None:
    """Check packs, `workers` at once; what was checked counts, however this ends."""
    try:
        await _each(packs, checker.check, workers)
        # What repairs left out is read where its backend turned out to rot; that may show others.
        while len(owed := await trio.to_thread.run_sync(checker.doubts.all_owed, index)):
            await _each(records(index, owed), checker.look_again, workers)
    finally:
        with trio.CancelScope(shield=True):
            await checker.finish()


def records(index: Index, numbers: Iterable[int]) -> Iterator[PackRecord]:
    """Packs as they are when their turn comes; those deleted by then are left out."""
    for number in numbers:
        pack = index.pack(PackNumber(int(number)))
        if pack is not None:
            yield pack


async def _each(
    packs: Iterator[PackRecord], work: Callable[[PackRecord], Awaitable[None]], workers: int
) -> None:
    one = trio.CapacityLimiter(1)

    async def some() -> None:
        while (pack := await trio.to_thread.run_sync(next, packs, None, limiter=one)) is not None:
            await work(pack)

    async with trio.open_nursery() as nursery:
        for _ in range(workers):
            nursery.start_soon(some)
