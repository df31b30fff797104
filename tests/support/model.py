"""What a store must hold, in plain dictionaries beside it; and damages to backends, by name."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from modelfloat.cas.formats.tree import EntryType
from modelfloat.cas.store import Store
from modelfloat.ids import ObjectId
from modelfloat.tests.support.stores import flip_bit

Tree = dict[str, bytes]
"""A branch: the content of every file by its path; links as b"-> " and their text."""


def folder_tree(folder: Path) -> Tree:
    """What a folder holds."""
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


async def stored_tree(store: Store, tree: ObjectId, prefix: str = "") -> Tree:
    """What a commit's tree holds, every byte of it read."""
    found: Tree = {}
    for entry in store.objects.directory(tree).entries():
        name = prefix + os.fsdecode(entry.name)
        if entry.type is EntryType.DIRECTORY:
            found |= await stored_tree(store, entry.object, f"{name}/")
        elif entry.type is EntryType.SYMLINK:
            found[name] = b"-> " + entry.target
        else:
            found[name] = await _content(store, entry.object)
    return found


async def _content(store: Store, manifest: ObjectId) -> bytes:
    file = store.reader.open(store.objects.manifest(manifest))
    parts, offset = [], 0
    while part := bytes(await file.read(offset, 300_001)):
        parts.append(part)
        offset += len(part)
    file.close()
    return b"".join(parts)


async def all_trees(store: Store) -> dict[str, Tree]:
    """Every ref, as `vendor/name@ref`, with what it holds."""
    return {
        f"{head.repo}@{head.ref}": await stored_tree(store, store.objects.commit(head.commit).tree)
        for head in store.index.refs()
    }


# Damages: each strikes one backend's folder, where it finds something to damage.


Damage = Callable[[Path, random.Random], None]


def _shards(backend: Path) -> list[Path]:
    return sorted(backend.glob("packs/*/*/*"))


def _each_shard(strike: Callable[[Path], object]) -> Damage:
    def damage(backend: Path, chance: random.Random) -> None:
        shards = _shards(backend)
        for shard in chance.sample(shards, min(len(shards), 1 + chance.randrange(3))):
            strike(shard)

    return damage


def _swap(backend: Path, chance: random.Random) -> None:
    shards = _shards(backend)
    if len(shards) < 2:
        return
    one, other = chance.sample(shards, 2)
    kept = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def _journal(strike: Callable[[Path], object]) -> Damage:
    def damage(backend: Path, chance: random.Random) -> None:
        records = sorted(backend.glob("journal/*/*"))
        if records:
            strike(chance.choice(records))

    return damage


def _lose(backend: Path, _chance: random.Random) -> None:
    shutil.rmtree(backend)


def _half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


DAMAGES: dict[str, Damage] = {
    "flip_payload": _each_shard(lambda shard: flip_bit(shard, 3)),
    "flip_footer": _each_shard(lambda shard: flip_bit(shard, -70)),
    "flip_trailer": _each_shard(lambda shard: flip_bit(shard, -1)),
    "truncate": _each_shard(_half),
    "empty": _each_shard(lambda shard: os.truncate(shard, 0)),
    "delete": _each_shard(Path.unlink),
    "swap": _swap,
    "flip_record": _journal(lambda record: flip_bit(record, 50)),
    "tear_record": _journal(_half),
    "delete_record": _journal(Path.unlink),
    "lose_backend": _lose,
}
