"""Asking the mounts of a store what they do, over a Unix socket each: `STORE/run/mount-PID.sock`.

Whoever connects gets one JSON document and the end of the stream; nothing is ever asked for. Only
the store's owner and root may connect. An address in AF_UNIX has 108 bytes, a store's path any
number: so sockets are named through the folder's descriptor.

Concurrency: whoever makes or removes a socket holds the folder's flock, so no socket is taken for
a dead daemon's in the moment between its bind and its listen. The lock is held across no wait.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

import trio

from ..cas.storeowner import make_folder
from ..errors import FormatError, ModelFloatError
from .mountstate import (
    SILENT,
    MountState,
    OpenFileState,
    ReadError,
    decode_state,
    encode_state,
)

__all__ = ["MountState", "OpenFileState", "ReadError", "answer_all", "listening", "mount_states"]

FOLDER: Final = "run"
PATIENCE: Final = 3.0
"""Seconds in which all daemons of a store have to answer."""
_LONGEST: Final = 64 << 20
"""Bytes of an answer that are read at most."""
_NAME: Final = re.compile(r"mount-(\d+)(?:-\d+)?\.sock")
_DEAD: Final = (errno.ECONNREFUSED, errno.ENOENT)

log = logging.getLogger(__name__)


# The daemon's side


@contextlib.contextmanager
def listening(store: str) -> Iterator[socket.socket | None]:
    """The socket of this process's mount of the store in `store`; None where it cannot write.

    ModelFloatError where others could write and would not see this mount: gc would delete what is
    open on it.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder = make_folder(os.path.join(store, FOLDER), store)
            stack.callback(os.close, folder)
            server, name = _bound(folder, os.stat(store))
        except OSError as error:
            _refuse_unseen(store, error)
            yield None
            return
        stack.enter_context(server)
        stack.callback(_remove, folder, name)
        yield server


def _refuse_unseen(store: str, error: OSError) -> None:
    path = os.path.join(store, FOLDER)
    if os.access(store, os.W_OK):
        raise ModelFloatError(
            f"{path} takes no socket ({error.strerror}), without which gc cannot see what is open "
            "on a mount; let it be a folder of the user who mounts, on a filesystem with sockets"
        ) from error
    log.warning("gc will refuse while this is mounted: %s: %s", path, error.strerror)


async def answer_all(server: socket.socket, state: Callable[[], MountState]) -> None:
    """Tell everybody who connects what `state` says at that moment. Runs until it is cancelled."""

    async def answer(stream: trio.SocketStream) -> None:
        # Who does not read is not waited for, and who went away is no error. Nothing that is told
        # of a mount may end it.
        try:
            with trio.move_on_after(PATIENCE), contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(encode_state(state()))
        except Exception:
            log.exception("who asked what this mount does got no answer")

    listener = trio.SocketListener(trio.socket.from_stdlib_socket(server))
    await trio.serve_listeners(answer, [listener])


def _bound(folder: int, store: os.stat_result) -> tuple[socket.socket, str]:
    server = socket.socket(socket.AF_UNIX)
    try:
        name = _bind(folder, server)
        try:
            if os.geteuid() == 0:  # the store's owner is to see root's mounts too
                os.chown(name, store.st_uid, store.st_gid, dir_fd=folder, follow_symlinks=False)
            server.setblocking(False)
        except BaseException:
            _remove(folder, name)
            raise
    except BaseException:
        server.close()
        raise
    return server, name


def _remove(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _bind(folder: int, server: socket.socket) -> str:
    """Listen under the first free name: in another PID namespace may be a mount of our number."""
    os.fchmod(server.fileno(), 0o600)
    with _alone(folder):
        for name in filter(_NAME.fullmatch, os.listdir(folder)):
            _remove_if_dead(folder, name)
        for number in count():
            name = f"mount-{os.getpid()}{f'-{number}' if number else ''}.sock"
            try:
                server.bind(_address(folder, name))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                server.listen()
                return name
    raise AssertionError  # count() has no end


# What both sides need


def _address(folder: int, name: str) -> str:
    return f"/proc/self/fd/{folder}/{name}"


@contextlib.contextmanager
def _alone(folder: int) -> Iterator[None]:
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _connect(folder: int, name: str) -> socket.socket:
    """A connection, made at once or not at all: OSError."""
    client = socket.socket(socket.AF_UNIX)
    try:
        client.setblocking(False)
        client.connect(_address(folder, name))
    except BaseException:
        client.close()
        raise
    return client


def _remove_if_dead(folder: int, name: str) -> None:
    try:
        _connect(folder, name).close()
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            _remove(folder, name)


# The side of whoever asks


def mount_states(store: str) -> list[MountState]:
    """What the living mounts of the store in `store` say, by pid; sockets of dead ones are removed.

    Takes some seconds at most: a mount that hangs, or speaks a newer language, is there with its
    `problem`. ModelFloatError where this user may not ask.
    """
    path = os.path.join(store, FOLDER)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelFloatError(
            f"{path} cannot be read: {error.strerror}; ask as the user who mounts"
        ) from error
    try:
        return _ask_all(folder)
    finally:
        os.close(folder)


def forget_dead(store: str) -> None:
    """Remove the sockets of mounts of the store in `store` that ended without doing so."""
    with contextlib.suppress(OSError):
        folder = os.open(os.path.join(store, FOLDER), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with _alone(folder):
                for name in filter(_NAME.fullmatch, os.listdir(folder)):
                    _remove_if_dead(folder, name)
        finally:
            os.close(folder)


def _ask_all(folder: int) -> list[MountState]:
    latest = time.monotonic() + PATIENCE
    names = {name: int(match[1]) for name in os.listdir(folder) if (match := _NAME.fullmatch(name))}
    with contextlib.ExitStack() as stack:
        # All are connected before the first is waited for, so they prepare their answers at once.
        asked = [(pid, _ask(folder, name)) for name, pid in names.items()]
        for _, connection in asked:
            if isinstance(connection, socket.socket):
                stack.enter_context(connection)
        heard = [_hear(pid, each, latest) for pid, each in asked if each is not None]
    return sorted((state for state in heard if state is not None), key=lambda state: state.pid)


def _ask(folder: int, name: str) -> socket.socket | OSError | None:
    """A connection to one mount; None when it is dead."""
    try:
        return _connect(folder, name)
    except OSError as error:
        if error.errno not in _DEAD:
            return error
    with _alone(folder):
        _remove_if_dead(folder, name)
    return None


def _hear(pid: int, connection: socket.socket | OSError, latest: float) -> MountState | None:
    """What one mount says; None when it ended without a word."""
    try:
        if isinstance(connection, OSError):
            raise connection
        answer = _receive(connection, latest)
        return decode_state(answer) if answer else None
    except ConnectionError:
        return None
    except FormatError as error:
        return MountState(pid, "", "", 0, problem=str(error))
    except (TimeoutError, BlockingIOError):
        return MountState(pid, "", "", 0, problem=SILENT)
    except OSError as error:
        return MountState(pid, "", "", 0, problem=f"it cannot be asked: {error.strerror}")


def _receive(connection: socket.socket, latest: float) -> bytes:
    answer = bytearray()
    while len(answer) <= _LONGEST:
        connection.settimeout(max(0.01, latest - time.monotonic()))
        part = connection.recv(1 << 16)
        if not part:
            return bytes(answer)
        answer += part
    raise FormatError("its answer has no end; unmount and mount it again")
