"""One store and whatever may happen to it: after each step every reachable file is what it was.

Commands run as a user runs them, through the command line, each in a process of its own; a killed
one dies by SIGKILL at some step of its own, and is then repeated. Damage strikes one backend at a
time, until it is repaired: the scheme 2+2 over four directories must bear that at all times, with
packs that were written meanwhile too.
"""

import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from modelfloat.cas.verify.report import VerifyReport
from modelfloat.cli.main import run as run_here
from modelfloat.opening import open_store
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.crashing import Crasher, Ran
from modelfloat.tests.support.folders import restored
from modelfloat.tests.support.model import DAMAGES, Tree, all_trees, folder_tree
from modelfloat.tests.support.mounted import needs_fuse, sweep
from modelfloat.tests.support.rescuing import rescue
from modelfloat.tests.support.samples import noise

REPOS = st.sampled_from(["acme/one", "acme/two"])
BRANCHES = st.sampled_from(["main", "dev"])
NAMES = st.sampled_from(["a", "b/c", "b/d", "model.safetensors", "name with ü"])
CONTENTS = st.tuples(
    st.sampled_from(["noise", "text", "zeros", "both"]),
    st.sampled_from([0, 1, 1000, 70_000, 300_000, 1_400_000]),
    st.integers(0, 3),
)
DAY = 86_400 * 10**9


def content(kind: str, size: int, seed: int) -> bytes:
    """Bytes that shrink, do not shrink, or are zeros; the same for the same arguments."""
    if kind == "zeros":
        return bytes(size)
    if kind == "text":
        return (f"line {seed}\n" * (size // 6 + 1)).encode()[:size]
    half = size // 2 if kind == "both" else 0
    return noise(f"{seed}", size - half) + bytes(half)


class StoreMachine(RuleBasedStateMachine):
    """`expected` is what every ref must hold; `hurt` the backend that is damaged, if one is."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="modelfloat-machine-"))
        self.source = self.folder / "source"
        self.source.mkdir()
        self.store = self.folder / "store"
        self.crasher = Crasher(self.folder)
        self.crasher.__enter__()
        self.expected: dict[str, Tree] = {}
        self.hurt: Path | None = None
        self.away: Path | None = None

    def teardown(self) -> None:
        self.crasher.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @initialize()
    def init(self) -> None:
        self.run("init", "--erasure", "2+2")

    # Commands

    def run(self, *arguments: object, status: int | tuple[int, ...] = 0, **fault: object) -> Ran:
        ran = self.crasher.run("--store", self.store, *arguments, **fault)  # type: ignore[arg-type]
        if "at" not in fault:
            allowed = (status,) if isinstance(status, int) else status
            assert ran.status in allowed, (arguments, ran.status, ran.err)
        return ran

    @rule(name=NAMES, made=CONTENTS)
    def write(self, name: str, made: tuple[str, int, int]) -> None:
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(*made))

    @rule(name=NAMES)
    def unlink(self, name: str) -> None:
        (self.source / name).unlink(missing_ok=True)

    @rule(text=st.sampled_from(["a", "b/c", "."]))
    def link(self, text: str) -> None:
        (self.source / "link").unlink(missing_ok=True)
        if (self.source / text).exists():
            (self.source / "link").symlink_to(text)

    def after_add(self, repo: str, branch: str, *, sync: bool) -> dict[str, Tree]:
        """What is to be expected after an add of the source."""
        ref = f"{repo}@{branch}"
        # A new branch begins empty, whatever main holds.
        base = self.expected.get(ref, {})
        found = folder_tree(self.source)
        return self.expected | {ref: found if sync else base | found}

    @rule(repo=REPOS, branch=BRANCHES, sync=st.booleans())
    def add(self, repo: str, branch: str, sync: bool) -> None:
        self.run("add", self.source, f"{repo}@{branch}", *["--sync"] * sync)
        self.expected = self.after_add(repo, branch, sync=sync)

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def rm(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.expected)))
        self.run("rm", ref)
        del self.expected[ref]

    @rule()
    def gc(self) -> None:
        self.run("gc", "--grace", "0")

    # What happens to a store

    @precondition(lambda self: self.hurt is None)
    @rule(name=st.sampled_from(sorted(DAMAGES)), backend=st.integers(0, 3), seed=st.integers(0, 9))
    def damage(self, name: str, backend: int, seed: int) -> None:
        folder = self.store / "backends" / f"d{backend}"
        DAMAGES[name](folder, random.Random(seed))
        # Whether there was anything to damage is chance, which may not decide what comes next.
        self.hurt = folder

    @precondition(lambda self: self.hurt is None)
    @rule(backend=st.integers(0, 3))
    def go_away(self, backend: int) -> None:
        self.hurt = self.store / "backends" / f"d{backend}"
        self.away = self.hurt.rename(self.folder / "away")
        # An empty folder stays where a disk was mounted: it must not be taken for the backend.
        self.hurt.mkdir()

    @precondition(lambda self: self.away is not None)
    @rule()
    def come_back(self) -> None:
        assert self.away is not None
        assert self.hurt is not None
        shutil.rmtree(self.hurt)
        self.away.rename(self.hurt)
        self.away = None

    @precondition(lambda self: self.away is None)
    @rule()
    def repair(self) -> None:
        self.run("verify", "--repair", status=(0, 3))
        self.hurt = None
        self.run("verify")

    @rule()
    def keep_a_copy_of_the_index(self) -> None:
        """For a disk that is restored from a backup of an earlier day."""
        shutil.rmtree(self.folder / "old-index", ignore_errors=True)
        shutil.copytree(self.store / "index", self.folder / "old-index")

    @rule(how=st.sampled_from(["gone", "damaged", "old", "sound"]))
    def rebuild_index(self, how: str) -> None:
        index = self.store / "index"
        if how == "damaged":
            (index / "data.mdb").write_bytes(noise("no index", 100_000))
        elif how != "sound":
            shutil.rmtree(index)
        if how == "old" and (self.folder / "old-index").exists():
            shutil.copytree(self.folder / "old-index", index)
        self.run("rebuild-index", status=0 if self.hurt is None else (0, 3))

    @precondition(lambda self: self.expected)
    @rule()
    def rescue(self) -> None:
        """All files from the shards alone, by a script that knows nothing of this program."""
        out = self.folder / "rescued"
        result = rescue(out, sorted((self.store / "backends").iterdir()))
        assert result.returncode in ((0,) if self.hurt is None else (0, 3)), result.stderr
        found = {
            name if "@" in name else f"{name}@main": folder_tree(out / name)
            for name in restored(out)
        }
        assert found == self.expected
        shutil.rmtree(out, ignore_errors=True)

    @rule(
        command=st.sampled_from(["add", "sync", "gc", "repair", "rm"]),
        at=st.integers(0, 70),
        repo=REPOS,
        branch=BRANCHES,
    )
    def kill(self, command: str, at: int, repo: str, branch: str) -> None:
        """SIGKILL at a step; what was is there, or what was to be. Then the command is repeated."""
        ref = f"{repo}@{branch}"
        after = self.expected
        if command in ("add", "sync"):
            after = self.after_add(repo, branch, sync=command == "sync")
            arguments = ["add", str(self.source), ref, *["--sync"] * (command == "sync")]
        elif command == "rm":
            after = {name: tree for name, tree in self.expected.items() if name != ref}
            arguments = ["rm", ref]
        else:
            arguments = ["gc", "--grace", "0"] if command == "gc" else ["verify", "--repair"]
        self.run(*arguments, at=at)
        found = self.check(self.expected, after)
        gone = command == "rm" and ref not in found
        self.run(*arguments, status=1 if gone else (0, 3) if command == "repair" else 0)
        self.expected = after

    @rule(repo=REPOS, back=st.sampled_from([DAY, 400 * DAY]))
    def add_with_the_clock_set_back(self, repo: str, back: int) -> None:
        arguments = ["--store", str(self.store), "--quiet", "add", str(self.source), repo]
        with pytest.MonkeyPatch.context() as patch:
            real, seconds = time.time_ns, time.time
            patch.setattr(time, "time_ns", lambda: real() - back)
            patch.setattr(time, "time", lambda: seconds() - back / 1e9)
            assert run_here(arguments) == 0
        self.expected = self.after_add(repo, "main", sync=False)

    # What must be true

    @invariant()
    def everything_reads_back(self) -> None:
        if self.store.exists():
            self.check(self.expected)

    def check(self, *allowed: dict[str, Tree]) -> dict[str, Tree]:
        """Every ref reads back as one of these says, and verify knows of no more than was done."""
        found, report = trio.run(self._look)
        assert found in allowed, _difference(found, allowed)
        assert report.exit_status in ((0,) if self.hurt is None else (0, 3)), report
        return found

    async def _look(self) -> tuple[dict[str, Tree], VerifyReport]:
        async with open_store(str(self.store)) as store:
            return await all_trees(store), await store.verify()


class MountedMachine(StoreMachine):
    """The same with a mount, which sees everything as it becomes, and is mounted again."""

    def __init__(self) -> None:
        super().__init__()
        self.mount = self.folder / "mount"
        self.mounted = False

    def teardown(self) -> None:
        self.unmount()
        sweep(self.folder)
        super().teardown()

    @rule()
    def remount(self) -> None:
        self.unmount()
        result = modelfloat("--store", self.store, "mount", self.mount)
        assert result.returncode == 0, result.stderr
        self.mounted = True

    @rule()
    def unmount(self) -> None:
        if self.mounted:
            result = modelfloat("umount", self.mount)
            assert result.returncode == 0, result.stderr
            self.mounted = False

    @rule(how=st.sampled_from(["gone", "damaged", "old", "sound"]))
    def rebuild_index(self, how: str) -> None:
        # A mount goes on with the index that it has open.
        self.unmount()
        super().rebuild_index(how)

    @invariant()
    def the_mount_shows_it_all(self) -> None:
        if self.mounted:
            for ref, tree in self.expected.items():
                assert folder_tree(self.mount / ref) == tree, ref


def _difference(found: dict[str, Tree], allowed: tuple[dict[str, Tree], ...]) -> str:
    return (
        "; ".join(
            f"{ref}/{name}: {len(found.get(ref, {}).get(name, b''))} bytes, not {len(content)}"
            for ref, tree in allowed[-1].items()
            for name, content in tree.items()
            if found.get(ref, {}).get(name) != content
        )
        or f"refs {sorted(found)}, not {[sorted(each) for each in allowed]}"
    )


def explore(machine: type[StoreMachine], examples: int, steps: int, *, shrink: bool) -> None:
    """Run so many histories of so many steps. A step takes a third of a second, shrinking many."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=set(Phase) if shrink else {Phase.generate},
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_store_through_whatever_happens() -> None:
    explore(StoreMachine, 4, 10, shrink=False)


@pytest.mark.slow
def test_many_stores_through_whatever_happens() -> None:
    explore(StoreMachine, 100, 30, shrink=True)


@pytest.mark.slow
@pytest.mark.mount
@needs_fuse
def test_mounted_stores_through_whatever_happens() -> None:
    explore(MountedMachine, 25, 30, shrink=True)
