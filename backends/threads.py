"""Worker threads of one backend: so many at once, and those that hang keep no place for ever.

A call that is cancelled returns at once, but its thread goes on until the storage answers. Until
then another one may run in its place. There are only so many places more: a disk that never answers
again must not fill the process with threads.

Concurrency: `run` belongs to the event loop. Of a job its thread and the loop both know whether it
runs and whether it was given up; both are read and written under its lock.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import trio

MORE: Final = 3
"""Times as many threads as run at once may hang besides."""
HELD: Final = 4
"""Calls that hang with a shard's bytes in their hands, before no more of them are begun."""

T = TypeVar("T")


class Threads:
    """Threads for calls that block, `count` at once."""

    def __init__(self, count: int) -> None:
        self._limiter = trio.CapacityLimiter(count)
        self._most = MORE * count
        self.hanging = 0
        self.held = 0
        self._freed = trio.Event()

    async def room(self) -> None:
        """Wait while HELD writes hang: each keeps memory from others. How long that may take is
        the caller's to limit."""
        while self.held >= HELD:
            await self._freed.wait()

    async def run(self, function: Callable[[], T], *, holds: bool = False) -> T:
        """What `function` returns or raises, called in a worker thread; one that `holds` a shard's
        bytes counts among `held` while it hangs.

        Cancelled before it has begun it never does; cancelled later it is left to itself.
        """
        job = _Job(function, trio.lowlevel.current_trio_token(), self._came_back, holds)
        try:
            return await trio.to_thread.run_sync(
                job.run, abandon_on_cancel=True, limiter=self._limiter
            )
        except trio.Cancelled:
            runs, replaced = job.give_up(self.hanging < self._most)
            self.held += runs and holds
            if replaced:
                self.hanging += 1
                self._limiter.total_tokens += 1
            raise

    def _came_back(self, replaced: bool, held: bool) -> None:
        self.held -= held
        self._freed.set()
        self._freed = trio.Event()
        if replaced:
            self.hanging -= 1
            self._limiter.total_tokens -= 1


class _Job(Generic[T]):
    """One call; `back` is called in the loop when it ends although nobody waits for it."""

    __slots__ = (
        *("_back", "_function", "_given_up", "_hangs", "_holds", "_lock", "_replaced", "_running"),
        "_token",
    )

    def __init__(
        self,
        function: Callable[[], T],
        token: trio.lowlevel.TrioToken,
        back: Callable[[bool, bool], None],
        holds: bool,
    ) -> None:
        self._function = function
        self._token = token
        self._back = back
        self._holds = holds
        self._lock = threading.Lock()
        self._running = self._given_up = self._replaced = self._hangs = False

    def run(self) -> T:
        """In the thread."""
        with self._lock:
            if self._given_up:
                raise trio.BrokenResourceError("given up before it began")
            self._running = True
        try:
            return self._function()
        finally:
            with self._lock:
                self._running = False
                hung, replaced = self._hangs, self._replaced
            if hung:
                # Before its end is told what it holds is let go.
                del self._function
                with contextlib.suppress(trio.RunFinishedError):
                    self._token.run_sync_soon(self._back, replaced, self._holds)

    def give_up(self, replace: bool) -> tuple[bool, bool]:
        """Nobody waits any more; whether it runs still, and whether its place is given away, if
        `replace` allows it."""
        with self._lock:
            self._given_up = True
            self._hangs = self._running
            self._replaced = replace and self._running
            return self._hangs, self._replaced
