"""Work that is done once for all who wait for it, and that goes on when they give up.

Calls to a backend have deadlines: a few seconds for a look at its marker. Logging in with work to
do, or fetching all nodes of a large account, may take longer. Begun anew by each call it would
never end; so it is a task of its own, and the next call finds it further on, or done.

Concurrency: one flight at a time of each kind; a system task, which trio ends with the run.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


class Flights(Generic[T]):
    """Work of one kind."""

    def __init__(self) -> None:
        self._flight: _Flight[T] | None = None

    async def join(self, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """What `work` returns, or raises, and whether it was begun by this call."""
        begun = self._flight is None
        if self._flight is None:
            self._flight = _Flight(work)
            trio.lowlevel.spawn_system_task(self._fly, self._flight)
        return await self._flight.landed(), begun

    async def aclose(self) -> None:
        """End what is under way."""
        if self._flight is not None:
            self._flight.scope.cancel()
            await self._flight.done.wait()

    async def _fly(self, flight: "_Flight[T]") -> None:
        try:
            await flight.fly()
        finally:
            self._flight = None
            flight.done.set()


class _Flight(Generic[T]):
    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._result: list[T] = []
        self._error: Exception | None = None
        self.scope = trio.CancelScope()
        self.done = trio.Event()

    async def fly(self) -> None:
        """Do the work; its failure is for those who wait."""
        with self.scope:
            try:
                self._result.append(await self._work())
            except Exception as error:  # noqa: BLE001 - raised again in every task that waits
                self._error = error

    async def landed(self) -> T:
        """Wait for the end."""
        await self.done.wait()
        if self._error is not None:
            raise self._error
        if not self._result:
            raise trio.ClosedResourceError("the backend was closed meanwhile")
        return self._result[0]
