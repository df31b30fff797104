"""Secrets in files: key files, recovery sheets, passphrases in a first line. All of it blocks."""

import os
import secrets
from typing import Final

from ...errors import UsageError
from .secrets import LONGEST, Secret, key_file, passphrase

NEW_SIZE: Final = 32
"""Random bytes of a key file that is made: as many as the key has."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def read_key_file(path: str) -> Secret:
    """The secret that is all of a file, or the key on a recovery sheet; UsageError where it cannot
    be read or is neither."""
    return key_file(_read(path), path)


def read_passphrase_file(path: str) -> Secret:
    """The passphrase in the first line of a file; UsageError where it cannot be read."""
    line = _read(path).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        return passphrase(line.decode(), f"the passphrase in {path}")
    except UnicodeDecodeError:
        raise UsageError(f"{path} has no text in its first line; is it a key file?") from None


def make_key_file(path: str) -> None:
    """Make a key file of random bytes, for its owner alone; one that is there stays as it is."""
    try:
        fd = os.open(path, _NEW, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}; name another file") from error
    with open(fd, "wb") as file:
        file.write(secrets.token_bytes(NEW_SIZE))
        file.flush()
        os.fsync(file.fileno())


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name the right file") from error
