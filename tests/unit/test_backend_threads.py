"""Threads of a backend: bounded, and those that hang give their places away."""

import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.backends.local import LocalBackend
from modelfloat.backends.threads import HELD, MORE, Threads
from modelfloat.ids import Key
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


async def test_few_writes_hang_at_once(tmp_path: Path) -> None:
    """Each keeps a shard's bytes: the rest waits until one of them ends."""
    backend, hanging = LocalBackend.create("d0", str(tmp_path / "d0")), Hanging()
    put = backend._put

    def hang(*arguments: Any) -> None:
        hanging()
        put(*arguments)

    backend._put = hang  # type: ignore[method-assign]
    key = Key("packs/00/00/0-1-1")
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(HELD):
                nursery.start_soon(backend.put, key, [b"some"])
            for _ in range(HELD):
                await trio.to_thread.run_sync(hanging.begun.acquire)
            nursery.cancel_scope.cancel()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(backend.put, key, [b"more"])
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        assert hanging.calls == HELD
        # What holds no shard goes on.
        assert [listed async for listed in backend.list()] == []
    finally:
        hanging.released.set()
    await trio.to_thread.run_sync(until, lambda: backend._threads.held == 0)
    await backend.put(key, [b"more"])
    assert await backend.get(key) == b"more"
