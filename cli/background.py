"""Starting a mount in the background, and waiting until it is ready.

The daemon is a fresh run of this program, not a fork: the index must not be carried across a fork.
It says that it is ready through a pipe; when it ends before that, its last line in the log is told.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .output import complain, tell

if TYPE_CHECKING:
    from ..cas.encryption.secrets import Secret

READY: Final = b"ready\n"
LONGEST: Final = 8 << 20
"""Bytes from which on a log gives way to a new one."""
KEPT: Final = 2
"""Earlier logs that are kept."""
_LOG_TAIL: Final = 16 << 10
_OURS: Final = re.compile(r"(?:modelfloat:|\d{4}-\d\d-\d\d \S+ error:) (.*)")
"""A failure that we told, before or after the log got its times."""
_FOREIGN: Final = ("fuse: ", "fusermount3: ")


def start(arguments: Sequence[str], log_path: str, secret: "Secret | None" = None) -> int:
    """Run `modelfloat ARGUMENTS… --ready-fd N` in a session of its own; returns the exit status.

    What opens the store is handed over in memory that no other process sees. 0 when the program
    said that it is ready; it then lives on. Otherwise its own status, its message told.
    """
    log = _log_or_none(log_path)
    begin, end = os.pipe()
    handed = [] if secret is None else [hand_over(secret)]
    try:
        offset = os.fstat(log).st_size
        try:
            child = subprocess.Popen(  # noqa: S603  our own program
                [
                    *(sys.executable, "-m", "modelfloat.cli.main", *arguments),
                    *(f"--ready-fd={end}", *(f"--key-fd={fd}" for fd in handed)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(end, *handed),
                start_new_session=True,
                cwd="/",
            )
        finally:
            for fd in (end, *handed):
                os.close(fd)
        if _wait_ready(begin, child):
            child.returncode = 0  # it lives on without us: nobody is to wait for it
            return 0
        status = child.wait()
        complain(_last_words(log, offset) or f"the mount ended at once; see {log_path}")
        return status if 0 < status < 128 else 1
    finally:
        os.close(log)


def hand_over(secret: "Secret") -> int:
    """A file without a name that has what opens the store."""
    told = {
        "kind": secret.kind,
        "data": secret.data.hex(),
        "source": secret.source,
        "store": None if secret.store is None else secret.store.hex(),
    }
    fd = os.memfd_create("modelfloat")
    os.write(fd, json.dumps(told).encode())
    return fd


def take_secret(fd: int) -> "Secret":
    """In the daemon: what opens the store, as the parent handed it over."""
    from ..cas.encryption.secrets import Secret
    from ..cas.formats.keyring import SlotKind
    from ..ids import StoreId
    from .keysource import hide_memory

    hide_memory()
    with open(fd, "rb") as file:
        file.seek(0)
        told = json.loads(file.read())
    return Secret(
        None if told["kind"] is None else SlotKind(told["kind"]),
        bytes.fromhex(told["data"]),
        told["source"],
        None if told["store"] is None else StoreId(bytes.fromhex(told["store"])),
    )


def _log_or_none(path: str) -> int:
    """The log; one that nobody will see where the store cannot be written to."""
    try:
        return open_log(path)
    except OSError as error:
        folder = os.path.dirname(path)
        tell(f"no log is kept of this mount: {folder}: {os.strerror(error.errno or 0)}")
        with tempfile.TemporaryFile("a+b", buffering=0) as file:
            return os.dup(file.fileno())


def open_log(path: str) -> int:
    """The log, begun anew where it has grown long; `KEPT` earlier ones stay beside it."""
    from ..cas.storeowner import give, make_folder

    folder = os.path.dirname(path)
    store = os.path.dirname(folder)
    os.close(make_folder(folder, store))
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_size > LONGEST:
            _make_way(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(path, flags, 0o600)
    give(log, store)
    return log


def _make_way(path: str) -> None:
    """`log.1` becomes `log.2`, and `log` `log.1`; a daemon that still writes goes on in it."""
    for number in range(KEPT, 0, -1):
        earlier = f"{path}.{number - 1}" if number > 1 else path
        with contextlib.suppress(FileNotFoundError):
            os.replace(earlier, f"{path}.{number}")


def _wait_ready(pipe: int, child: "subprocess.Popen[bytes]") -> bool:
    try:
        with open(pipe, "rb") as file:
            return file.read(len(READY)) == READY
    except KeyboardInterrupt:
        child.terminate()  # it is in a session of its own, where our Ctrl-C did not arrive
        child.wait()
        raise


def announce(ready_fd: int) -> None:
    """In the daemon: tell who waits that the mount is ready."""
    os.write(ready_fd, READY)
    os.close(ready_fd)


def _last_words(log: int, offset: int) -> str:
    """The last failure in the log from `offset` on, without time and prefix; and what libfuse and
    fusermount3 had said before it, for they name the obstacle."""
    size = os.fstat(log).st_size
    begin = max(offset, size - _LOG_TAIL)
    lines = os.pread(log, size - begin, begin).decode(errors="replace").splitlines()
    ours = [match[1] for line in lines if (match := _OURS.fullmatch(line))]
    theirs = [line for line in lines if line.startswith(_FOREIGN)]
    if not ours:
        return lines[-1] if lines else ""
    said = f" ({theirs[-1]})" if theirs else ""
    return ours[-1] + said
