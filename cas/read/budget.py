"""The memory that reading may take: one budget a store, and everything that reads keep is charged.

    chunks in memory, loads under way, packs decoded whole, what waits to be written to a disk cache

Who can do without asks with `take`, which says no when the budget is spent; who cannot, because
somebody waits for these very bytes, charges with `charge`, and others get less meanwhile. Nothing
here ever waits.

Concurrency: any thread may call anything.
"""

from threading import Lock


class MemoryBudget:
    """`limit` bytes, of which `used` are charged, and `peak` were at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self._used = 0
        self._lock = Lock()

    @property
    def used(self) -> int:
        """Bytes charged now; more than `limit` where readers had to have them."""
        return self._used

    @property
    def left(self) -> int:
        """Bytes that may still be taken."""
        return max(self.limit - self._used, 0)

    def take(self, size: int) -> bool:
        """Charge `size` bytes if they are left; else nothing changes, and the answer is no."""
        with self._lock:
            if self._used + size > self.limit:
                return False
            self._add(size)
            return True

    def charge(self, size: int) -> None:
        """Charge `size` bytes, whatever is left."""
        with self._lock:
            self._add(size)

    def give(self, size: int) -> None:
        """What was charged is free again."""
        with self._lock:
            self._used -= size

    def _add(self, size: int) -> None:
        self._used += size
        self.peak = max(self.peak, self._used)
