"""Makes the golden stores of this release: golden/stores/VERSION/NAME.tar.xz, and NAME.json beside.

    python tests/formats/make_golden_store.py [NAME]...

A golden store is never changed: run this for a new version, and commit what it made. What goes into
them is the same everywhere; the ids of stores, packs and writers, and the times, are not.

The small packs that object packs and these files would make are split from 32 KiB on here, so that
stores of some hundred kilobytes have packs of every kind. Format.md asks for that size by SHOULD.
"""

import contextlib
import json
import os
import re
import sys
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest import mock

import trio

from modelfloat.backendchanges import add_backend
from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.cas.get.getting import get
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store
from modelfloat.tests.support.encrypted import KEYS, make_encrypted
from modelfloat.tests.support.everycodec import many, model
from modelfloat.tests.support.folders import restored
from modelfloat.tests.support.samples import noise
from modelfloat.version import __version__

STORES = Path(__file__).parent / "golden" / "stores"
SPLIT_FROM = 32 << 10
TIME = 1_500_000_000_123_456_789
"""When everything in them was changed, in nanoseconds."""
LOCKS = re.compile(r"store/(index/lock\.mdb|locks/(?!writer-).+)")
"""Left out: lock files are this machine's, and made anew."""


def make_source(folder: Path) -> Path:
    """Files, folders and links of all kinds; bytes that shrink and bytes that do not."""
    (folder / "inner" / "empty").mkdir(parents=True)
    header = json.dumps(
        {"a": {"dtype": "BF16", "shape": [35_000], "data_offsets": [0, 70_000]}}
    ).encode()
    weights = len(header).to_bytes(8, "little") + header + noise("weights", 70_000)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "inner" / "config.json").write_bytes(b'{"layers": 12, "heads": 8}\n' * 3000)
    (folder / "inner" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "inner" / "run.sh").chmod(0o755)
    (folder / "empty").write_bytes(b"")
    (folder / "zeros").write_bytes(bytes(3_000_000) + b"end")
    (folder / "link").symlink_to("inner/config.json")
    (folder / "grüße 你好").write_bytes(b"text\n")
    with contextlib.suppress(OSError):
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).write_bytes(b"not UTF-8")
    (folder / "inner" / "empty").chmod(0o700)
    for path in sorted(folder.rglob("*"), reverse=True):
        os.utime(path, ns=(TIME, TIME), follow_symlinks=False)
    return folder


async def fill(store_path: Path, source: Path, keys: StoreKeys | None = None) -> None:
    """Two repositories, three branches and a tag, of several commits; a third is gone by gc."""
    async with open_store(str(store_path), keys=keys) as store:
        await store.add([str(source)], parse_address("acme/model"), message="first\n\nwith a body")
    async with open_store(str(store_path), keys=keys) as store:
        (source / "inner" / "notes.txt").write_bytes(b"new on dev\n" * 10)
        await store.add([str(source)], parse_address("acme/model@dev"), tag="v1.0")
        (source / "model.safetensors").write_bytes(noise("other weights", 50_000))
        await store.add([str(source)], parse_address("acme/model"), message="second")
        await store.add([str(source / "zeros")], parse_address("größe/other@only"))
    gone = source.parent / "gone"
    gone.write_bytes(noise("removed again", 40_000))
    async with open_store(str(store_path), keys=keys) as store:
        await store.add([str(gone)], parse_address("acme/gone"))
        await store.remove(parse_address("acme/gone"), grace=0.0)
        report = await store.gc(grace=0.0)
        assert report.deleted, "gc deleted no pack"


async def six(folder: Path) -> None:
    """4+2 over six directories of the store's own."""
    await create_store(str(folder / "store"), Scheme(4, 2), [], reserve=0)
    await fill(folder / "store", folder / "source")


async def three(folder: Path) -> None:
    """2+1 over three directories; one was away when a fourth was there, and its shards moved."""
    path = folder / "store"
    await create_store(str(path), Scheme(2, 1), [], reserve=0)
    await fill(path, folder / "source")
    await add_backend(str(path), "d3", "backends/d3")
    marker = path / "backends" / "d0" / "modelfloat.json"
    shards = list((path / "backends" / "d0" / "packs").glob("*/*/*"))
    away = marker.rename(folder / "marker")
    async with open_store(str(path)) as store:
        await store.verify(repair=True)
    away.rename(marker)
    moved = [s for s in shards if (path / "backends/d3" / s.relative_to(marker.parent)).exists()]
    assert moved, "no shard was moved"
    for shard in moved:
        shard.unlink()


async def one(folder: Path) -> None:
    """8+1 in one directory."""
    place = BackendSpec("only", "backends/only")
    await create_store(str(folder / "store"), None, [place], reserve=0)
    await fill(folder / "store", folder / "source")


async def codecs(folder: Path) -> None:
    """8+1 in one directory; chunks of every codec, and a region table in pages."""
    place = BackendSpec("only", "backends/only")
    await create_store(str(folder / "store"), None, [place], reserve=0)
    models = folder / "models"
    models.mkdir()
    (models / "every.safetensors").write_bytes(model(16_000))
    (models / "many.safetensors").write_bytes(many())
    (models / "notes.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(3000)))
    for path in (*models.iterdir(), models):
        os.utime(path, ns=(TIME, TIME))
    async with open_store(str(folder / "store")) as store:
        await store.add([str(models)], parse_address("acme/model"))


async def sealed(folder: Path) -> None:
    """2+1 over three directories, encrypted with keys that follow from the same master key."""
    await make_encrypted(folder / "store")
    await fill(folder / "store", folder / "source", KEYS)


KINDS: dict[str, Callable[[Path], Awaitable[None]]] = {
    "six-4+2": six,
    "three-2+1": three,
    "one-8+1": one,
    "codecs-8+1": codecs,
    "sealed-2+1": sealed,
}


async def make(name: str, out: Path) -> None:
    """Make one golden store and the listing of what it holds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_source(folder / "source")
        await KINDS[name](folder)
        keys = KEYS if name.startswith("sealed") else None
        async with open_store(str(folder / "store"), keys=keys) as store:
            report = await store.verify()
            assert report.exit_status == 0, report.problems
            await get(store, None, str(folder / "all"), verify=True)
        write_listing(folder / "all", out / f"{name}.json")
        pack(folder / "store", out / f"{name}.tar.xz")


def write_listing(folder: Path, path: Path) -> None:
    """Type, mode, mtime and BLAKE3 or target of every path; names that are no UTF-8 escaped."""
    listing = {
        ref: {
            os.fsdecode(name): [type_, mode, mtime, digest.hex()]
            for name, (type_, mode, mtime, digest) in sorted(found.items())
        }
        for ref, found in restored(folder).items()
    }
    path.write_text(json.dumps(listing, indent=1, sort_keys=True) + "\n")


def pack(store: Path, path: Path) -> None:
    """The store's folder as it is, owned by nobody in particular."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        kept = info.isreg() and LOCKS.fullmatch(info.name) is None
        return info if kept or info.isdir() else None

    with tarfile.open(path, "w:xz", preset=9) as tar:
        tar.add(store, "store", filter=plain)


def main() -> None:
    """Make the stores named, or all."""
    out = STORES / __version__
    out.mkdir(parents=True, exist_ok=True)
    with mock.patch("modelfloat.cas.packs.builder.SMALL_PACK", SPLIT_FROM):
        for name in sys.argv[1:] or KINDS:
            trio.run(make, name, out)
            sys.stdout.write(f"{out / name}.tar.xz\n")


if __name__ == "__main__":
    main()
