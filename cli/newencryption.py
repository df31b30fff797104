"""`init --encrypt`: what opens the new store, and how sure it is that somebody always can."""

import os
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from .keysource import confirm, given_secret, has_terminal, hide_memory, new_secret, strong
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.encryption.founding import Encryption

OPTIONS: Final = "--key-file and --passphrase-file"
WITHOUT: Final = "no recovery"
"""What is typed by whoever wants no recovery sheet."""


def encryption_of(
    settings: Settings, recovery_file: str | None, *, encrypt: bool
) -> "Encryption | None":
    """How the new store is to be encrypted, None where it is not.

    UsageError where nobody could be asked for a passphrase, or for the confirmation that no
    recovery sheet is wanted.
    """
    from ..cas.encryption.founding import Encryption

    if not encrypt:
        if recovery_file is not None:
            raise UsageError("--recovery-file is of encrypted stores; give --encrypt too")
        return None
    _confirm(recovery_file)
    flags = settings.flags
    given = None if flags.key_file or flags.passphrase_file else given_secret(settings)
    if given is None:
        secret = new_secret(flags.key_file, flags.passphrase_file, OPTIONS)
    else:
        secret = strong(given)
    hide_memory()
    return Encryption(secret, None if recovery_file is None else os.path.abspath(recovery_file))


def _confirm(recovery_file: str | None) -> None:
    if recovery_file is not None:
        return
    if not has_terminal():
        raise UsageError(
            "--encrypt needs --recovery-file FILE: without its recovery sheet a store whose "
            "passphrase is forgotten is lost"
        )
    question = (
        "Without --recovery-file there is no recovery sheet: if you forget the passphrase, or lose "
        "the key file, everything in the store is lost."
    )
    if not confirm(question, WITHOUT):
        raise UsageError("no store was made; run it again with --recovery-file FILE")
