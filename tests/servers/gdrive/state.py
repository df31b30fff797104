"""What lies on the fake Drive: accounts' files and shared drives, and what listings show of them.

A listing is late by `lag` requests: it shows each file as it was so many requests ago. `settle`
makes it catch up. What is asked by id is always as it is.
"""

import hashlib
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

FOLDER = "application/vnd.google-apps.folder"


@dataclass(frozen=True)
class File:
    """One version of a file's metadata; its content lies in the file `content`, "" of a folder."""

    id: str
    name: str
    mime: str
    parents: tuple[str, ...]
    created: str
    modified: str
    size: int = 0
    content: str = ""
    md5: str = ""
    sha256: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    app_properties: tuple[tuple[str, str], ...] = ()
    trashed: bool = False
    drive: str = ""
    app: str = ""
    times: bool = False  # its time was given, not taken


@dataclass
class Account:
    """A user: what they may store, in bytes (None is no limit), and upload in a day."""

    email: str = "someone@example.org"
    number: str = "04317890123456789012"
    limit: int | None = 15 << 30
    daily: int | None = None
    uploaded: int = 0


@dataclass
class State:
    """All files, by id. `folder` is where contents lie."""

    folder: Path
    account: Account = field(default_factory=Account)
    lag: int = 0
    may_delete: bool = True
    abusive: set[str] = field(default_factory=set)
    files: dict[str, File] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    drives: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    _shown: dict[str, list[tuple[int, File | None]]] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=lambda: itertools.count())
    _last: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self.new_folder("My Drive", ())

    def now(self) -> str:
        """The time as Drive writes it, in milliseconds, and never the same twice."""
        now = datetime.now(UTC)
        if (now - self._last).total_seconds() < 0.001:
            now = self._last.replace(microsecond=self._last.microsecond // 1000 * 1000)
            now = datetime.fromtimestamp(now.timestamp() + 0.001, UTC)
        self._last = now
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def new_id(self) -> str:
        """An id that nobody has, as `generateIds` gives it."""
        id_ = f"1{secrets.token_urlsafe(24)}"
        self.given.add(id_)
        return id_

    def new_folder(self, name: str, parents: tuple[str, ...], drive: str = "") -> str:
        """Make a folder, as somebody in a browser does."""
        now, id_ = self.now(), self.new_id()
        self.put(File(id_, name, FOLDER, parents, now, now, drive=drive))
        return id_

    def new_drive(self, name: str) -> str:
        """Make a shared drive; its id is that of its root."""
        id_ = f"0A{secrets.token_urlsafe(12)}PVA"
        self.drives[id_] = name
        now = self.now()
        self.put(File(id_, name, FOLDER, (), now, now, drive=id_))
        return id_

    def new_content(self) -> Path:
        """Where a content goes."""
        return self.folder / str(next(self._names))

    def put(self, file: File) -> None:
        """A file is made, or is changed."""
        self.files[file.id] = file
        self._show(file.id, file)

    def remove(self, id_: str) -> None:
        """A file goes, with what is in it."""
        file = self.files.pop(id_)
        self._show(id_, None)
        if file.content:
            Path(file.content).unlink(missing_ok=True)
        for below in [each.id for each in self.files.values() if id_ in each.parents]:
            self.remove(below)

    def is_trashed(self, file: File) -> bool:
        """Whether it or a folder above it is in the trash."""
        above = (self.files.get(parent) for parent in file.parents)
        return file.trashed or any(each is not None and self.is_trashed(each) for each in above)

    def listed(self) -> list[File]:
        """All files, as a listing shows them now."""
        found = []
        for id_ in self._shown:
            file = self._as_shown(id_)
            if file is not None:
                found.append(file)
        return found

    def settle(self) -> None:
        """Listings show all that is."""
        for id_ in list(self._shown):
            file = self.files.get(id_)
            self._shown[id_] = [(0, file)]
            if file is None:
                del self._shown[id_]

    def used(self) -> int:
        """Bytes that count against the account's limit."""
        return sum(file.size for file in self.files.values() if not file.drive)

    def _show(self, id_: str, file: File | None) -> None:
        self._shown.setdefault(id_, []).append((self.requests + self.lag, file))

    def _as_shown(self, id_: str) -> File | None:
        shown = None
        for since, file in self._shown[id_]:
            if since <= self.requests:
                shown = file
        return shown


def with_content(file: File, path: Path) -> File:
    """The same file with what lies at `path`."""
    md5, sha256, size = hashlib.md5(), hashlib.sha256(), 0
    with open(path, "rb") as content:
        while piece := content.read(1 << 20):
            md5.update(piece)
            sha256.update(piece)
            size += len(piece)
    return replace(
        file, content=str(path), size=size, md5=md5.hexdigest(), sha256=sha256.hexdigest()
    )
