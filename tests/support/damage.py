"""Damage to the files of a store, by name. Everything here works on paths of shards or records.

A shard's path ends in `packs/<2 hex>/<pack id>/<i>-<k>-<m>` below its backend's directory.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modelfloat.cas.formats.shard import TRAILER_SIZE, footer_length


def flip_bit(path: Path, at: int) -> None:
    """Turn one bit of the byte at `at`, from the end if negative."""
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def truncate(path: Path, size: int) -> None:
    """Cut a file short, by so many bytes if negative."""
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def empty(path: Path) -> None:
    """Leave a file without a byte."""
    os.truncate(path, 0)


def lengthen(path: Path) -> None:
    """Add bytes behind a file's end."""
    with open(path, "ab") as file:
        file.write(b"surplus")


def lose(path: Path) -> None:
    """Delete a file."""
    path.unlink()


def swap_shards(one: Path, other: Path) -> None:
    """Two files change places."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def foreign_shard(path: Path, other: Path) -> None:
    """Another's bytes lie where a file's were."""
    shutil.copyfile(other, path)


def footer_size(path: Path) -> int:
    """F: bytes of a sound shard's footer."""
    return footer_length(path.read_bytes()[-TRAILER_SIZE:], path.name)


def flip_payload(path: Path) -> None:
    """Turn a bit in the middle of a shard's payload."""
    flip_bit(path, (path.stat().st_size - TRAILER_SIZE - footer_size(path)) // 2)


def flip_footer(path: Path) -> None:
    """Turn a bit in the middle of a shard's footer."""
    flip_bit(path, -TRAILER_SIZE - footer_size(path) // 2)


def flip_trailer(path: Path) -> None:
    """Turn a bit in a shard's trailer."""
    flip_bit(path, -20)


@dataclass(frozen=True)
class Pack:
    """The shards of one pack, by index."""

    id: str
    k: int
    m: int
    shards: dict[int, Path]


def packs_of(store: Path) -> list[Pack]:
    """All packs of a store's own directories, by their shards' files."""
    found: dict[str, Pack] = {}
    for path in sorted((store / "backends").glob("*/packs/*/*/*-*-*")):
        index, k, m = map(int, path.name.split("-"))
        found.setdefault(path.parent.name, Pack(path.parent.name, k, m, {})).shards[index] = path
    return [found[id_] for id_ in sorted(found)]


def snapshot(paths: Iterable[Path]) -> dict[Path, bytes]:
    """What files hold."""
    return {path: path.read_bytes() for path in paths}


def all_files(store: Path) -> dict[Path, bytes]:
    """What all shards, records and markers of a store's own directories hold."""
    return snapshot(p for p in sorted((store / "backends").rglob("*")) if p.is_file())


Damage = Callable[[Path], None]
"""Damages one shard, whichever it is."""

TO_ONE: dict[str, tuple[Damage, str]] = {
    "payload": (flip_payload, "damaged in block"),
    "footer": (flip_footer, "damaged footer"),
    "trailer": (flip_trailer, "damaged trailer"),
    "truncated": (lambda path: truncate(path, path.stat().st_size // 3), "truncated"),
    "cut by one": (lambda path: truncate(path, -1), "truncated"),
    "longer": (lengthen, "more bytes than it should have"),
    "empty": (empty, "empty"),
    "lost": (lose, "missing"),
}
"""Damage that needs nothing but the shard, and what `verify` calls it."""
