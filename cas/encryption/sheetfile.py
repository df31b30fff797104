"""The recovery sheet as a file: made anew, for its owner alone, and durable before it counts."""

import contextlib
import os
import time
from typing import Final

from ...durable import sync_folder
from ...errors import ExistsError, UsageError
from ...ids import StoreId
from .sheet import Sheet, encode_sheet

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def write_sheet(path: str, store: StoreId, master: bytes) -> None:
    """Write the sheet to `path`, mode 0600. ExistsError where something is there, UsageError where
    it cannot be written. Blocks."""
    data = encode_sheet(Sheet(store, master), time.strftime("%Y-%m-%d"))
    try:
        fd = os.open(path, _NEW, 0o600)
    except FileExistsError:
        raise ExistsError(
            f"{path} is there already, and a recovery sheet overwrites nothing; name another file"
        ) from None
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        remove_sheet(path)
        raise _refused(path, error) from error


def remove_sheet(path: str) -> None:
    """Take a sheet back of a store that was not made after all."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _refused(path: str, error: OSError) -> UsageError:
    return UsageError(
        f"the recovery sheet {path} cannot be written: {error.strerror}; name another file"
    )
