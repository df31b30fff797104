"""Threads of a backend: bounded, and those that hang give their places away."""

import threading

import pytest
import trio

from modelfloat.backends.threads import MORE, Threads
from modelfloat.tests.support.waiting import until


class Hanging:
    """A call that hangs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.begun.release()
        self.released.wait()

    async def hang(self, threads: Threads, count: int) -> None:
        """Have so many threads hang, each given up."""
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(threads.run, self)
            for _ in range(count):
                await trio.to_thread.run_sync(self.begun.acquire)
            nursery.cancel_scope.cancel()


async def test_results_and_errors_come_back() -> None:
    threads = Threads(2)
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(KeyError):
        await threads.run(lambda: {}["x"])


async def test_threads_that_hang_give_their_places_away() -> None:
    threads, hanging = Threads(2), Hanging()
    try:
        for _ in range(MORE):
            await hanging.hang(threads, 2)
            assert await threads.run(lambda: 7) == 7
        assert threads.hanging == 2 * MORE
    finally:
        hanging.released.set()
    await trio.to_thread.run_sync(until, lambda: threads.hanging == 0)
    assert await threads.run(lambda: 7) == 7


async def test_no_more_threads_than_that() -> None:
    threads, hanging = Threads(1), Hanging()
    try:
        for _ in range(MORE + 1):
            await hanging.hang(threads, 1)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(threads.run, lambda: 7)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert (threads.hanging, hanging.calls) == (MORE, MORE + 1)
    finally:
        hanging.released.set()
    await trio.to_thread.run_sync(until, lambda: threads.hanging == 0)
    assert await threads.run(lambda: 7) == 7
