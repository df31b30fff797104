"""A small store for the mount's tests: a real index, and files whose bytes lie in a folder.

Only the reader is a stand-in: it serves what was put in, by the BLAKE3 that the manifest names.
Several processes may use one shelf, so a test can commit while a mount in another process serves.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trio
from blake3 import blake3

from modelfloat.cas.formats.commit import Commit, encode_commit
from modelfloat.cas.formats.journal import NO_ID, Record, RefChanged, RefKind
from modelfloat.cas.formats.manifest import (
    TAG_SHA256,
    ChunkRef,
    Manifest,
    encode_entries,
    encode_manifest,
)
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.index.index import Index
from modelfloat.cas.objects import Objects
from modelfloat.cas.read.claims import Soon
from modelfloat.cas.read.counters import ReadCounters
from modelfloat.cas.read.figures import BackendReads, ReadFigures
from modelfloat.cas.read.sets import Following
from modelfloat.cas.refnames import RepoName
from modelfloat.cas.refs import Refs
from modelfloat.cas.room import Room
from modelfloat.errors import DataLostError
from modelfloat.ids import ChunkId, ObjectId, StoreId, WriterId

CHUNK = 1 << 20
ROOM = 40 << 20
"""Bytes that a shelf claims to have room for, a quarter of them free."""
PASSED = "passed"
"""The name of a file that has the kernel read by itself what is opened while it is there."""
TIME_NS = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class Link:
    """A symbolic link's text."""

    target: bytes


Content = bytes | Link


class KnownFile:
    """One open file; counts its reads."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.reads = 0
        self.closed = False
        self._fd: int | None = None
        self.prepared = False

    async def prepare(self) -> None:
        """Before the first read."""
        self.prepared = True

    def backing(self) -> int | None:
        """The file itself, while the shelf's folder holds one called `PASSED`."""
        if self._fd is None and (self._path.parent.parent / PASSED).exists():
            with contextlib.suppress(FileNotFoundError):
                self._fd = os.open(self._path, os.O_RDONLY)
        return self._fd

    async def read(self, offset: int, size: int) -> memoryview | bytes:
        """The bytes that were put in; DataLostError when they were taken away."""
        await trio.lowlevel.checkpoint()
        self.reads += 1
        try:
            with self._path.open("rb") as file:
                return memoryview(os.pread(file.fileno(), size, offset))
        except FileNotFoundError:
            raise DataLostError(f"chunk {self._path.name[:16]} is gone") from None

    def at_once(self, offset: int, size: int, soon: Soon) -> list[memoryview] | None:
        """The first half of each chunk, as if the rest were never in memory."""
        if offset % CHUNK + size > CHUNK // 2 or not self._path.exists():
            return None
        with self._path.open("rb") as file:
            return [memoryview(os.pread(file.fileno(), size, offset))]

    def go_on(self, soon: Soon) -> None:
        """Nothing is loaded ahead."""

    def close(self) -> None:
        """Nothing is read any more."""
        self.closed = True
        if self._fd is not None:
            os.close(self._fd)


class KnownFiles:
    """Opens files by the digest in their manifest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.opened: list[KnownFile] = []

    def open(
        self, manifest: Manifest, following: Following | None = None, *, first: bool = False
    ) -> KnownFile:
        """A reader of that file."""
        file = KnownFile(self._folder / manifest.blake3.hex(), manifest.size)
        self.opened.append(file)
        return file


class Shelf:
    """A store-like object in `folder`, made when it is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder)
        path = str(folder / "index")
        if os.path.exists(path):
            self.index = Index.open(path)
        else:
            self.index = Index.create(path, StoreId(bytes(16)))
        self._content = folder / "content"
        self._content.mkdir(exist_ok=True)
        self.objects = Objects(self.index)
        self.refs = Refs(self.index, self.objects)
        self.asked_for_room = 0
        self.sha256 = False
        self.reader = KnownFiles(self._content)
        self.caches = True
        self.counters = ReadCounters()

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()

    def commit(
        self,
        name: str,
        files: Mapping[str, Content],
        *,
        branch: str = "main",
        mtime_ns: int = TIME_NS,
        mode: int = 0o644,
        beside: bool = False,
        apart: bool = False,
    ) -> ObjectId:
        """Put `files` (path → content) into a commit and move the branch of `vendor/name` to it.

        With `beside` the branch gets a second head, as after concurrent updates; with `apart` every
        entry of a folder has a time of its own, so files of one content are several inodes.
        """
        repo = RepoName(*name.split("/"))
        heads = self.index.ref(repo, RefKind.BRANCH, branch)
        tree, objects = self._tree(_nested(files), mtime_ns, mode, apart)
        parents = tuple(head.commit for head in heads[:1])
        commit = encode_commit(Commit(tree, parents, mtime_ns, 0, "Ada", "a commit"))
        self.index.put_objects({object_id(data): data for data in [*objects, commit]})
        previous = NO_ID if beside or not heads else heads[0].change
        self._move(repo, RefKind.BRANCH, branch, previous, object_id(commit))
        return object_id(commit)

    def tag(self, name: str, tag: str, commit: ObjectId) -> None:
        """Tag a commit."""
        self._move(RepoName(*name.split("/")), RefKind.TAG, tag, NO_ID, commit)

    async def room(self) -> Room:
        """So much and no more."""
        await trio.lowlevel.checkpoint()
        self.asked_for_room += 1
        return Room(ROOM, ROOM // 4)

    def figures(self) -> ReadFigures:
        """Its counters, and a backend that never did anything."""
        backends = (BackendReads("shelf"),)
        return ReadFigures(self.counters.counts(), self.counters.latency, backends=backends)

    def lose(self, content: bytes) -> None:
        """Take a file's bytes away."""
        (self._content / blake3(content).hexdigest()).unlink()

    def manifest(self, content: bytes) -> list[bytes]:
        """The objects of a file's manifest, which comes last; its bytes can be read from now on."""
        digest = blake3(content)
        place = self._content / digest.hexdigest()
        if not place.exists():
            place.write_bytes(content)
        pieces = [content[i : i + CHUNK] for i in range(0, len(content), CHUNK)]
        chunks = [ChunkRef(ChunkId(blake3(piece).digest()), len(piece)) for piece in pieces]
        extensions = {TAG_SHA256: hashlib.sha256(content).digest()} if self.sha256 else {}
        return encode_manifest(len(content), digest.digest(), encode_entries(chunks), extensions)

    def _tree(
        self, folder: "dict[bytes, Content | dict]", mtime_ns: int, mode: int, apart: bool
    ) -> tuple[ObjectId, list[bytes]]:
        entries, objects = [], []
        for name in sorted(folder):
            content = folder[name]
            mtime_ns += apart
            if isinstance(content, Link):
                entry = Entry(name, EntryType.SYMLINK, 0o777, mtime_ns, 0, content.target)
            elif isinstance(content, bytes):
                made = self.manifest(content)
                objects += made
                id_ = object_id(made[-1])
                entry = Entry(name, EntryType.FILE, mode, mtime_ns, len(content), id_)
            else:
                id_, made = self._tree(content, mtime_ns, mode, apart)
                objects += made
                entry = Entry(name, EntryType.DIRECTORY, 0o755, mtime_ns, 0, id_)
            entries.append(entry)
        trees = list(encode_tree(entries))
        return object_id(trees[-1]), [*objects, *trees]

    def _move(
        self, repo: RepoName, kind: RefKind, ref: str, previous: bytes, commit: ObjectId
    ) -> None:
        change = RefChanged(
            kind, repo.vendor, repo.name, ref, previous, ObjectId(NO_ID), commit, TIME_NS
        )
        record = Record(StoreId(bytes(16)), WriterId(bytes(16)), 1, NO_ID, TIME_NS, (change,))
        self.index.apply(record, {})


def _nested(files: Mapping[str, Content]) -> "dict[bytes, Content | dict]":
    root: dict = {}
    for path, content in files.items():
        *folders, name = os.fsencode(path).split(b"/")
        folder = root
        for part in folders:
            folder = folder.setdefault(part, {})
        folder[name] = content
    return root
