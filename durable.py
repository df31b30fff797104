"""Files that are written durably: what was written is there after a pulled plug, name and all."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from .errors import ModelFloatError

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def replace_file(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write `path`, by a file beside it that takes its name: readers find the old bytes or the new
    ones. OSError where that fails.

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
    sync_folder(os.path.dirname(os.path.abspath(path)))


def append_lines(path: str, lines: bytes) -> None:
    """Add lines to a file of one's own, made where there is none; OSError where that fails."""
    with open(os.open(path, _APPEND, 0o600), "ab", buffering=0) as file:
        made = os.fstat(file.fileno()).st_size == 0
        # An empty line ends one that a crash has cut short.
        file.write(b"\n" + lines)
        os.fsync(file.fileno())
    if made:
        sync_folder(os.path.dirname(os.path.abspath(path)))


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, _FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def on_store_disk(path: str) -> Iterator[None]:
    """What the system says of a file in a store's folder, as ModelFloatError."""
    try:
        yield
    except OSError as error:
        raise ModelFloatError(
            f"{path} cannot be written: {error.strerror}; see to the disk that the store is on"
        ) from error
