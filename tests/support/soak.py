"""A program: one store over six directories, and whatever happens to it, for a long time.

    python -m modelfloat.tests.support.soak [--seconds 1800] [--seed N]

Adds, reads, removals, repairs, drains and collections follow each other as a seed says, each in a
process of its own, and some of them die by SIGKILL at a step of their own (see `crashing`). At any
time up to two backends are faulty: gone, or damaged and not repaired yet. A file whose add ended
well is read back identical at all times, and so is one whose add was killed, if it is there at all.

What is drawn depends on the seed alone, so a history comes again with its seed. Only where within
a command a kill strikes varies a little, for its tasks race.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Ran
from modelfloat.tests.support.model import DAMAGES
from modelfloat.tests.support.samples import noise

BACKENDS: Final = 6
FAULTY: Final = 2
"""Backends that are faulty at a time, at most: as many as 4+2 bears."""
STEPS: Final = 80
"""A kill strikes at one of so many steps, if the command has that many."""
SIZES: Final = (0, 1, 5_000, 70_000, 300_000, 1_400_000, 3_000_000)
REPOSITORIES: Final = ("acme/one", "acme/two", "zoo/three")
NAMES: Final = tuple(f"file-{number}.bin" for number in range(6))


@dataclass
class Soak:
    """A store and what it must hold: `expected`, by address.

    `away` are the backends that are gone, by name, `hurt` all that are not known to be whole.
    """

    folder: Path
    seed: int
    crasher: Crasher
    expected: dict[str, bytes] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    hurt: set[str] = field(default_factory=set)
    done: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.store = self.folder / "store"
        self._spare = BACKENDS
        self._run("init", "--erasure", "4+2")

    # What may happen

    def step(self) -> None:
        """The next thing that happens."""
        actions: list[tuple[int, Callable[[], None]]] = [
            (8, self._add),
            (8, self._read),
            (2, self._remove),
            (4, self._fail),
            (3, self._heal),
            (2, self._collect),
            (1, self._drain),
        ]
        weights, calls = zip(*actions, strict=True)
        (call,) = self.chance.choices(calls, weights)
        print(f"{self.done}: {call.__name__[1:]}", flush=True)
        call()
        self.done += 1

    def _add(self) -> None:
        address = f"{self.chance.choice(REPOSITORIES)}/{self.chance.choice(NAMES)}"
        content = self._content()
        source = self.folder / "source" / address.rpartition("/")[2]
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(content)
        repository = address.rpartition("/")[0]
        at = self._kill()
        ran = self._run("add", source, repository, at=at)
        before = self.expected.get(address)
        if ran.struck:
            found = self._get(address)
            assert found in (before, content), f"{address} is neither what it was nor what was put"
            # Repeated, it ends well.
            self._run("add", source, repository)
        self.expected[address] = content

    def _content(self) -> bytes:
        size = self.chance.choice(SIZES)
        if self.expected and self.chance.random() < 0.3:  # mostly known bytes
            old = self.expected[self.chance.choice(sorted(self.expected))]
            return old + noise(f"{self.chance.random()}", 3000)
        return noise(f"{self.chance.random()}", size)

    def _read(self) -> None:
        if self.expected:
            address = self.chance.choice(sorted(self.expected))
            assert self._get(address) == self.expected[address], f"{address} is not what was put"

    def _remove(self) -> None:
        repository = self.chance.choice(REPOSITORIES)
        held = [address for address in self.expected if address.startswith(f"{repository}/")]
        if not held:
            return
        at = self._kill()
        ran = self._run("rm", repository, at=at)
        if ran.struck and self._get(held[0]) is not None:
            self._run("rm", repository)
        for address in held:
            del self.expected[address]

    def _fail(self) -> None:
        """One backend more is gone or damaged, if that may be; or one that is gone comes back."""
        names = sorted(path.name for path in self._backends())
        name, damage = self.chance.choice(names), self.chance.choice(sorted(DAMAGES))
        gone = self.chance.random() < 0.5
        if name not in self.hurt and len(self.hurt) >= FAULTY:
            self._come_back(self.chance.choice(sorted(self.hurt)))
        elif name not in self.away:
            self.hurt.add(name)
            path = self.store / "backends" / name
            if gone:
                self.away.add(name)
                path.rename(self.folder / f"away-{name}")
            else:
                DAMAGES[damage](path, self.chance)

    def _come_back(self, name: str) -> None:
        if name in self.away:
            self.away.remove(name)
            path = self.store / "backends" / name
            shutil.rmtree(path, ignore_errors=True)  # a repair may have made it anew
            (self.folder / f"away-{name}").rename(path)

    def _heal(self) -> None:
        """What is gone comes back, or not; a repair, which may be killed, then makes all whole."""
        back = self.chance.random() < 0.7
        for name in sorted(self.away) if back else ():
            self._come_back(name)
        self._run("verify", "--repair", status=(0, 3), at=self._kill())
        self._run("verify", "--repair", status=(0, 3))
        if not self.away:
            self._run("verify")
            self.hurt.clear()

    def _collect(self) -> None:
        """Refused while so much is gone that nobody knows what is needed."""
        self._run("gc", "--grace", "0", status=(0, 1) if self.away else 0, at=self._kill())

    def _drain(self) -> None:
        """A backend goes for good, and a new one takes its place."""
        if self.hurt:
            return
        name, fresh = self.chance.choice(sorted(p.name for p in self._backends())), self._spare
        self._spare += 1
        self._run("backend", "add", f"d{fresh}", self.store / "backends" / f"d{fresh}")
        self._run("backend", "drain", name, at=self._kill())
        self._run("backend", "drain", name)
        self._run("backend", "rm", name)
        shutil.rmtree(self.store / "backends" / name)

    # In the end

    def end(self) -> None:
        """Everything is mended; then nothing is lost, nothing damaged and nothing left over."""
        for name in sorted(self.away):
            self._come_back(name)
        self._run("verify", "--repair", status=(0, 3))
        self._run("verify")
        for address, content in sorted(self.expected.items()):
            assert self._get(address) == content, f"{address} is not what was put"
        self._run("gc", "--grace", "0")
        self._run("gc", "--grace", "0")
        left = trio.run(self._unreferenced)
        assert not left, f"{len(left)} packs are left over: {sorted(left)[:3]}"
        self._run("verify")

    async def _unreferenced(self) -> set[str]:
        """Packs of which shards lie somewhere, and that the index does not know."""
        async with open_store(str(self.store)) as store:
            known = {pack.id.hex() for pack in store.index.packs()}
        return {path.parent.name for path in self.store.glob("backends/*/packs/*/*/*")} - known

    # How

    def _backends(self) -> list[Path]:
        there = [path for path in (self.store / "backends").iterdir() if path.is_dir()]
        gone = [self.store / "backends" / name for name in self.away]
        return sorted({*there, *gone})

    def _kill(self) -> int | None:
        """At which step the next command dies; None for never."""
        at = self.chance.randrange(STEPS)
        return at if self.chance.random() < 0.4 else None

    def _get(self, address: str) -> bytes | None:
        """What the store has there; None where it says that there is nothing."""
        into = self.folder / "got"
        into.unlink(missing_ok=True)
        ran = self._run("get", address, into, status=(0, 1))
        if ran.status:
            assert address not in self.expected or "no " in ran.err, ran.err
            return None
        return into.read_bytes()

    def _run(
        self, *arguments: object, status: int | tuple[int, ...] = 0, at: int | None = None
    ) -> Ran:
        ran = self.crasher.run("--store", self.store, "--quiet", *arguments, at=at)
        allowed = (status,) if isinstance(status, int) else status
        assert ran.struck or ran.status in allowed, (arguments, ran.status, ran.err)
        assert "Traceback" not in ran.err, ran.err
        return ran


def soak(folder: Path, seed: int, seconds: float) -> int:
    """Let things happen for so long, at least one; how many did. AssertionError if anything is
    not as it must be."""
    print(f"seed {seed}", flush=True)
    with Crasher(folder) as crasher:
        run = Soak(folder, seed, crasher)
        until = time.monotonic() + seconds
        while not run.done or time.monotonic() < until:
            run.step()
        run.end()
    return run.done


def main() -> None:
    """By hand."""
    parser = argparse.ArgumentParser(description="Soak a store.")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelfloat-soak-") as folder:
        done = soak(Path(folder), asked.seed, asked.seconds)
    print(f"{done} things happened, and nothing was lost", file=sys.stderr)


if __name__ == "__main__":
    main()
