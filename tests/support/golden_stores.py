"""Golden stores: complete stores that earlier releases and this one made, with what they hold."""

import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from modelfloat.cas.encryption.keys import StoreKeys
from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.encrypted import KEYS
from modelfloat.tests.support.folders import Facts

STORES = ROOT / "tests" / "formats" / "golden" / "stores"
GOLDEN = sorted(STORES.glob("*/*.tar.xz"))


@dataclass(frozen=True)
class GoldenStore:
    """One of them, unpacked: the store's folder, its backends, its keys where it is encrypted, and
    what `get --all` must write."""

    path: Path
    backends: list[Path]
    scheme: tuple[int, int]
    keys: StoreKeys | None
    expected: dict[str, dict[bytes, Facts]]


def name_of(archive: Path) -> str:
    """`0.1.0/six-4+2`."""
    return f"{archive.parent.name}/{archive.name.removesuffix('.tar.xz')}"


def unpack(archive: Path, folder: Path) -> GoldenStore:
    """Unpack one into a folder of the test's own."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    store = folder / "store"
    k, _, m = archive.name.removesuffix(".tar.xz").rpartition("-")[2].partition("+")
    keys = KEYS if archive.name.startswith("sealed-") else None
    backends = sorted((store / "backends").iterdir())
    return GoldenStore(store, backends, (int(k), int(m)), keys, _listing(archive))


def _listing(archive: Path) -> dict[str, dict[bytes, Facts]]:
    text = archive.with_name(archive.name.removesuffix(".tar.xz") + ".json").read_text()
    return {
        ref: {
            os.fsencode(name): (type_, mode, mtime, bytes.fromhex(digest))
            for name, (type_, mode, mtime, digest) in found.items()
        }
        for ref, found in json.loads(text).items()
    }
