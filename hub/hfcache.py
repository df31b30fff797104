"""The Hugging Face cache as it lies on disk: repositories, their snapshots, refs and blobs.

Layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache. A repository is a folder
`models--org--name` (or `models--name`, of the time before there were organisations) with

    blobs/<etag>                     the files; .incomplete behind those that are still downloaded
    refs/<ref>                       the commit that a branch, tag or pull request was at
    snapshots/<commit>/<path>        links into blobs; the files themselves where links cannot be

An etag is a file's SHA-256 (64 hex digits) where it is large, else its id in git (40 hex digits). A
blob may be a link itself, to one that several repositories share. Synchronous; for worker threads.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..cas.refnames import HUB_VENDOR
from ..errors import NotFoundError, SourceDamagedError, SourceUnreadableError
from ..ids import is_name

_FOLDER: Final = re.compile(r"(model|dataset|space|kernel)s--(.+)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(rb"[0-9a-f]{64}")
_GIT: Final = re.compile(rb"[0-9a-f]{40}")
_PIECE: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One commit's files as far as they were downloaded, in the folder `path`."""

    commit: str
    path: str


@dataclass(frozen=True, slots=True)
class CachedModel:
    """One model: its snapshots, oldest first, and the commit of each ref.

    `unfinished` names blobs that are still being downloaded, or never were to the end.
    """

    vendor: str
    name: str
    snapshots: tuple[Snapshot, ...]
    refs: dict[str, str]
    unfinished: tuple[str, ...]


@dataclass(slots=True)
class CacheListing:
    """What a cache holds. `skipped` tells what of it is no model, or cannot be one of ours."""

    models: list[CachedModel] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def read_cache(path: str) -> CacheListing:
    """The models of the cache in the folder `path`; NotFoundError if that is not there."""
    listing = CacheListing()
    for folder in _names(path):
        match = _FOLDER.fullmatch(folder)
        if match is None or not os.path.isdir(os.path.join(path, folder)):
            continue
        kind, name = match.groups()
        if kind != "model":
            listing.skipped.append(f"{folder}: a {kind}, only models are imported")
            continue
        names = name.split("--")
        vendor, model = (HUB_VENDOR, names[0]) if len(names) == 1 else (names[0], names[-1])
        if len(names) > 2 or not (is_name(vendor) and is_name(model)):
            listing.skipped.append(f"{folder}: its name is no VENDOR/NAME")
            continue
        listing.models.append(_read_model(os.path.join(path, folder), vendor, model))
    return listing


def _read_model(folder: str, vendor: str, name: str) -> CachedModel:
    blobs = os.path.join(folder, "blobs")
    unfinished = tuple(
        os.path.join(blobs, blob)
        for blob in (_names(blobs) if os.path.isdir(blobs) else ())
        if blob.endswith(".incomplete")
    )
    return CachedModel(vendor, name, _snapshots(folder), _refs(folder), unfinished)


def _snapshots(folder: str) -> tuple[Snapshot, ...]:
    place = os.path.join(folder, "snapshots")
    names = _names(place) if os.path.isdir(place) else []
    found = [Snapshot(name, os.path.join(place, name)) for name in names if _COMMIT.fullmatch(name)]
    return tuple(sorted(found, key=lambda snapshot: os.stat(snapshot.path).st_mtime_ns))


def _refs(folder: str) -> dict[str, str]:
    """The commit of each ref; a name like `refs/pr/1` is a path of that many parts."""
    place = os.path.join(folder, "refs")
    found = {}
    for parent, _, names in os.walk(place):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, encoding="ascii", errors="replace") as file:
                commit = file.read(100).strip()
            if _COMMIT.fullmatch(commit):
                found[os.path.relpath(path, place)] = commit
    return dict(sorted(found.items()))


def files(snapshot: Snapshot) -> Iterator[str]:
    """The path of every file of a snapshot, whether what it links to is there or not."""
    for parent, folders, names in os.walk(snapshot.path):
        folders.sort()
        yield from (os.path.join(parent, name) for name in sorted(names))


def etag(path: bytes) -> bytes:
    """The name of the blob that a snapshot's file links to, b"" where it is no such link."""
    try:
        blob = os.readlink(path)
    except OSError:
        return b""
    folder, name = os.path.split(blob)
    return name if os.path.basename(folder) == b"blobs" else b""


def expected_sha256(path: bytes) -> bytes | None:
    """The SHA-256 that a snapshot's file must have; None where its blob is not named by one."""
    name = etag(path)
    return bytes.fromhex(name.decode()) if _SHA256.fullmatch(name) else None


def check_git_id(path: str) -> None:
    """SourceDamagedError where a file's blob is named by an id in git that is not the file's."""
    name = etag(os.fsencode(path))
    if not _GIT.fullmatch(name):
        return
    try:
        found = _git_id(path)
    except OSError as error:
        raise SourceUnreadableError(f"{path}: {error.strerror}") from error
    if found != name.decode():
        raise SourceDamagedError(
            f"{path} has the id {found[:16]}… in git, expected is {name.decode()[:16]}…: it is "
            "damaged or incomplete; download it again"
        )


def _git_id(path: str) -> str:
    """The id that git gives a file: SHA-1 of a header and its bytes."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        hasher = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while piece := file.read(_PIECE):
            hasher.update(piece)
    return hasher.hexdigest()


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise NotFoundError(
            f"{folder}: {error.strerror}; name the folder of the Hugging Face cache"
        ) from error
