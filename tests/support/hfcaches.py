"""Hugging Face caches, laid out as huggingface_hub lays them out."""

import hashlib
import os
from pathlib import Path


def commit_of(label: str) -> str:
    """A commit of the Hub: 40 hex digits made from a label."""
    return hashlib.sha1(label.encode()).hexdigest()


def git_id(data: bytes) -> str:
    """The id that git gives these bytes, which small files are named by."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sha256(data: bytes) -> str:
    """The name of a large file's blob."""
    return hashlib.sha256(data).hexdigest()


class HfRepository:
    """One repository's folder in the cache at `cache`; `folder` is `models--org--name` or so."""

    def __init__(self, cache: Path, folder: str) -> None:
        self.cache = cache
        self.path = cache / folder
        for name in ("blobs", "refs", "snapshots"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def blob(self, data: bytes, *, large: bool = False) -> Path:
        """Put a blob in; it is there once, however often it is used."""
        path = self.path / "blobs" / (sha256(data) if large else git_id(data))
        if not path.exists():
            path.write_bytes(data)
        return path

    def shared_blob(self, data: bytes) -> Path:
        """A large file in the part of the cache that all repositories share, with a link to it."""
        shared = self.cache / "blobs" / "ab" / hashlib.blake2b(data, digest_size=32).hexdigest()
        shared.parent.mkdir(parents=True, exist_ok=True)
        shared.write_bytes(data)
        path = self.path / "blobs" / sha256(data)
        path.symlink_to(os.path.relpath(shared, path.parent))
        return path

    def snapshot(self, commit: str, files: dict[str, Path | bytes], ref: str | None = None) -> Path:
        """A snapshot of links to blobs; bytes lie in it themselves, as where links cannot be."""
        folder = self.path / "snapshots" / commit
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                path.symlink_to(os.path.relpath(content, path.parent))
            else:
                path.write_bytes(content)
        if ref is not None:
            self.ref(ref, commit)
        return folder

    def ref(self, name: str, commit: str) -> None:
        """Say which commit a ref was at."""
        path = self.path / "refs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
