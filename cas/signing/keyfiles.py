"""Private keys in files: PKCS #8 in PEM (RFC 8410), as OpenSSL writes them. All of it blocks."""

import contextlib
import os
import re
import stat
from typing import Final

from ...errors import ExistsError, UsageError
from ...ids import PublicKey
from .signer import Signer, require_library

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_LONGEST: Final = 4096
"""Bytes: no such file is longer."""
_HEX: Final = re.compile("[0-9a-f]{64}")


def make_signing_key(path: str) -> Signer:
    """Make a key in a new file of mode 0600. ExistsError, UsageError."""
    require_library()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    data = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    try:
        _write(path, data)
    except FileExistsError:
        raise ExistsError(
            f"{path} is there already, and no key is overwritten; name another file"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}; name another file") from error
    return Signer.of(private)


def read_signing_key(path: str) -> Signer:
    """The key in a file; UsageError where it cannot be read, others may read it, or it is none."""
    require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, mode = _read(path)
    try:
        private = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{path} is no signing key; `modelfloat key sign new FILE` makes one")
    if stat.S_ISREG(mode) and mode & 0o077:
        raise UsageError(
            f"{path} can be read or changed by others, who could sign with it: run "
            f"`chmod 600 {path}`"
        )
    return Signer.of(private)


def public_key(text: str) -> PublicKey | None:
    """A public key from its 64 hexadecimal digits; None where `text` is something else."""
    return PublicKey(bytes.fromhex(text)) if _HEX.fullmatch(text) else None


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, _NEW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _read(path: str) -> tuple[bytes, int]:
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_LONGEST)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name the right file") from error
    return data, mode
