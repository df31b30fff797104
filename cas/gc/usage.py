"""What each repository takes: the distinct chunks that its heads reach, counted by marks.

As when marking for gc, memory is a bit a place of each pack, whatever the number of files. Each
repository is counted by itself, so a store is walked as often as its chunks are shared, and once.

Synchronous; runs in a worker thread.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from ..formats.chunktable import Kind
from ..index.index import Index
from ..index.records import PackRecord
from ..objects import Objects
from ..refnames import RepoName
from ..statistics import Files
from ..storestats import RepositoryStats, StoreStats
from .marking import Marking
from .marks import Marks
from .standing import rank

FEW: Final = 200_000
"""Chunks and files of heads in a store that are counted within seconds."""


def is_small(found: StoreStats) -> bool:
    """Whether what repositories take is counted soon in a store with these figures."""
    return found.chunks + found.files <= FEW


def usage(
    index: Index, objects: Objects, files: Files, checkpoint: Callable[[], None]
) -> tuple[RepositoryStats, ...]:
    """The figures of every repository, by name; `files` are what `Statistics.files` gives."""
    marks = Marks(index, lambda: _any_place)
    found = []
    for repo in sorted({head.repo for head in index.refs()}, key=str):
        marks.forget()
        counted = files.get(str(repo), (0, 0))
        found.append(_usage(index, objects, counted, marks, repo, checkpoint))
    return tuple(found)


def _any_place(pack: PackRecord) -> int:
    """Each chunk counts once, in its newest place, whatever is missing of it."""
    return rank(pack, pack.m)


def _usage(
    index: Index,
    objects: Objects,
    counted: tuple[int, int],
    marks: Marks,
    repo: RepoName,
    checkpoint: Callable[[], None],
) -> RepositoryStats:
    marking = Marking(index, objects, marks, checkpoint)
    marking.reach({objects.commit(head.commit).tree for head in index.refs(repo)})
    data = marks.packs["kind"] == Kind.DATA
    return RepositoryStats(
        str(repo),
        *counted,
        int(marks.raw[data].sum()),
        int(marks.bytes[data].sum()),
        marks.stored_since(np.zeros(0, np.int64)),
    )
