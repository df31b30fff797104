"""One descriptor of /dev/fuse and the thread that reads it: what is answered at once, and how.

The device takes a reply whole or not at all, and forgets a request only when it took one: so every
request that came is answered here whatever fails, by an errno if need be, or somebody would wait
for ever. No request ends the thread.

Concurrency: replies are written by the thread or by the event loop, a write each. `close` is for
the event loop, when the thread has ended: what comes later is dropped, and never written to
whatever has got the descriptor's number by then.
"""

import errno
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Final, Protocol

from . import protocol
from .handles import Handle
from .protocol import HEADER, LARGEST, READ, UNANSWERED, Opcode, Request

BUFFER: Final = 128 << 10
"""Bytes of a request at most: the kernel splits what forgets more inodes than that."""
MOST_PARTS: Final = 512
"""Parts of one reply; writev(2) takes 1,024, and so many are slower than a copy."""
_AGAIN: Final = frozenset({errno.ENOENT, errno.EINTR, errno.EAGAIN})
"""What a read from the device fails with when a request was taken back."""
_UNMOUNTED: Final = frozenset({errno.ENODEV, errno.ECONNABORTED})
_FAILURES: Final = 50
"""Reads that may fail in a row for any other reason: the kernel answered EIO to those requests."""
_PAUSE: Final = 0.1
"""Seconds after such a failure: it may be memory that lacks."""

Buffer = bytes | memoryview

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who gets the requests; threads call it."""

    stopping: bool

    def read_at_once(self, handle: Handle, offset: int, size: int) -> Sequence[Buffer] | None:
        """The bytes asked for, if they are in memory, or can be had here. May hang as a disk does:
        then the request is answered elsewhere."""
        ...

    def replied(self, handle: Handle) -> None:
        """A request of that file was answered at once; the thread has time now. Never fails."""
        ...

    def hand(self, line: "Line", request: Request) -> None:
        """Have a request answered elsewhere, later."""
        ...

    def ended(self) -> None:
        """The thread reads no more: the mount is gone."""
        ...


class Line:
    """One descriptor, and the thread that reads it.

    `held` is the READ that the thread answers at this moment; see `kernel_relief`.
    """

    def __init__(self, device: int, receiver: Receiver) -> None:
        self._device = device
        self._receiver = receiver
        self._buffer = bytearray(BUFFER)
        self._parts = [self._buffer]
        self.held: bytes | None = None
        self.thread = threading.Thread(target=self._run, name=f"fuse {device}", daemon=True)

    def close(self) -> None:
        """Close the descriptor, if the thread has ended. One that still waits keeps it."""
        if not self.thread.is_alive():
            device, self._device = self._device, -1
            os.close(device)

    def reply(self, unique: int, data: Sequence[Buffer]) -> None:
        """Send an answer, or EIO where the kernel does not take it. Never fails."""
        try:
            if len(data) > MOST_PARTS:
                data = [b"".join(data)]
            size = sum(map(len, data))
            taken = self._write([protocol.reply_header(unique, size), *data])
        except Exception:
            log.exception("an answer cannot be sent")
            taken = False
        if not taken:
            self.refuse(unique, errno.EIO)

    def refuse(self, unique: int, number: int) -> None:
        """Send an errno. Never fails."""
        self._write([protocol.refused(unique, number)])

    def _write(self, parts: Sequence[Buffer]) -> bool:
        """Whether the reply was taken, or wanted no more: False where the request waits on."""
        if self._device < 0:
            return True
        try:
            os.writev(self._device, parts)
        except OSError as error:
            if error.errno in _AGAIN | _UNMOUNTED:
                return True
            log.exception("a reply of %d bytes was not taken", sum(map(len, parts)))
            return False
        return True

    # The thread

    def _run(self) -> None:
        try:
            while size := self._next():
                self._take(size)
        except OSError as error:
            log.critical("the mount cannot be served any more: %s", error)
        finally:
            self._receiver.ended()

    def _next(self) -> int:
        """Wait for a request; its size in the buffer, 0 when none will come any more."""
        failures = 0
        while True:
            try:
                return os.readv(self._device, self._parts)
            except OSError as error:
                if error.errno in _UNMOUNTED:
                    return 0
                if error.errno in _AGAIN:
                    continue
                failures += 1
                if failures > _FAILURES:
                    raise
                log.error("a request cannot be read: %s", error.strerror)  # noqa: TRY400
                time.sleep(_PAUSE)

    def _take(self, size: int) -> None:
        try:
            if self._receiver.stopping:
                self._decline(size, errno.ENOTCONN)
            elif not self._at_once(size):
                request = protocol.parse_request(memoryview(self._buffer)[:size])
                self._receiver.hand(self, request)
        except ValueError as error:
            log.warning("a request is not understood: %s", error)
            self._decline(size, errno.EIO)
        except Exception:
            log.exception("a request failed unexpectedly")
            self._decline(size, errno.EIO)

    def _at_once(self, size: int) -> bool:
        """Whether the request is a READ, and was answered."""
        if size != HEADER.size + READ.size:
            return False
        _, opcode, unique, *_ = HEADER.unpack_from(self._buffer)
        if opcode != Opcode.READ:
            return False
        handle, offset, wanted, *_ = READ.unpack_from(self._buffer, HEADER.size)
        if wanted > LARGEST:
            return False
        self.held = bytes(self._buffer[:size])
        try:
            data = self._receiver.read_at_once(Handle(handle), offset, wanted)
        finally:
            self.held = None
        if data is not None:
            self.reply(unique, data)
            self._receiver.replied(Handle(handle))
        return data is not None

    def _decline(self, size: int, number: int) -> None:
        """Refuse the request in the buffer, if it is one that wants a reply."""
        if size >= HEADER.size:
            _, opcode, unique, *_ = HEADER.unpack_from(self._buffer)
            if opcode not in UNANSWERED:
                self.refuse(unique, number)
