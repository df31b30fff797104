"""ModelFloat: git for model weights, with a mount.

`modelfloat.open(path)` opens a store for ordinary synchronous code; `modelfloat.errors` has what it
may raise.
"""

import os
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .api import Store

__all__ = ["__version__", "open"]


def open(  # noqa: A001 - modelfloat.open reads as it should
    path: str | os.PathLike[str],
    *,
    wait: bool = True,
    passphrase: str | None = None,
    key_file: str | os.PathLike[str] | None = None,
) -> "Store":
    """Open the store in the folder `path`; NotFoundError if there is none.

    Without `wait`, a call that meets a lock of another process raises LockedError. An encrypted
    store is opened by its `passphrase`, or by a `key_file` or a recovery sheet; WrongKeyError where
    that does not.
    """
    # Imported late: the command line starts through this module and must start at once.
    from .api import Store

    return Store(path, wait=wait, passphrase=passphrase, key_file=key_file)
