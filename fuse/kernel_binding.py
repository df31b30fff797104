"""The binding that speaks the kernel's protocol itself, on descriptors of /dev/fuse.

A few threads wait in readv(2), each on a descriptor of its own, without the interpreter's lock. A
READ whose verified bytes are in memory they answer at once, by a writev(2) that copies nothing on
the way; everything else they hand to the event loop, where it is answered when it is ready.

Concurrency: `_Line`, one a thread, is used by its thread; replies are written by that thread or by
the event loop, a write each. Everything else runs in the event loop. What threads may touch is
`Operations.read_at_once`, which says so, and `KernelSession.hand`. No thread holds a lock.
"""

import contextlib
import errno
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from . import devfuse, protocol
from .handles import Handle
from .kernel_answers import Answer, Answers, Buffer
from .mountinfo import Mount, mount_at
from .operations import Operations
from .processes import is_dying
from .protocol import HEADER, READ, UNANSWERED, Opcode, Request

THREADS: Final = 2
"""One copies a reply while the other takes the next request; Python runs no more at once."""
BUFFER: Final = 128 << 10
"""Bytes of a request at most: the kernel splits what forgets more inodes than that."""
PATIENCE: Final = 1.0
"""Seconds that threads have to see that their mount is gone."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two looks at whether a process is to die."""
_EARLY: Final = 256
"""Interrupts that are remembered when they overtook what they interrupt."""
_AGAIN: Final = frozenset({errno.ENOENT, errno.EINTR, errno.EAGAIN})
"""What a read from the device fails with when a request was taken back."""
_UNMOUNTED: Final = frozenset({errno.ENODEV, errno.ECONNABORTED})

log = logging.getLogger(__name__)


class _Line:
    """One descriptor, and the thread that reads it."""

    def __init__(self, device: int, session: "KernelSession") -> None:
        self.device = device
        self._session = session
        self._buffer = bytearray(BUFFER)
        self._parts = [self._buffer]
        self.thread = threading.Thread(target=self._run, name=f"fuse {device}", daemon=True)

    def _run(self) -> None:
        view = memoryview(self._buffer)
        try:
            while not self._session.stopping and (size := self._next()):
                if not self._at_once(size):
                    self._hand(view[:size])
        except Exception:
            log.exception("the mount cannot be served any more")
        finally:
            self._session.ended()

    def _next(self) -> int:
        """Wait for a request; its size in the buffer, 0 when none will come any more."""
        while True:
            try:
                return os.readv(self.device, self._parts)
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    return 0
                if error.errno not in _AGAIN:
                    raise

    def _at_once(self, size: int) -> bool:
        """Whether the request is a READ, and was answered."""
        if size != HEADER.size + READ.size:
            return False
        _, opcode, unique, *_ = HEADER.unpack_from(self._buffer)
        if opcode != Opcode.READ:
            return False
        handle, offset, wanted, *_ = READ.unpack_from(self._buffer, HEADER.size)
        data = self._session.read_at_once(Handle(handle), offset, wanted)
        if data is not None:
            self.reply(unique, data)
        return data is not None

    def _hand(self, data: memoryview) -> None:
        try:
            request = protocol.parse_request(data)
        except ValueError as error:
            log.warning("a request is not understood: %s", error)
            if len(data) >= HEADER.size:
                _, opcode, unique, *_ = HEADER.unpack_from(data)
                if opcode not in UNANSWERED:
                    self.refuse(unique, errno.EIO)
            return
        self._session.hand(self, request)

    def reply(self, unique: int, data: Sequence[Buffer]) -> None:
        """Send an answer."""
        size = sum(map(len, data))
        self._write(unique, [protocol.reply_header(unique, size), *data])

    def refuse(self, unique: int, number: int) -> None:
        """Send an errno."""
        self._write(unique, [protocol.refused(unique, number)])

    def _write(self, unique: int, parts: Sequence[Buffer]) -> None:
        try:
            os.writev(self.device, parts)
        except OSError as error:
            # A mount that was ended wants no answers any more.
            if error.errno not in _AGAIN | _UNMOUNTED:
                log.exception("the reply to request %d was not taken", unique)


class KernelSession:
    """One mount; see `Session`."""

    def __init__(
        self, operations: Operations, devices: Sequence[int], path: str, mount: Mount | None
    ) -> None:
        self.stopping = False
        self._operations = operations
        self._answers = Answers(operations)
        self._path = path
        self._mount = mount
        self._lines = [_Line(device, self) for device in devices]
        self._over = trio.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._under_way: dict[int, tuple[trio.CancelScope, int]] = {}
        self._early: OrderedDict[int, None] = OrderedDict()

    # What threads call

    def read_at_once(self, handle: Handle, offset: int, size: int) -> Sequence[Buffer] | None:
        """The bytes asked for, if they are in memory."""
        return self._operations.read_at_once(handle, offset, size, self._soon)

    def hand(self, line: _Line, request: Request) -> None:
        """Have a request answered in the event loop."""
        self._soon(partial(self._begin, line, request))

    def ended(self) -> None:
        """A thread reads no more: the mount is gone, or is told to go."""
        self._soon(self._over.set)

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

    def _begin(self, line: _Line, request: Request) -> None:
        if request.opcode == Opcode.INTERRUPT:
            self._interrupt(protocol.parse_number(request.body))
        elif request.opcode in UNANSWERED:
            self._answers.forget(request)
        elif self._over.is_set() or self._nursery is None:
            line.refuse(request.unique, errno.ENOTCONN)
        else:
            self._nursery.start_soon(self._answer, line, request)

    async def _answer(self, line: _Line, request: Request) -> None:
        answer = Answer(errno.EINTR)
        with trio.CancelScope() as scope:
            self._under_way[request.unique] = scope, request.pid
            try:
                if request.unique in self._early:
                    self._interrupt(request.unique)
                answer = await self._answers.answer(request)
            finally:
                del self._under_way[request.unique]
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
            await self._over.wait()

    def stop(self) -> None:
        """See `Session.stop`."""
        self.stopping = True
        self._over.set()

    def close(self) -> None:
        """See `Session.close`. Hides the mount at once: what is still open must not keep us.

        A thread that the kernel does not let go is left to the end of the process.
        """
        self.stop()
        devfuse.end_mount(self._path, self._mount)
        latest = time.monotonic() + PATIENCE
        for line in self._lines:
            if line.thread.is_alive():
                line.thread.join(max(0.0, latest - time.monotonic()))
            if not line.thread.is_alive():
                os.close(line.device)


class KernelBinding:
    """The binding; see `Binding`."""

    name = "kernel"

    def mount(self, operations: Operations, path: str, options: frozenset[str]) -> KernelSession:
        """See `Binding.mount`."""
        devices = [devfuse.open_mount(path, options)]
        try:
            devices += [devfuse.clone(devices[0]) for _ in range(THREADS - 1)]
        except OSError as error:
            log.info("requests are read by one thread: %s", error.strerror)
        return KernelSession(operations, devices, path, mount_at(path))
