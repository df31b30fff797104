"""Opening the index's LMDB environment: its sub-databases, its format, what keeps us from writing.

An environment of an earlier format is brought up to date when it is opened for writing: the
sub-databases that it lacks are made, and the format's number is changed last. One that can only
be read stays as it is.
"""

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import lmdb

from ...errors import FormatError, IndexDamagedError, LockedError, ModelFloatError
from .lmdbfile import check_file
from .lockfile import READERS, allocate_lock
from .networkfs import refuse_network

FORMAT: Final = b"3"
SIGNED: Final = b"4"
"""The format of an index with signed ref changes; whoever applies the first one says so."""
EARLIER: Final = (b"1", b"2")
"""Formats that are brought up to date in place."""
MAP_SIZE: Final = 1 << 40
"""Address space for the environment: it is sparse, the file grows as it fills."""
MAX_READERS: Final = 1024
MAX_DATABASES: Final = 32

_FORBIDDEN: Final = (os.strerror(errno.EACCES), os.strerror(errno.EROFS))
_CUT_SHORT: Final = os.strerror(errno.EIO)


@dataclass(frozen=True, slots=True)
class Databases:
    """The index's sub-databases, as `docs/format.md` specifies them.

    The last six are None in an index that lacks them and can only be read.
    """

    meta: Any
    chunks: Any
    packs: Any
    packids: Any
    objects: Any
    refs: Any
    superseded: Any
    writers: Any
    reflog: Any
    sources: Any
    deleted: Any
    lost: Any
    gaps: Any
    sums: Any


@dataclass(frozen=True, slots=True)
class Environment:
    """An open environment; `read_only` says why nothing can be written, "" where it can."""

    env: Any
    dbs: Databases
    read_only: str


def make_environment(path: str, *, private: bool = False) -> Environment:
    """Open the environment in `path`, which may be empty, with all its sub-databases.

    A `private` one is used by nobody else yet: nothing is durable before `sync`. UnsupportedError
    on a network filesystem.
    """
    refuse_network(path)
    allocate_lock(path, READERS if private else MAX_READERS)
    try:
        env = _open_private(path) if private else _open(path)
        return Environment(env, _databases(env, create=True), "")
    except lmdb.Error as error:
        raise translated(path, error) from error


def open_environment(path: str) -> Environment:
    """Open an index that is there; FormatError, IndexDamagedError or UnsupportedError."""
    refuse_network(path)
    check_file(os.path.join(path, "data.mdb"))
    try:
        return _settle(path, _open(path), "")
    except lmdb.Error as error:
        # LMDB takes a lock file even to read. Where it cannot be written nobody is kept away:
        # a writer elsewhere may make us read a page that it has used again.
        reason = _reason(path, error)
        kept_out = isinstance(error, lmdb.ReadonlyError) or reason.endswith(_FORBIDDEN)
        if kept_out or _is_unwritten(error):
            with contextlib.suppress(lmdb.Error):
                return _settle(path, _open(path, read_only=True), reason)
        raise translated(path, error) from error


def _settle(path: str, env: Any, read_only: str) -> Environment:
    """Check the format of an environment just opened, and bring it up to date where it can be."""
    try:
        found = _format_of(env)
        _check_format(path, found)
        dbs = _databases(env, create=False)
        if read_only or (found not in EARLIER and dbs.sums is not None):
            return Environment(env, dbs, read_only)
        dbs = _databases(env, create=True)
        with env.begin(write=True, db=dbs.meta) as txn:
            txn.put(b"format", SIGNED if found == SIGNED else FORMAT)
        return Environment(env, dbs, read_only)
    except BaseException:
        env.close()
        raise


def _check_format(path: str, found: bytes) -> None:
    if found not in (FORMAT, SIGNED, *EARLIER):
        raise FormatError(
            f"the index at {path} has format {found.decode(errors='replace')!r}, this release "
            f"reads up to {SIGNED.decode()!r}; upgrade modelfloat"
        )


def _format_of(env: Any) -> bytes:
    meta = env.open_db(b"meta", create=False)
    with env.begin(db=meta) as txn:
        return bytes(txn.get(b"format") or b"")


def _open(path: str, *, read_only: bool = False) -> Any:
    env = lmdb.open(
        path,
        map_size=MAP_SIZE,
        max_dbs=MAX_DATABASES,
        max_readers=MAX_READERS,
        mode=0o600,
        readonly=read_only,
        lock=not read_only,
    )
    if not read_only:
        env.reader_check()
    return env


def _open_private(path: str) -> Any:
    return lmdb.open(path, map_size=MAP_SIZE, max_dbs=MAX_DATABASES, mode=0o600, sync=False)


def _databases(env: Any, *, create: bool) -> Databases:
    def open_db(name: bytes, *, dupsort: bool = False, dupfixed: bool = False) -> Any:
        return env.open_db(name, create=create, dupsort=dupsort, dupfixed=dupfixed)

    def open_new(name: bytes) -> Any:
        with contextlib.suppress(lmdb.NotFoundError):
            return open_db(name)
        return None

    # chunks and refs hold several values a key: several locations, several heads.
    return Databases(
        meta=open_db(b"meta"),
        chunks=open_db(b"chunks", dupsort=True, dupfixed=True),
        packs=open_db(b"packs"),
        packids=open_db(b"packids"),
        objects=open_db(b"objects"),
        refs=open_db(b"refs", dupsort=True),
        superseded=open_db(b"superseded"),
        writers=open_db(b"writers"),
        reflog=open_new(b"reflog"),
        sources=open_new(b"sources"),
        deleted=open_new(b"deleted"),
        lost=open_new(b"lost"),
        gaps=open_new(b"gaps"),
        sums=open_new(b"sums"),
    )


def _is_unwritten(error: lmdb.Error) -> bool:
    """Whether the disk took not all of a commit, as a full one does not.

    Of pages that it takes in part LMDB makes EIO, without a class of its own (`mdb_page_flush`).
    """
    return isinstance(error, lmdb.DiskError) or str(error).endswith(_CUT_SHORT)


def _reason(path: str, error: lmdb.Error) -> str:
    return str(error).removeprefix(f"{path}: ")


def translated(path: str, error: lmdb.Error) -> ModelFloatError:
    """What to tell of an error of LMDB."""
    what, reason = f"the index at {path}", _reason(path, error)
    match error:
        case lmdb.MapFullError():
            return IndexDamagedError(
                f"{what} has filled the {MAP_SIZE >> 20:,} MiB it may have; remove what is not "
                "needed (`modelfloat rm`, `modelfloat gc`)"
            )
        case _ if _is_unwritten(error):
            return IndexDamagedError(
                f"{what} cannot be written ({reason}): nothing was changed; make room on its disk "
                "and run the command again"
            )
        case lmdb.ReadersFullError():
            return LockedError(f"{what} has {MAX_READERS} readers; end some of them")
    return IndexDamagedError(f"{what} cannot be used: {reason}; run `modelfloat rebuild-index`")


@contextlib.contextmanager
def guarded(path: str, database: str) -> Iterator[None]:
    """Turn errors of LMDB, and of values that are none, into ours; `database` names what is read.

    IndexDamagedError, or LockedError where too many read at once.
    """
    try:
        yield
    except lmdb.Error as error:
        raise translated(path, error) from error
    except (struct.error, ValueError, IndexError, TypeError) as error:
        raise IndexDamagedError(
            f"the index at {path} contradicts itself in `{database}` ({error}); run "
            "`modelfloat rebuild-index`"
        ) from error
