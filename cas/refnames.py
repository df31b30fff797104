"""Names of repositories, refs and revisions: `vendor/name@REV/path` and its parts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError
from ..ids import ObjectId, is_name
from .formats.journal import RefKind

DEFAULT_BRANCH: Final = "main"
HUB_VENDOR: Final = "huggingface"
"""The vendor of models that have none on the Hugging Face Hub: its own."""

_NOT_IN_REFS: Final = re.compile(r"[\s~^:*?\[\\]")


@dataclass(frozen=True, slots=True, order=True)
class RepoName:
    """A repository: `vendor/name`."""

    vendor: str
    name: str

    def __str__(self) -> str:
        return f"{self.vendor}/{self.name}"


@dataclass(frozen=True, slots=True)
class Address:
    """What `vendor/name[@REV][/path]` names. `rev` is None where none was given; `folder` says
    that the path ended in a slash."""

    repo: RepoName
    rev: str | None
    path: tuple[bytes, ...]
    folder: bool = False

    def __str__(self) -> str:
        rev = "" if self.rev is None else f"@{self.rev}"
        tail = f"/{shown_path(self.path)}" if self.path else ""
        return f"{self.repo}{rev}{tail}"


def shown_path(path: Sequence[bytes]) -> str:
    """A path in a repository as messages show it."""
    return b"/".join(path).decode("utf-8", "backslashreplace")


RefKey = tuple[RepoName, RefKind, str]
"""What names a ref."""


@dataclass(frozen=True, slots=True)
class RefHead:
    """One head of a ref: the commit, the id of the change that put it there, and when (ns)."""

    repo: RepoName
    kind: RefKind
    ref: str
    commit: ObjectId
    change: bytes
    time_ns: int


def parse_address(text: str) -> Address:
    """Take `vendor/name[@REV][/path]` apart; UsageError says what is wrong with it.

    `%2F` in REV stands for `/`, as in paths of a mount.
    """
    parts = text.split("/")
    if len(parts) < 2:
        raise UsageError(f"{text!r} is no VENDOR/NAME: two names with a slash between are needed")
    vendor, (name, at, rev) = parts[0], parts[1].partition("@")
    rev = rev.replace("%2F", "/").replace("%2f", "/")
    if not is_name(vendor) or not is_name(name) or (at and not rev):
        raise UsageError(
            f"{text!r} is no VENDOR/NAME[@REV][/PATH]: names are 1 to 128 bytes without a leading "
            "dot, '/', '@' or control characters"
        )
    path = tuple(part.encode("utf-8", "surrogateescape") for part in parts[2:] if part)
    if any(part in (b".", b"..") for part in path):
        raise UsageError(f"{text!r} has '.' or '..' in its path")
    folder = bool(path) and text.endswith("/")
    return Address(RepoName(vendor, name), rev if at else None, path, folder)


def parse_repository(text: str, what: str) -> RepoName:
    """`vendor/name`, for the command `what`; UsageError with more than that, which would be passed
    over."""
    address = parse_address(text)
    if address.path or address.rev is not None:
        raise UsageError(f"{text}: {what} takes VENDOR/NAME and nothing behind it")
    return address.repo


def parse_ref(text: str, what: str) -> Address:
    """`vendor/name[@REV]`, for the command `what`; UsageError with a path, which would be passed
    over."""
    address = parse_address(text)
    if address.path:
        raise UsageError(f"{text}: {what} takes VENDOR/NAME[@REV] without a path")
    return address


def check_ref_name(text: str, what: str) -> str:
    """`text` if it may name a branch or tag (`what` says which), else UsageError."""
    if not is_name(text) or _NOT_IN_REFS.search(text) or text.startswith("-"):
        raise UsageError(
            f"{text!r} cannot name a {what}: 1 to 128 bytes without spaces, control characters, "
            "'/', '@', '~', '^', ':', '*', '?', '[', a backslash, or a leading '.' or '-'"
        )
    return text


def repo_prefix(repo: RepoName) -> bytes:
    """What the keys of all refs of a repository begin with."""
    return f"{repo}\0".encode()


def ref_key(repo: RepoName, kind: RefKind, ref: str) -> bytes:
    """The key of a ref in the sub-database `refs`; of a name that is not UTF-8, one none has."""
    return repo_prefix(repo) + bytes([kind]) + ref.encode("utf-8", "surrogateescape")


def ref_of_key(key: bytes) -> tuple[RepoName, RefKind, str]:
    """Repository, kind and name of a ref, from its key."""
    repo, _, rest = bytes(key).partition(b"\0")
    vendor, _, name = repo.decode().partition("/")
    return RepoName(vendor, name), RefKind(rest[0]), rest[1:].decode()
