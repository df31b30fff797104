"""Mounting a store, serving it until it is unmounted or a signal comes, and unmounting it.

Everything but a mount works without FUSE, so the binding is imported only when one is made.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Protocol

import trio

from ..cas.index.lmdbfile import file_of
from ..ids import ObjectId
from .binding import Binding, Session
from .bindings import load_binding
from .control import answer_all, listening
from .endpoint import Endpoint
from .machine import check_machine
from .metricsserver import listening_on, serve_metrics
from .mountinfo import mount_at, mounts
from .mountoptions import MountOptions
from .mountpoint import prepare
from .operations import Operations
from .served import Served
from .source import Source
from .unmounting import unmount

__all__ = ["MountOptions", "load_binding", "mounts", "serve", "unmount"]

GRACE: Final = 5.0
"""Seconds that requests under way have to end when the mount is told to."""

log = logging.getLogger(__name__)


class TellOthers(Protocol):
    """Tells other machines of a mount until it is cancelled: the manifests that are open on it."""

    async def __call__(
        self, opened: Callable[[], Iterable[ObjectId]], task_status: trio.TaskStatus[None]
    ) -> None:
        """`opened` gives the manifests of that moment."""
        ...


async def to_nobody(
    opened: Callable[[], Iterable[ObjectId]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """For what is served to this machine alone."""
    task_status.started()


async def serve(
    store: Source,
    mountpoint: str,
    options: MountOptions,
    ready: Callable[[], None],
    *,
    stopping: Callable[[], None] = lambda: None,
    binding: Binding | None = None,
    slow: float = 0.0,
    metrics: Endpoint | None = None,
    tell_others: TellOthers = to_nobody,
) -> None:
    """Mount `store` on the folder `mountpoint` and serve it until it is unmounted.

    SIGTERM and SIGINT unmount it as well; when they come again, requests under way are dropped at
    once. `ready` is called as soon as the mount answers, `stopping` when it is told to end. Runs in
    the main thread, which alone may wait for signals. Reads that take `slow` seconds are told in
    the log, 0: none is; Prometheus may ask at `metrics`. `tell_others` runs beside it, and tells
    those who collect garbage elsewhere what is open; nothing is shown before it has started.
    UsageError, ExistsError, UnsupportedError
    or ModelFloatError when it cannot be mounted.
    """
    if binding is None:
        binding = load_binding()
    check_machine(allow_other=options.allow_other)
    path = await trio.to_thread.run_sync(prepare, mountpoint, store.path)
    started = time.time_ns()
    operations = Operations(store, options.look(started), slow=slow)
    index = os.path.join(store.path, "index")
    file = file_of(index)

    # Signals are caught before the mount exists: none may leave it behind.
    with (
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        listening_on(metrics) as (url, asked),
        listening(store.path) as server,
    ):
        session = binding.mount(operations, path, options.of_mount(store.path))
        try:
            mount = await trio.to_thread.run_sync(mount_at, path)
            device = "" if mount is None else mount.device
            served = Served(
                path, started, operations, binding.name, session, index, file, device, url
            )

            def begun() -> None:
                served.tell()
                ready()

            async with trio.open_nursery() as nursery:
                await _begin_telling(nursery, served, server, asked, tell_others)
                await _serve(session, path, signals, begun, stopping)
                nursery.cancel_scope.cancel()
        finally:
            session.close()
    log.info("%s is unmounted", path)


async def _begin_telling(
    nursery: trio.Nursery,
    served: Served,
    server: socket.socket | None,
    asked: socket.socket | None,
    tell_others: TellOthers,
) -> None:
    """Begin to answer whoever asks about the mount, here and, once this returned, elsewhere."""
    if server is not None:
        nursery.start_soon(answer_all, server, served.state)
    if asked is not None:
        nursery.start_soon(serve_metrics, asked, served.figures)
    nursery.start_soon(served.operations.slow.watch)
    await nursery.start(tell_others, served.operations.open_manifests)


async def _serve(
    session: Session,
    path: str,
    signals: AsyncIterator[int],
    ready: Callable[[], None],
    stopping: Callable[[], None],
) -> None:
    async def stop() -> None:
        await _stop_on_signal(session, path, signals, stopping, nursery.cancel_scope)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        nursery.start_soon(_announce, path, ready)
        await session.run()
        nursery.cancel_scope.cancel()


async def _announce(path: str, ready: Callable[[], None]) -> None:
    # Nothing is answered before the connection is set up, and setting it up would undo what
    # `ready` tunes. A thread has to ask: this loop is the one that answers.
    await trio.to_thread.run_sync(os.statvfs, path, abandon_on_cancel=True)
    ready()


async def _stop_on_signal(
    session: Session,
    path: str,
    signals: AsyncIterator[int],
    stopping: Callable[[], None],
    scope: trio.CancelScope,
) -> None:
    first = await anext(signals)
    stopping()
    log.info("%s: unmounting %s", signal.Signals(first).name, path)
    session.stop()
    with trio.move_on_after(GRACE):
        again = await anext(signals)
        log.warning("%s came again: requests under way are dropped", signal.Signals(again).name)
    scope.cancel()
