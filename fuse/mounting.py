"""Mounting a store, serving it until it is unmounted or a signal comes, and unmounting it.

Everything but a mount works without FUSE, so the binding is imported only when one is made.
"""

import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import trio

from ..errors import UnsupportedError
from ..version import __version__
from .attributes import Look
from .binding import Binding, Session
from .control import answer_all, listening
from .mountinfo import mount_at, mounts
from .mountpoint import check_machine, prepare, unmount
from .mountstate import MountState
from .operations import Operations
from .source import Source
from .tuning import tune

__all__ = ["MountOptions", "mounts", "serve", "unmount"]

GRACE: Final = 5.0
"""Seconds that requests under way have to end when the mount is told to."""
_OPTIONS: Final = frozenset(
    {
        "fsname=modelfloat",
        "subtype=modelfloat",
        "ro",
        "nosuid",
        "nodev",
        "noatime",
        "default_permissions",
    }
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """`allow_other` lets other users than the one who mounts read the files."""

    allow_other: bool = False

    def of_mount(self) -> frozenset[str]:
        """The options as mount(8) has them."""
        return _OPTIONS | {"allow_other"} if self.allow_other else _OPTIONS


async def serve(
    store: Source,
    mountpoint: str,
    options: MountOptions,
    ready: Callable[[], None],
    *,
    binding: Binding | None = None,
) -> None:
    """Mount `store` on the folder `mountpoint` and serve it until it is unmounted.

    SIGTERM and SIGINT unmount it as well; when they come again, requests under way are dropped at
    once. `ready` is called as soon as the mount answers. Runs in the main thread, which alone may
    wait for signals. UsageError, ExistsError or UnsupportedError when it cannot be mounted.
    """
    if binding is None:
        binding = load_binding()
    check_machine(allow_other=options.allow_other)
    path = prepare(mountpoint)
    started = time.time_ns()
    operations = Operations(store, Look.of_process(started))

    def state() -> MountState:
        open_files, errors = operations.open_files(), operations.last_errors()
        return MountState(os.getpid(), __version__, path, started, open_files, errors)

    # Signals are caught before the mount exists: none may leave it behind.
    with (
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals,
        listening(store.path) as server,
    ):
        session = binding.mount(operations, path, options.of_mount())
        try:
            async with trio.open_nursery() as nursery:
                if server is not None:
                    nursery.start_soon(answer_all, server, state)
                await _serve(session, path, signals, ready)
                nursery.cancel_scope.cancel()
        finally:
            session.close()
    log.info("%s is unmounted", path)


def load_binding() -> Binding:
    """The binding through pyfuse3; UnsupportedError, with what to install, when it is not there."""
    try:
        from .pyfuse3_binding import Pyfuse3Binding
    except ImportError as error:
        raise UnsupportedError(
            f"mounting needs pyfuse3 and libfuse 3 ({error}); install `fuse3` with the system's "
            "package manager and `pyfuse3` with pip"
        ) from error
    return Pyfuse3Binding()


async def _serve(
    session: Session, path: str, signals: AsyncIterator[int], ready: Callable[[], None]
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, session, path, signals, nursery.cancel_scope)
        nursery.start_soon(_announce, path, ready)
        await session.run()
        nursery.cancel_scope.cancel()


async def _announce(path: str, ready: Callable[[], None]) -> None:
    # Nothing is answered before the connection is set up, and setting it up would undo what is
    # tuned earlier. A thread has to ask: this loop is the one that answers.
    await trio.to_thread.run_sync(os.statvfs, path, abandon_on_cancel=True)
    mount = mount_at(path)
    if mount is not None:
        tune(mount)
    ready()


async def _stop_on_signal(
    session: Session, path: str, signals: AsyncIterator[int], scope: trio.CancelScope
) -> None:
    first = await anext(signals)
    log.info("%s: unmounting %s", signal.Signals(first).name, path)
    session.stop()
    with trio.move_on_after(GRACE):
        again = await anext(signals)
        log.warning("%s came again: requests under way are dropped", signal.Signals(again).name)
    scope.cancel()
