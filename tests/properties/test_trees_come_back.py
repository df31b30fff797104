"""Any tree of files, links and folders comes back as it was: by get, and by docs/rescue.py."""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfloat.cas.get.getting import get
from modelfloat.opening import open_store
from modelfloat.tests.support.folders import contents, restored
from modelfloat.tests.support.rescuing import rescue
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store

# What a filesystem takes, without what add leaves out by name.
NAMES = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.text(min_size=1, max_size=8).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"a", b"b", b"x" * 255, b" ", b"'\"\n", b"-rf", b"\xff", "ü".encode()]),
).filter(
    lambda name: (
        name not in (b".", b"..")
        and not {0, 0x2F} & set(name)
        and len(name) < 256
        and not name.startswith((b".git", b".cache"))
        and not name.endswith(b".incomplete")
    )
)
TIMES = st.integers(0, 2**32 * 10**9 - 1)
SIZES = st.one_of(
    st.integers(0, 2000), st.sampled_from([65_536, 1 << 20, (1 << 20) + 1, 2_500_000])
)


@dataclass(frozen=True)
class File:
    size: int
    seed: int
    zeros: int
    mode: int
    time: int


@dataclass(frozen=True)
class Link:
    text: bytes
    time: int


@dataclass(frozen=True)
class Dir:
    mode: int
    time: int
    entries: "dict[bytes, File | Link | Dir]" = field(default_factory=dict)


# Of its owner's bits those that let a test without root read it back.
FILES = st.builds(
    File,
    SIZES,
    st.integers(0, 5),
    st.sampled_from([0, 0, 1_100_000]),
    st.integers(0, 0o777).map(lambda mode: mode | 0o400),
    TIMES,
)
LINKS = st.builds(Link, NAMES, TIMES)
DIRS = st.recursive(
    st.builds(Dir, st.just(0o755), TIMES, st.dictionaries(NAMES, FILES | LINKS, max_size=4)),
    lambda inner: st.builds(
        Dir,
        st.integers(0, 0o777).map(lambda mode: mode | 0o700),
        TIMES,
        st.dictionaries(NAMES, FILES | LINKS | inner, max_size=4),
    ),
    max_leaves=6,
)


def make(directory: Dir, path: bytes) -> None:
    """Make it on disk; links that would leave the tree, or point at nothing, are files instead."""
    os.mkdir(path)
    for name, entry in directory.entries.items():
        inner = os.path.join(path, name)
        match entry:
            case Dir():
                make(entry, inner)
            case Link() if entry.text in directory.entries and entry.text != name:
                os.symlink(entry.text, inner)
                os.utime(inner, ns=(entry.time, entry.time), follow_symlinks=False)
            case Link():
                _write(inner, File(3, 0, 0, 0o644, entry.time))
            case File():
                _write(inner, entry)
    os.chmod(path, directory.mode)
    os.utime(path, ns=(directory.time, directory.time))


def _write(path: bytes, entry: File) -> None:
    with open(path, "wb") as file:
        file.write(bytes(entry.zeros) + noise(str(entry.seed), entry.size))
    os.chmod(path, entry.mode)
    os.utime(path, ns=(entry.time, entry.time))


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tree=DIRS, scheme=st.sampled_from(["1+0", "2+1", "4+2"]))
def test_any_tree_comes_back(tree: Dir, scheme: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(tree, os.fsencode(folder / "source"))
        trio.run(_round_trip, folder, scheme)
        result = rescue(folder / "rescued", sorted((folder / "store" / "backends").iterdir()))
        assert (result.returncode, result.stderr) == (0, "")
        found = restored(folder / "rescued").get("acme/model", {})
        assert found == contents(folder / "source")


async def _round_trip(folder: Path, scheme: str) -> None:
    async with fresh_store(folder / "store", scheme) as store:
        report = await add(store, folder / "source")
        assert report.skipped == []
    async with open_store(str(folder / "store")) as store:
        done = await get(store, None, str(folder / "out"), verify=True)
        assert (done.exit_status, done.warnings) == (0, [])
    assert restored(folder / "out").get("acme/model", {}) == contents(folder / "source")
