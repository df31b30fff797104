"""Who holds a lock, for the message of whoever waits for it.

A lock's only holder signs the lock file itself. Holders who share it lay a small file each beside
it, `<lock>.<random>`, and keep that locked: the file of a dead one is free, and is removed by who
asks. Names are for people: where one cannot be written, on a full disk say, the lock holds anyway.
"""

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator
from typing import Final

UNKNOWN: Final = "another process"
_LONGEST: Final = 300


def sign(fd: int, what: str) -> None:
    """Write into a lock file who holds it: `what` says for which work."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    work = f" ({what})" if what else ""
    text = f"pid {os.getpid()} on {socket.gethostname()}{work}, since {since}\n"
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        # The work may name a folder, which need not be UTF-8.
        os.pwrite(fd, os.fsencode(text), 0)


def erase(fd: int) -> None:
    """Take the holder's name out of a lock file."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)


def signature(fd: int) -> str:
    """What a lock file says of its holder."""
    return os.pread(fd, _LONGEST, 0).decode(errors="replace").strip()


@contextlib.contextmanager
def signed_in(path: str, what: str) -> Iterator[None]:
    """Be named among those who share the lock file `path`."""
    own = f"{path}.{secrets.token_hex(8)}"
    try:
        fd = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        sign(fd, what)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(own)
        os.close(fd)


def who_shares(path: str) -> list[str]:
    """Those who share the lock file `path` now, each as it signed; what dead ones left goes."""
    folder, name = os.path.split(path)
    found = []
    for entry in sorted(os.listdir(folder)):
        if entry.startswith(f"{name}."):
            with contextlib.suppress(OSError):
                text = _living(os.path.join(folder, entry))
                found += [text] if text else []
    return found


def _living(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return signature(fd) or UNKNOWN
    else:
        # One that was just made and is not locked yet goes too: only its name is lost.
        os.unlink(path)
        return ""
    finally:
        os.close(fd)
