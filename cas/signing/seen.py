"""What was taken of each ref: so that a backend, or an index put back, cannot go back in time.

The file `seen-refs` in the store's folder, or for another store that it pulls from in one of its
folders, `docs/format.md`, Signed ref changes. It is replaced as
a whole, under a lock, whenever a ref has moved; processes see each other's by the file's identity.

Concurrency: synchronous, called in worker threads; one lock for the threads of a process. All of it
may block.
"""

import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...durable import sync_folder
from ...errors import FormatError, SignatureError
from ...ids import StoreId
from ..formats.journal import RefKind
from ..refnames import RefKey, RepoName
from ..storeowner import give

FILE: Final = "seen-refs"
LOCK: Final = "seen-refs"
"""Its lock file, in `locks`."""
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_Identity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """The latest change of a ref that was taken: its time, its id, whether it removed the ref."""

    time_ns: int
    change: bytes
    gone: bool


class SeenRefs:
    """What was taken of the refs of `store`, whose folder is `folder`."""

    def __init__(self, folder: str, store: StoreId) -> None:
        self._folder = folder
        self._path = os.path.join(folder, FILE)
        self._store = store
        self._lock = threading.Lock()
        self._identity: _Identity | None = None
        self._seen: dict[RefKey, Seen] = {}

    def get(self, ref: RefKey) -> Seen | None:
        """What was taken last; None where nothing was. FormatError where the file is damaged."""
        with self._lock:
            self._refresh()
            return self._seen.get(ref)

    def all(self) -> Mapping[RefKey, Seen]:
        """What was taken last of every ref; errors as of `get`."""
        with self._lock:
            self._refresh()
            return self._seen

    def note(self, news: Mapping[RefKey, Seen]) -> None:
        """Have it durable that these were taken, but for those of which a later one was.

        SignatureError where it cannot be written: then nothing of them may be shown.
        """
        with self._lock:
            try:
                with self._alone():
                    self._refresh()
                    later = {
                        ref: new for ref, new in news.items() if _is_later(new, self._seen, ref)
                    }
                    if later:
                        self._write(self._seen | later)
                        self._refresh()
            except OSError as error:
                raise SignatureError(
                    f"{self._path} cannot be written: {error.strerror}; what was seen of refs must "
                    "be kept there, so nothing new of them is shown"
                ) from error

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from writing it, for the moment that it takes."""
        locks = os.path.join(self._folder, "locks")
        os.makedirs(locks, exist_ok=True)
        fd = os.open(os.path.join(locks, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            give(fd, self._folder)
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _refresh(self) -> None:
        try:
            if self._identity == _identity(os.stat(self._path)):
                return
            with open(self._path, "rb") as file:
                identity = _identity(os.fstat(file.fileno()))
                data = file.read()
        except FileNotFoundError:
            self._identity, self._seen = None, {}
            return
        except OSError as error:
            raise SignatureError(
                f"{self._path} cannot be read: {error.strerror}; it says what was seen of refs, "
                "and nothing is shown without it"
            ) from error
        try:
            self._seen = _decode(data, self._store)
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{self._path}, which says what was seen of refs, is damaged: put it back from a "
                "backup, or remove it, and whatever is signed counts as new"
            ) from error
        self._identity = identity

    def _write(self, seen: Mapping[RefKey, Seen]) -> None:
        temporary = f"{self._path}.{secrets.token_hex(4)}"
        fd = os.open(temporary, _NEW, 0o600)
        try:
            with open(fd, "wb") as file:
                file.write(_encode(seen, self._store))
                file.flush()
                give(fd, self._folder)
                os.fsync(fd)
            os.replace(temporary, self._path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        sync_folder(self._folder)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _is_later(new: Seen, seen: Mapping[RefKey, Seen], ref: RefKey) -> bool:
    return ref not in seen or seen[ref].time_ns < new.time_ns


def _encode(seen: Mapping[RefKey, Seen], store: StoreId) -> bytes:
    refs = [
        {
            "kind": kind.name.lower(),
            "vendor": repo.vendor,
            "name": repo.name,
            "ref": ref,
            "time_ns": each.time_ns,
            "change": each.change.hex(),
            "gone": each.gone,
        }
        for (repo, kind, ref), each in sorted(seen.items())
    ]
    document = {"format": 1, "store": store.hex(), "refs": refs}
    return (json.dumps(document, indent=1) + "\n").encode()


def _decode(data: bytes, store: StoreId) -> dict[RefKey, Seen]:
    document = json.loads(data)
    if document["format"] != 1 or document["store"] != store.hex():
        raise ValueError("another format, or another store")
    return dict(_ref(each) for each in document["refs"])


def _ref(each: Mapping[str, Any]) -> tuple[RefKey, Seen]:
    repo, kind = RepoName(each["vendor"], each["name"]), RefKind[each["kind"].upper()]
    seen = Seen(int(each["time_ns"]), bytes.fromhex(each["change"]), each["gone"] is True)
    return (repo, kind, str(each["ref"])), seen
