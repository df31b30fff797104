"""A limit on bytes a second, kept on the average of the whole run."""

import trio


class Throttle:
    """Lets `rate` bytes a second through, as many as come where it is None.

    Who asks waits until everything that was let through before is paid for; so the first piece
    never waits, and a pause saves nothing up. Used in the event loop.
    """

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._free_at = -1.0

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may be read."""
        if self._rate is None:
            return
        now = trio.current_time()
        start = max(now, self._free_at)
        self._free_at = start + size / self._rate
        await trio.sleep_until(start)
