"""An engine in a thread of its own, and calls of it from any other.

Concurrency: the thread runs the event loop of the store, and nothing else. Calls are counted under
a lock, so that closing waits for those under way and none begins after it.
"""

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self, TypeVar

import trio
import trio.from_thread

from .cas.store import Store as Engine
from .errors import UsageError, first_failure, one_failure

_T = TypeVar("_T")


class EngineThread:
    """The store in the folder `path`, opened by `open_`, until it is closed.

    Without `wait` calls that meet a lock of another process are LockedError.
    """

    def __init__(
        self, path: str, open_: Callable[[], AbstractAsyncContextManager[Engine]], *, wait: bool
    ) -> None:
        self._path = path
        self._wait = wait
        self._open = open_
        self._ready = threading.Event()
        self._engine: Engine | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop: trio.Event | None = None
        self._failure: BaseException | None = None
        self._pid = os.getpid()
        self._calls = threading.Condition()
        self._running = 0
        self._thread = threading.Thread(target=self._run, name="modelfloat", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise first_failure(self._failure) or self._failure

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with self._open() as engine:
            self._engine = engine
            self._token = trio.lowlevel.current_trio_token()
            self._stop = trio.Event()
            self._ready.set()
            await self._stop.wait()

    def _call(self, job: Callable[[Engine], Awaitable[_T]]) -> _T:
        engine, token = self._enter()

        async def run() -> _T:
            with one_failure():
                return await job(engine)

        try:
            return trio.from_thread.run(run, trio_token=token)
        except trio.RunFinishedError:
            raise UsageError(f"the store {self._path} is closed") from self._failure
        finally:
            with self._calls:
                self._running -= 1
                self._calls.notify_all()

    def _enter(self) -> tuple[Engine, trio.lowlevel.TrioToken]:
        """Count a call that begins; UsageError where none may begin any more."""
        if os.getpid() != self._pid:
            raise UsageError(
                f"the store {self._path} was opened before this process was forked; open it again"
            )
        with self._calls:
            if self._engine is None or self._token is None:
                raise UsageError(f"the store {self._path} is closed")
            self._running += 1
            return self._engine, self._token

    def close(self) -> None:
        """Wait for calls under way, then let go of index and backends; again does nothing.

        In a forked child it does nothing either: the thread that it would wait for is not there.
        """
        if os.getpid() != self._pid:
            return
        with self._calls:
            if self._engine is None or self._token is None or self._stop is None:
                return
            self._engine = None
            self._calls.wait_for(lambda: not self._running)
        with contextlib.suppress(trio.RunFinishedError):
            trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
