"""What `df` shows of a mount.

Concurrency: used in the event loop. Who asks while an answer is on its way waits for that one, so
the backends are asked once in `FRESH` seconds, by however many.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ..cas.room import Room
from ..errors import ModelFloatError

FRESH: Final = 10.0
"""Seconds for which an answer is given again."""

log = logging.getLogger(__name__)


class Space:
    """A store's space, as it was a few seconds ago at most."""

    def __init__(self, ask: Callable[[], Awaitable[Room]]) -> None:
        self._ask = ask
        self._asking = trio.Lock()
        self._known = Room(0, 0)
        self._until = -1.0

    async def statfs(self) -> Room:
        """The space for data, and what of it is free; what was known where it cannot be told."""
        async with self._asking:
            if trio.current_time() >= self._until:
                try:
                    self._known = await self._ask()
                except ModelFloatError as error:
                    log.warning("the free space is not known: %s", error)
                self._until = trio.current_time() + FRESH
            return self._known
