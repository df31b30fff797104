"""A file that is replaced as a whole: readers find the old bytes or the new ones."""

import contextlib
import os
from typing import Final

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def replace_file(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write `path`, durably, by a file beside it that takes its name; OSError where that fails.

    `mode` is that of a new file, less umask.
    """
    temporary = f"{path}.{os.urandom(4).hex()}"
    fd = os.open(temporary, _NEW, mode)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
