"""ModelFloat: git for model weights, with a mount.

`modelfloat.open(path)` opens a store for ordinary synchronous code, `modelfloat.join` makes a
folder a site of one that is on its backends; `modelfloat.errors` has what they may raise.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .api import Store
    from .joining import JoinReport

__all__ = ["__version__", "join", "open"]


def open(  # noqa: A001 - modelfloat.open reads as it should
    path: str | os.PathLike[str],
    *,
    wait: bool = True,
    passphrase: str | None = None,
    key_file: str | os.PathLike[str] | None = None,
    sign_key: str | os.PathLike[str] | None = None,
    require_signature: bool = False,
    refresh: float = 10.0,
) -> "Store":
    """Open the store in the folder `path`; NotFoundError if there is none.

    Without `wait`, a call that meets a lock of another process raises LockedError. An encrypted
    store is opened by its `passphrase`, or by a `key_file` or a recovery sheet; WrongKeyError where
    that does not. What is added is signed by the key in the file `sign_key`; with
    `require_signature` only what a trusted key signed is there, all else is SignatureError. What
    other machines commit is seen after `refresh` seconds at most, 0: only when something is
    written.
    """
    # Imported late: the command line starts through this module and must start at once.
    from .api import Store

    return Store(
        path,
        wait=wait,
        passphrase=passphrase,
        key_file=key_file,
        sign_key=sign_key,
        require_signature=require_signature,
        refresh=refresh,
    )


def join(
    path: str | os.PathLike[str],
    backends: Sequence[str | os.PathLike[str]],
    *,
    named: Mapping[str, str] | None = None,
    passphrase: str | None = None,
    key_file: str | os.PathLike[str] | None = None,
) -> "JoinReport":
    """Make the folder `path` a site of the store that is on `backends`, given by URL or path.

    One that answers suffices: it tells of the others, and `named` says by name where those are of
    which it does not. ExistsError where a store is in the folder, UsageError where places are
    missing, UnavailableError where too many are down; of an encrypted store as of `open`.
    """
    from .api import join_store_at

    return join_store_at(path, backends, named or {}, passphrase, key_file)
