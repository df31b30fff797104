"""What is known of the store made newer, for a read that found nothing where a chunk should be.

Another site may have copied the chunk into a new pack, and deleted the old one, since this index
was brought up to date: then its records tell where the chunk lies now.

Concurrency: one task renews at a time. Who fails while that goes on waits for the next one: what
was recorded for it may have come after the other began.
"""

from collections.abc import Awaitable, Callable

import trio

Renew = Callable[[], Awaitable[None]]
"""Takes over what others recorded; raises nothing, and takes seconds at most."""


async def nothing_newer() -> None:
    """For stores that nobody shares."""


class Renewal:
    """Renews by `renew`, for many who ask at once."""

    def __init__(self, renew: Renew) -> None:
        self._renew = renew
        self._lock = trio.Lock()
        self._begun = 0

    async def __call__(self) -> None:
        """Return when it was renewed by a call that began after this one."""
        wanted = self._begun + 1
        async with self._lock:
            if self._begun < wanted:
                self._begun += 1
                await self._renew()
