"""The keys of signatures as the user names them: the one to sign by, and public ones."""

import functools
import os
from typing import TYPE_CHECKING

from .settings import Settings

if TYPE_CHECKING:
    from ..cas.signing.signer import GetSigner, Signer
    from ..ids import PublicKey


def signing_of(settings: Settings) -> "GetSigner | None":
    """What gets the key that changes of refs are signed by; None where they are not."""
    path = settings.sign_key
    if not path:
        return None

    @functools.cache
    def get() -> "Signer":
        from ..cas.signing.keyfiles import read_signing_key

        return read_signing_key(path)

    return get


def public_key_of(text: str) -> "PublicKey":
    """A public key from its digits, or that of the signing key in a file; UsageError."""
    from ..cas.signing.keyfiles import public_key, read_signing_key

    return public_key(text) or read_signing_key(os.path.abspath(text)).key
