"""Operating system errors of a directory, translated into the error tree. Pure but for `errno`."""

import errno
import os
from typing import Final

from ..errors import (
    BackendError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)

MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.ENOTEMPTY,
        errno.EMLINK,
        errno.EOPNOTSUPP,
    }
)


def translate(error: OSError, backend: str, key: str) -> BackendError:
    """`error`, met with `key` of a backend whose root is there, as one of ours.

    Anything not known to last (EIO, ESTALE, ENOTCONN, too many open files, …) is
    UnavailableError.
    """
    what = f"backend {backend}: {key}" if key else f"backend {backend}"
    said = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in MISSING:
        return KeyNotFoundError(f"{what} is not there", backend=backend, key=key)
    if error.errno in FULL:
        return QuotaError(
            f"{what}: {said}; free some space there or add a backend", backend=backend, key=key
        )
    if error.errno in REFUSED:
        return DeniedError(
            f"{what}: {said}; check the directory's owner, mode and mount options",
            backend=backend,
            key=key,
        )
    return UnavailableError(
        f"{what}: {said}; check the disk or its connection", backend=backend, key=key
    )
