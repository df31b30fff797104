"""Every failure of ModelFloat, in one tree; each class carries the exit status of the command.

    ModelFloatError                 1   anything below
    ├── UsageError                  2   wrong arguments, names, URLs, schemes
    ├── NotFoundError               1   a store, repository, REV or path that is not there
    ├── ExistsError                 1   something that is there already and may not be
    ├── ConflictError               1   what was to be changed is not as it was seen
    │   └── RefMovedError           1   a ref moved while it was being updated
    ├── BusyError                   1   programs still use what was to be taken away
    ├── LockedError                 1   another process holds the lock
    ├── LeaseLostError              1   a lease on the store ended while it was relied on
    ├── FormatError                 1   a store or record this release cannot read or write
    ├── KeyNeededError              1   the store is encrypted, and its key was not given
    ├── SignatureError              1   a ref that is not signed as it should be, or is older
    ├── IndexDamagedError           1   the LMDB index cannot be opened or contradicts itself
    ├── SourceChangedError          1   a file changed while it was being added
    ├── SourceDamagedError          1   a file is not what its checksum says
    ├── SourceUnreadableError       1   a file that should be added cannot be read
    ├── UnsupportedError            1   the machine lacks what this needs (FUSE, a library)
    ├── WrongKeyError               1   what was given does not open the store
    ├── BackendError                1   what one backend answered
    │   ├── KeyNotFoundError        1   it has no such key
    │   ├── KeyExistsError          1   a write-once key is there already
    │   ├── UnavailableError        1   it cannot be reached now; the only one worth a retry
    │   │   ├── TimedOutError       1   it took longer than any call may
    │   │   └── ThrottledError      1   its provider wants it left alone for a while
    │   ├── QuotaError              1   it is full
    │   ├── DeniedError             1   it refuses us
    │   ├── CorruptAnswerError      1   it answered short, or with what it cannot hold
    │   └── MarkerError             1   its marker is missing or foreign: it counts as down
    └── DamageError                 3   stored bytes are not what they were
        ├── ChunkDamagedError       3   a chunk's bytes do not hash to its id
        ├── ShardDamagedError       3   a shard's footer or trailer cannot be trusted
        └── DataLostError           4   more shards are gone than parity can replace

A message is one line: what happened, to which object, and what to do next. It never contains
credentials; backends are named, their URLs are not printed with user information.
"""

import contextlib
from collections.abc import Iterator
from typing import ClassVar, Final


class ModelFloatError(Exception):
    """Anything ModelFloat reports on purpose; the command ends with `exit_status`."""

    exit_status: ClassVar[int] = 1


class UsageError(ModelFloatError):
    """Wrong arguments: a name, a URL, a scheme or an option that cannot be."""

    exit_status = 2


class NotFoundError(ModelFloatError):
    """A store, repository, REV or path that is not there."""


class ExistsError(ModelFloatError):
    """Something is there already and may not be overwritten."""


class ConflictError(ModelFloatError):
    """What was to be changed is not as it was seen; nothing was lost."""


class RefMovedError(ConflictError):
    """A ref moved while it was being updated; nothing was changed, the command can be repeated."""


class BusyError(ModelFloatError):
    """Programs still use what was to be taken away."""


class LockedError(ModelFloatError):
    """Another process holds the lock and the caller did not want to wait."""


class LeaseLostError(ModelFloatError):
    """A lease on the store ended before the work under it; what was done stays whole."""


class FormatError(ModelFloatError):
    """A store, object or record that this release can not read, or may only read."""


KEY_NEEDED: Final = (
    "the store is encrypted and its key was not given: give its passphrase, a key file or the "
    "recovery sheet"
)
"""For what can neither be read nor written without the key."""


class KeyNeededError(ModelFloatError):
    """An encrypted store was opened without its key, which this needs."""


class SignatureError(ModelFloatError):
    """Signatures are required, and a ref has none that is trusted, or is older than it was."""


class IndexDamagedError(ModelFloatError):
    """The index cannot be opened or contradicts itself; it can be rebuilt from the backends."""


class SourceChangedError(ModelFloatError):
    """A file changed, shrank or vanished while it was being added."""


class SourceDamagedError(ModelFloatError):
    """A file to be added does not have the checksum that it should have."""


class SourceUnreadableError(ModelFloatError):
    """A file that should be added cannot be opened or read."""


class UnsupportedError(ModelFloatError):
    """This machine lacks something the command needs."""


class WrongKeyError(ModelFloatError):
    """A passphrase, a key file or a recovery sheet is not one that opens the store."""


class BackendError(ModelFloatError):
    """What one backend answered. `backend` is its name, `key` the key in question (or "")."""

    def __init__(self, message: str, *, backend: str = "", key: str = "") -> None:
        super().__init__(message)
        self.backend = backend
        self.key = key


class KeyNotFoundError(BackendError):
    """The backend has no such key."""


class KeyExistsError(BackendError):
    """The key was to be written once and is there already."""


class UnavailableError(BackendError):
    """The backend cannot be reached now, or took too long; the only error worth a retry."""


class TimedOutError(UnavailableError):
    """A call took longer than any may: its backend hangs."""


class ThrottledError(UnavailableError):
    """The provider wants to be left alone: an allowance is used up for `seconds` more."""

    def __init__(
        self, message: str, *, backend: str = "", key: str = "", seconds: float = 0.0
    ) -> None:
        super().__init__(message, backend=backend, key=key)
        self.seconds = seconds


class QuotaError(BackendError):
    """The backend is full."""


class DeniedError(BackendError):
    """The backend refuses the request: permissions, credentials, a read-only filesystem."""


class CorruptAnswerError(BackendError):
    """The backend answered short, or with bytes it cannot hold."""


class MarkerError(BackendError):
    """The backend's marker is missing or names another store: it counts as down, never empty."""


class DamageError(ModelFloatError):
    """Stored bytes are not what they were."""

    exit_status = 3


class ChunkDamagedError(DamageError):
    """A chunk's bytes do not decode, or do not hash to its id."""


class ShardDamagedError(DamageError):
    """A shard's trailer or footer cannot be trusted."""


class DataLostError(DamageError):
    """More shards of a pack are gone than its parity can replace."""

    exit_status = 4


def first_failure(error: BaseException) -> ModelFloatError | None:
    """The first of our errors in `error`, which may be a group of groups; None if there is none."""
    if isinstance(error, BaseExceptionGroup):
        found = (first_failure(inner) for inner in error.exceptions)
        return next((failure for failure in found if failure is not None), None)
    return error if isinstance(error, ModelFloatError) else None


@contextlib.contextmanager
def one_failure() -> Iterator[None]:
    """Raise the first of our errors alone, where concurrent tasks would raise a group of them."""
    try:
        yield
    except BaseExceptionGroup as group:
        failure = first_failure(group)
        if failure is None:
            raise
        # What is behind it stays: who makes room asks whether that is a full disk.
        raise failure from failure.__cause__ or group
