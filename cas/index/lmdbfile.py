"""A look at the index's data file before LMDB maps it: a file cut short would be a SIGBUS then.

LMDB trusts its file. So its two meta pages are read here as bytes, the newer one is held against
the file's size, and the topmost pages of its trees are looked at. Pages at the end may never have
been written although the meta page counts them (they were taken and given back within one
transaction): so a file that seems too short is walked through, and is damaged only where a page in
use lies beyond its end.

Layout: `mdb.c` of LMDB 0.9 (MDB_meta, MDB_page, MDB_node), which has been the same since 2012.
"""

import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import IndexDamagedError

LOOKED_AT: Final = 64
"""Pages that every opening looks at, from the roots down."""

_MAGIC: Final = 0xBEEFC0DE
_VERSION: Final = 1
_NO_PAGE: Final = (1 << 64) - 1
_HEADER: Final = struct.Struct("<QHHHH")
_META: Final = struct.Struct("<IIQQ I36xQ I36xQ QQ")
_NODE: Final = struct.Struct("<HHHH")
_NUMBER: Final = struct.Struct("<Q")
_BRANCH, _LEAF, _LEAF2 = 0x01, 0x02, 0x20
_BIG, _SUB = 0x01, 0x02
_DB_SIZE, _ROOT_AT = 48, 40
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Meta:
    """What a meta page says: page size in bytes, root pages, last page, number of the commit."""

    page: int
    free: int
    main: int
    last: int
    commit: int


def file_of(folder: str) -> tuple[int, int] | None:
    """Device and inode of the index in `folder`, by which it is known again; None where is none."""
    try:
        found = os.stat(os.path.join(folder, "data.mdb"))
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check_file(path: str) -> None:
    """IndexDamagedError where the data file at `path` cannot be what LMDB left there."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return  # LMDB will say it
    try:
        for _ in range(_TRIES):
            meta = newest_meta(fd)
            problem = _problem(fd, meta)
            # While others commit, the pages that were read may have been used again.
            if not problem or meta is None or newest_meta(fd) == meta:
                break
    finally:
        os.close(fd)
    if problem:
        raise IndexDamagedError(
            f"the index file {path} is damaged: {problem}; run `modelfloat rebuild-index`"
        )


def newest_meta(fd: int) -> Meta | None:
    """The newer one of the two meta pages; None where neither is one."""
    first = _read_meta(fd, 0)
    size = first.page if first is not None else os.sysconf("SC_PAGE_SIZE")
    found = [meta for meta in (first, _read_meta(fd, size)) if meta is not None]
    return max(found, key=lambda meta: meta.commit, default=None)


def _read_meta(fd: int, at: int) -> Meta | None:
    data = os.pread(fd, _META.size, at + _HEADER.size)
    if len(data) < _META.size:
        return None
    magic, version, _, _, page, free, _, main, last, commit = _META.unpack(data)
    if (magic, version) != (_MAGIC, _VERSION) or page not in (1 << n for n in range(9, 17)):
        return None
    return Meta(page, free, main, last, commit)


def _problem(fd: int, meta: Meta | None) -> str:
    if meta is None:
        return "it does not begin as an index does"
    size = os.fstat(fd).st_size
    short = size < (meta.last + 1) * meta.page
    try:
        walk = _Walk(fd, meta, size)
        for count, _ in enumerate(walk.pages(), 1):
            if count == LOOKED_AT and not short:
                break
    except (ValueError, struct.error) as error:
        return str(error)
    return ""


class _Walk:
    """All pages in use, from the roots down; ValueError says what is wrong with one."""

    def __init__(self, fd: int, meta: Meta, size: int) -> None:
        self._fd = fd
        self._meta = meta
        self._count = size // meta.page
        self._queue: deque[int] = deque()
        for root in (meta.main, meta.free):
            self._push(root)

    def pages(self) -> Iterator[int]:
        """Numbers of tree pages; those below the first come later."""
        while self._queue:
            number = self._queue.popleft()
            self._look(number)
            yield number

    def _push(self, number: int) -> None:
        if number != _NO_PAGE:
            self._check(number, 1)
            self._queue.append(number)

    def _check(self, number: int, count: int) -> None:
        if not 2 <= number <= number + count - 1 <= self._meta.last:
            raise ValueError(f"it names a page {number} of {self._meta.last + 1}")
        if number + count > self._count:
            raise ValueError(
                f"it is cut short: {self._count} pages of {self._meta.last + 1} are left"
            )

    def _look(self, number: int) -> None:
        page = os.pread(self._fd, self._meta.page, number * self._meta.page)
        named, _, flags, lower, _ = _HEADER.unpack_from(page)
        if named != number or not flags & (_BRANCH | _LEAF):
            raise ValueError(f"page {number} is not what was written there")
        if flags & _LEAF2:
            return
        count = (lower - _HEADER.size) // 2
        for offset in struct.unpack_from(f"<{count}H", page, _HEADER.size):
            self._look_at_node(page, offset, branch=bool(flags & _BRANCH))

    def _look_at_node(self, page: bytes, offset: int, *, branch: bool) -> None:
        low, high, flags, key = _NODE.unpack_from(page, offset)
        if branch:
            self._push(low | high << 16 | flags << 32)
            return
        data = offset + _NODE.size + key
        if flags & _BIG:
            size = _HEADER.size + (low | high << 16)
            (number,) = _NUMBER.unpack_from(page, data)
            # The pages of a long value: they hold nothing to follow.
            self._check(number, -(-size // self._meta.page))
        elif flags & _SUB:
            if data + _DB_SIZE > len(page):
                raise ValueError("a page's contents do not fit in it")
            (number,) = _NUMBER.unpack_from(page, data + _ROOT_AT)
            self._push(number)
