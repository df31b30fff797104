"""Files in memory for the chunking tests: a source, a safetensors writer, and a whole cut."""

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from modelfloat.cas.chunking.cutter import Cutter
from modelfloat.cas.chunking.parser import Siblings, Source
from modelfloat.cas.chunking.regions import MAX_CHUNK
from modelfloat.cas.chunking.spans import Span


@dataclass(frozen=True)
class BytesSource:
    """A file that is `data`; reading beyond it fails, as it must."""

    data: bytes
    beside: Siblings | None = None

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise EOFError(f"{size} bytes at {offset} of {self.size}")
        return self.data[offset : offset + size]


class BrokenSource:
    """A file of 100 bytes none of which can be read."""

    size = 100
    beside: Siblings | None = None

    def read(self, offset: int, size: int) -> bytes:
        raise OSError("the disk is gone")


T = TypeVar("T")


@dataclass
class Shelf:
    """A folder in memory, as the file `name` sees it; `looks` has what was opened."""

    name: str
    files: dict[str, bytes]
    kept: dict[str, Any] = field(default_factory=dict)
    looks: list[str] = field(default_factory=list)

    def names(self, suffix: str) -> list[str]:
        return sorted(name for name in self.files if name.lower().endswith(suffix))

    def look(self, name: str, work: Callable[[Source], T]) -> T | None:
        self.looks.append(name)
        return work(BytesSource(self.files[name])) if name in self.files else None

    def once(self, key: str, work: Callable[[], T]) -> T:
        if key not in self.kept:
            self.kept[key] = work()
        kept: T = self.kept[key]
        return kept

    def source(self, name: str) -> BytesSource:
        """The file of that name, with this folder round it."""
        return BytesSource(self.files[name], replace(self, name=name))


def noise(seed: int, size: int) -> bytes:
    """Bytes without structure: SHAKE-128 of the seed, the same on every machine and release."""
    return hashlib.shake_128(b"noise %d" % seed).digest(size)


def with_header(header: bytes, data: bytes = b"") -> bytes:
    """A safetensors file with this header, whatever it says."""
    return struct.pack("<Q", len(header)) + header + data


def info(dtype: str, shape: list[Any], begin: Any, end: Any) -> dict[str, Any]:
    """A tensor's description."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors_file(tensors: dict[str, dict[str, Any]], data: bytes) -> bytes:
    """A safetensors file of these descriptions over `data`."""
    return with_header(json.dumps(tensors).encode(), data)


def cut_all(cutter: Cutter, data: bytes, sizes: Iterator[int], *, told: bool = True) -> list[Span]:
    """All spans of `data`, shown in windows of `sizes` bytes, and at least `MAX_CHUNK`.

    With `told` the window that reaches the end is final at once; without, the end only turns out
    when nothing more comes, and what is left is shown again.
    """
    spans: list[Span] = []
    position, final = 0, False
    while not final:
        end = position + max(MAX_CHUNK, next(sizes))
        final = end >= len(data) and (told or len(data) - position < MAX_CHUNK)
        window = memoryview(data)[position:end]
        decided = cutter.cut(window, final)
        taken = sum(span.size for span in decided)
        assert all(0 < span.size <= MAX_CHUNK for span in decided)
        assert taken == len(window) if final else 0 < taken <= len(window)
        spans += decided
        position += taken
    return spans
