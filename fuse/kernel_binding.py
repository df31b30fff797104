"""The binding that speaks the kernel's protocol itself, on descriptors of /dev/fuse.

A few threads wait in readv(2), each on a descriptor of its own, without the interpreter's lock. A
READ whose verified bytes are in memory, or quickly loaded, they answer at once, by a writev(2) that
copies nothing on the way; everything else they hand to the event loop, where it is answered when it
is ready.

Concurrency: what threads may touch of a session is `read_at_once`, `replied`, `hand`, `ended` and
`stopping`; everything else runs in the event loop. What a thread hangs with is answered there after
a while (`kernel_relief`). From `stop` on the threads refuse what comes, without the loop, until the
mount is gone: nobody waits for a daemon that leaves.
"""

import contextlib
import errno
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import trio

from ..cas.read.claims import LOADERS
from . import devfuse, protocol
from .handles import Handle
from .kernel_answers import Answer, Answers
from .kernel_line import Buffer, Line
from .kernel_relief import HANGS, Relief
from .mountinfo import Mount, mount_at
from .operations import Operations
from .passthrough import Passthrough
from .processes import is_dying
from .protocol import UNANSWERED, Opcode, Request

THREADS: Final = LOADERS + 1
"""One at least takes requests, whatever those wait for that load."""
PATIENCE: Final = 1.0
"""Seconds that threads have to see that their mount is gone."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two looks at whether a process is to die."""
_EARLY: Final = 256
"""Interrupts that are remembered when they overtook what they interrupt."""

log = logging.getLogger(__name__)


class KernelSession:
    """One mount; see `Session`."""

    def __init__(
        self, operations: Operations, devices: Sequence[int], path: str, mount: Mount | None
    ) -> None:
        self.stopping = False
        self._operations = operations
        self._passthrough = Passthrough(devices[0])
        self._answers = Answers(operations, self._passthrough)
        self._path = path
        self._mount = mount
        self._lines = [Line(device, self) for device in devices]
        self._over = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._under_way: dict[int, tuple[trio.CancelScope, int]] = {}
        self._early: OrderedDict[int, None] = OrderedDict()

    @property
    def note(self) -> str:
        """See `Session.note`."""
        return self._passthrough.note if self._operations.caches() else ""

    # What threads call

    def read_at_once(self, handle: Handle, offset: int, size: int) -> Sequence[Buffer] | None:
        """See `Receiver.read_at_once`."""
        return self._operations.read_at_once(handle, offset, size, self._soon)

    def replied(self, handle: Handle) -> None:
        """See `Receiver.replied`."""
        if self.stopping or len(self._lines) <= LOADERS:
            return
        try:
            self._operations.go_on(handle, self._soon)
        except Exception:
            log.exception("loading ahead failed unexpectedly")

    def hand(self, line: Line, request: Request) -> None:
        """See `Receiver.hand`: it is answered in the event loop."""
        self._soon(partial(self._begin, line, request))

    def ended(self) -> None:
        """See `Receiver.ended`."""
        self._soon(self._end)

    def _soon(self, job: Callable[[], object]) -> None:
        """Run `job` in the event loop; nothing where that is gone already."""
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._safely, job)

    # The event loop's side

    def _safely(self, job: Callable[[], object]) -> None:
        """What came here fails alone: an exception would end the event loop."""
        try:
            job()
        except ValueError as error:
            log.warning("a request is not understood: %s", error)
        except Exception:
            log.exception("a request failed unexpectedly")

    def _end(self) -> None:
        """Nobody is there any more to hear an answer, so none is waited for."""
        self.stop()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _begin(self, line: Line, request: Request) -> None:
        if request.opcode == Opcode.INTERRUPT:
            self._interrupt(protocol.parse_number(request.body))
        elif request.opcode in UNANSWERED:
            self._answers.forget(request)
        elif self._over.is_set() or self._nursery is None:
            line.refuse(request.unique, errno.ENOTCONN)
        else:
            self._nursery.start_soon(self._answer, line, request)

    def _begin_again(self, line: Line, data: bytes) -> None:
        self._begin(line, protocol.parse_request(memoryview(data)))

    async def _answer(self, line: Line, request: Request) -> None:
        answer = Answer(errno.ENOTCONN)
        try:
            with trio.CancelScope() as scope:
                self._under_way[request.unique] = scope, request.pid
                if request.unique in self._early:
                    self._interrupt(request.unique)
                answer = await self._answers.answer(request)
            if scope.cancelled_caught:
                answer = Answer(errno.EINTR)
        finally:  # also when all are dropped
            self._under_way.pop(request.unique, None)
            if answer.number:
                line.refuse(request.unique, answer.number)
            else:
                line.reply(request.unique, [answer.data])

    def _interrupt(self, unique: int) -> None:
        """Who waits for a request has got a signal, which may have overtaken the request here."""
        self._early.pop(unique, None)
        if unique in self._under_way and self._nursery is not None:
            self._nursery.start_soon(self._end_with_process, unique)
            return
        self._early[unique] = None
        if len(self._early) > _EARLY:
            self._early.popitem(last=False)

    async def _end_with_process(self, unique: int) -> None:
        """Give a request up as soon as who waits for it is to die, which it could not otherwise.

        Of any other signal it hears once it has its bytes, as on a disk: programs expect no EINTR
        of a file, and a page fault would make it SIGBUS.
        """
        while (found := self._under_way.get(unique)) is not None:
            scope, thread = found
            if is_dying(thread):
                scope.cancel()
                return
            await trio.sleep(LOOK_AGAIN)

    async def run(self) -> None:
        """See `Session.run`."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            for line in self._lines:
                line.thread.start()
            relief = Relief(self._lines)
            while not self._over.is_set():
                with trio.move_on_after(HANGS):
                    await self._over.wait()
                for number, request in relief.overdue():
                    log.info("a thread hangs: what it was to answer is answered in its place")
                    self._safely(partial(self._begin_again, self._lines[number], request))

    def stop(self) -> None:
        """See `Session.stop`."""
        self.stopping = True
        self._over.set()

    def close(self) -> None:
        """See `Session.close`. Hides the mount at once: what is still open must not keep us.

        A thread that the kernel does not let go is left to the end of the process.
        """
        self.stop()
        try:
            devfuse.end_mount(self._path, self._mount)
        finally:
            latest = time.monotonic() + PATIENCE
            for line in self._lines:
                if line.thread.is_alive():
                    line.thread.join(max(0.0, latest - time.monotonic()))
                line.close()


class KernelBinding:
    """The binding; see `Binding`."""

    name = "kernel"

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> KernelSession:
        """See `Binding.mount`."""
        devices = [devfuse.open_mount(path, options)]
        try:
            mount = mount_at(path)
            devices += _clones(devices[0])
            return KernelSession(operations, devices, path, mount)
        except BaseException:  # else a dead mount would be left behind
            for device in devices:
                os.close(device)
            devfuse.abandon(path)
            raise


def _clones(device: int) -> Iterator[int]:
    """Descriptors for the other threads; fewer where the kernel gives no more."""
    try:
        for _ in range(THREADS - 1):
            yield devfuse.clone(device)
    except OSError as error:
        log.info("requests are read by fewer than %d threads: %s", THREADS, error.strerror)
