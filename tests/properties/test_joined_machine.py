"""Two joined stores and whatever may happen between them: after each step every reachable file is
what it was, at both of them.

Commands run as a user runs them, through the command line, here or there; a killed one dies by
SIGKILL at some step of its own and is then repeated where it died. Two that race run at once.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
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
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Ran
from modelfloat.tests.support.model import Tree, all_trees, folder_tree
from modelfloat.tests.support.samples import noise

SITES = ("here", "there")
SITE = st.sampled_from(SITES)
REPOS = st.sampled_from(["acme/one", "acme/two"])
BRANCHES = st.sampled_from(["main", "dev"])
NAMES = st.sampled_from(["a", "b/c", "b/d"])
SIZES = st.sampled_from([0, 1000, 70_000, 300_000])


class JoinedMachine(RuleBasedStateMachine):
    """`expected` is what every ref must hold, wherever it is read; `earlier` what a ref held, or
    that it was not there, before its last change, where `undo` must bring that back."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="modelfloat-joined-"))
        self.source = self.folder / "source"
        self.source.mkdir()
        self.stores = {site: self.folder / site for site in SITES}
        self.crashers = {}
        for site in SITES:
            (self.folder / f"crasher-{site}").mkdir()
            self.crashers[site] = Crasher(self.folder / f"crasher-{site}")
            self.crashers[site].__enter__()
        self.expected: dict[str, Tree] = {}
        self.earlier: dict[str, Tree | None] = {}
        self.tagged = 0
        self.moved = 0

    def teardown(self) -> None:
        for crasher in self.crashers.values():
            crasher.__exit__(None, None, None)
        shutil.rmtree(self.folder)

    @initialize()
    def init(self) -> None:
        self.run("here", "init", "--erasure", "2+2")
        self.join()

    def join(self) -> None:
        """Make the store `there` from what lies on the backends of the one here."""
        places = sorted((self.stores["here"] / "backends").iterdir())
        self.run("there", "init", "--join", *(f"--backend={place}" for place in places))

    # Commands

    def run(
        self, site: str, *arguments: object, status: tuple[int, ...] = (0,), at: int | None = None
    ) -> Ran:
        """Run a command at a site; one that is killed `at` a step may end as it likes."""
        ran = self.crashers[site].run("--store", self.stores[site], *arguments, at=at)
        assert at is not None or ran.status in status, (site, arguments, ran.status, ran.err)
        return ran

    def change(self, ref: str, tree: Tree | None, *, known: bool = True) -> None:
        """A ref holds this now, or is gone. What it held is `known` where one change did it all; an
        add of what is there already may or may not be one."""
        was = self.expected.pop(ref, None)
        self.earlier.pop(ref, None)
        if known and was != tree:
            self.earlier[ref] = was
        if tree is not None:
            self.expected[ref] = tree

    def paths(self) -> list[tuple[str, str]]:
        """The files of all branches."""
        branches = {ref: tree for ref, tree in self.expected.items() if "@v" not in ref}
        return sorted((ref, path) for ref, tree in branches.items() for path in tree)

    @rule(name=NAMES, size=SIZES, seed=st.integers(0, 3))
    def write(self, name: str, size: int, seed: int) -> None:
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise(f"{seed}", size))

    @rule(name=NAMES)
    def unlink(self, name: str) -> None:
        (self.source / name).unlink(missing_ok=True)

    def after_add(self, ref: str, *, sync: bool) -> Tree:
        """What a ref is to hold after an add of the source."""
        return ({} if sync else self.expected.get(ref, {})) | folder_tree(self.source)

    @rule(site=SITE, repo=REPOS, branch=BRANCHES, sync=st.booleans())
    def add(self, site: str, repo: str, branch: str, sync: bool) -> None:
        ref = f"{repo}@{branch}"
        self.run(site, "add", self.source, ref, *["--sync"] * sync)
        self.change(ref, self.after_add(ref, sync=sync))

    @precondition(lambda self: self.expected)
    @rule(site=SITE, data=st.data())
    def tag(self, site: str, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.expected)))
        self.tagged += 1
        repo, _, name = ref.partition("@")
        self.run(site, "tag", repo, f"v{self.tagged}", name)
        self.change(f"{repo}@v{self.tagged}", self.expected[ref])

    @precondition(lambda self: self.paths())
    @rule(site=SITE, data=st.data())
    def rm_a_file(self, site: str, data: st.DataObject) -> None:
        ref, path = data.draw(st.sampled_from(self.paths()))
        self.run(site, "rm", f"{ref}/{path}")
        left = {name: content for name, content in self.expected[ref].items() if name != path}
        self.change(ref, left)

    @precondition(lambda self: self.paths())
    @rule(site=SITE, data=st.data())
    def mv_a_file(self, site: str, data: st.DataObject) -> None:
        ref, path = data.draw(st.sampled_from(self.paths()))
        self.moved += 1
        self.run(site, "mv", f"{ref}/{path}", f"{ref}/{path}-{self.moved}")
        tree = dict(self.expected[ref])
        tree[f"{path}-{self.moved}"] = tree.pop(path)
        self.change(ref, tree)

    @precondition(lambda self: self.earlier)
    @rule(site=SITE, data=st.data())
    def undo(self, site: str, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.earlier)))
        self.run(site, "undo", ref)
        self.change(ref, self.earlier[ref])

    @precondition(lambda self: self.expected)
    @rule(site=SITE, data=st.data())
    def rm(self, site: str, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.expected)))
        self.run(site, "rm", ref)
        self.change(ref, None)

    @rule(site=SITE)
    def gc(self, site: str) -> None:
        """It waits for nobody: who was killed elsewhere was followed there by who settled that."""
        self.run(site, "gc", "--grace", "0")
        self.earlier.clear()

    @rule(repo=REPOS, branch=BRANCHES)
    def race(self, repo: str, branch: str) -> None:
        """Both add another file to one branch at once: neither may lose its own."""
        ref, files, racing = f"{repo}@{branch}", {}, []
        with ThreadPoolExecutor(len(SITES)) as threads:
            for site in SITES:
                path = self.folder / f"of-{site}"
                files[path.name] = noise(f"{site} {len(self.expected)}", 50_000)
                path.write_bytes(files[path.name])
                racing.append(threads.submit(self.run, site, "add", path, ref))
        for each in racing:
            each.result()
        self.change(ref, self.expected.get(ref, {}) | files, known=False)

    # What happens to a store

    @rule(site=SITE, gone=st.booleans())
    def rebuild_index(self, site: str, gone: bool) -> None:
        if gone:
            shutil.rmtree(self.stores[site] / "index")
        self.run(site, "rebuild-index")

    @rule()
    def join_anew(self) -> None:
        """The machine there is lost, and another one joins."""
        shutil.rmtree(self.stores["there"])
        self.join()

    @rule(
        site=SITE,
        command=st.sampled_from(["add", "sync", "gc", "rm"]),
        at=st.integers(0, 90),
        repo=REPOS,
        branch=BRANCHES,
    )
    def kill(self, site: str, command: str, at: int, repo: str, branch: str) -> None:
        """SIGKILL at a step; what was is there, or what was to be. Then the command is repeated."""
        ref, arguments = f"{repo}@{branch}", ["gc", "--grace", "0"]
        tree = self.expected.get(ref)
        if command in ("add", "sync"):
            tree = self.after_add(ref, sync=command == "sync")
            arguments = ["add", str(self.source), ref, *["--sync"] * (command == "sync")]
        elif command == "rm":
            tree, arguments = None, ["rm", ref]
        else:
            self.earlier.clear()
        before = dict(self.expected)
        self.change(ref, tree, known=False)
        self.run(site, *arguments, at=at)
        found = self.seen_at(site)
        assert found in (before, self.expected)
        gone = command == "rm" and ref not in found
        self.run(site, *arguments, status=(1,) if gone else (0,))

    # What must be true

    @invariant()
    def everything_reads_back(self) -> None:
        if self.stores["there"].exists():
            for site in SITES:
                assert self.seen_at(site) == self.expected, site

    def seen_at(self, site: str) -> dict[str, Tree]:
        """What every ref holds as read at a site, which must find nothing amiss."""
        found, report = trio.run(self._look, self.stores[site])
        assert (report.exit_status, report.problems) == (0, []), site
        return found

    async def _look(self, folder: Path) -> tuple[dict[str, Tree], VerifyReport]:
        async with open_store(str(folder)) as store:
            async with store.access.writing("a look at both", told=False) as journal:
                await journal.take_over()
            return await all_trees(store), await store.verify()


def explore(examples: int, steps: int, *, shrink: bool) -> None:
    """Run so many histories of so many steps. Shrinking one takes many more."""
    run_state_machine_as_test(
        JoinedMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=set(Phase) if shrink else {Phase.generate},
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_two_stores_through_whatever_happens() -> None:
    explore(2, 12, shrink=False)


@pytest.mark.slow
def test_two_stores_through_much_more() -> None:
    explore(60, 30, shrink=True)
