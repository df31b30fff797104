"""A program: one store over six directories, and whatever happens to it, for a long time.

    python -m modelfloat.tests.support.soak [--seconds 1800] [--seed N] [--encrypted|--no-encrypted]

Adds, reads, removals, repairs, drains, rebalances, restripes and collections follow each other as a
seed says, each in a process of its own, and some of them die by SIGKILL at a step of their own (see
`crashing`). At any time up to two backends are faulty: gone, or damaged and not repaired yet; some
are read-only for a while, or nearly full. A file whose add ended well is read back identical at all
times, and so is one whose add was killed or failed, if it is there at all. An encrypted store, as
odd seeds have it, loses copies of its keyring and its index besides, and keys come and go.

What is drawn depends on the seed alone, so a history comes again with its seed. Only where within
a command a kill strikes varies a little, for its tasks race.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from modelfloat.config import read_config
from modelfloat.tests.support.crashing import Crasher
from modelfloat.tests.support.model import DAMAGES
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.soakedstore import BACKENDS, SoakedStore

MOST: Final = 8
"""Backends that there are at most, after some were added to be rebalanced onto."""
SCHEMES: Final = ("4+2", "3+3", "2+2", "2+3")
"""What packs may be of: each bears FAULTY."""
FAULTY: Final = 2
"""Backends that are faulty at a time, at most: as many as 4+2 bears."""
SIZES: Final = (0, 1, 5_000, 70_000, 300_000, 1_400_000, 3_000_000)
REPOSITORIES: Final = ("acme/one", "acme/two", "zoo/three")
NAMES: Final = tuple(f"file-{number}.bin" for number in range(6))


@dataclass
class Soak(SoakedStore):
    """A store and what happens to it; `done` counts that."""

    done: int = 0

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
            (1, self._rebalance),
            (1, self._restripe),
            (1, self._forbid),
            (1, self._fill),
        ]
        if self.encrypted:
            actions += [(2, self._rekey), (1, self._rebuild)]
        weights, calls = zip(*actions, strict=True)
        (call,) = self.chance.choices(calls, weights)
        print(f"{self.done}: {call.__name__[1:]}", flush=True)
        call()
        self.done += 1

    def _add(self, allowed: tuple[int, ...] = (0,)) -> None:
        """An add, of a scheme of its own now and then; what fails, if it may, changes nothing."""
        address = f"{self.chance.choice(REPOSITORIES)}/{self.chance.choice(NAMES)}"
        content = self._content()
        source = self.folder / "source" / address.rpartition("/")[2]
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(content)
        repository = address.rpartition("/")[0]
        options = self._options()
        if "--min-shards" in options and self.hurt:
            allowed = (*allowed, 1)
        at = self._kill()
        ran = self._run("add", source, repository, *options, at=at, status=allowed)
        before = self.expected.get(address)
        if ran.struck:
            found = self._get(address)
            assert found in (before, content), f"{address} is neither what it was nor what was put"
            # Repeated, it ends well.
            ran = self._run("add", source, repository, *options, status=allowed)
        if ran.status:
            found = self._get(address)
            assert found in (before, content), f"{address} is neither what it was nor what was put"
            self._remember(address, found)
        else:
            self.expected[address] = content

    def _remember(self, address: str, found: bytes | None) -> None:
        if found is not None:
            self.expected[address] = found

    def _options(self) -> list[str]:
        scheme, least = self.chance.choice(SCHEMES), self.chance.random() < 0.1
        own = ["--erasure", scheme] if self.chance.random() < 0.2 else []
        return [*own, *["--min-shards", "6"] * least]

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
            # The next one to write applies what the killed one had recorded: then it is gone.
            self._run("rm", repository, status=(0, 1))
            assert self._get(held[0]) is None, f"{repository} is still there"
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
        """What is gone comes back, or not; a repair, which may be killed, then makes all well."""
        back = self.chance.random() < 0.7
        for name in sorted(self.away) if back else ():
            self._come_back(name)
        self._run("--json", "verify", "--repair", status=(0, 3), at=self._kill())
        self._mend()
        if not self.away:
            self._give_up_lost()
            self._run("--json", "verify")
            self.hurt.clear()

    def _give_up_lost(self) -> None:
        """Directories that were added, and are gone: a repair makes only the store's own anew."""
        for backend in read_config(str(self.store)).backends:
            if not (self.store / "backends" / backend.name).exists():
                if len(self._backends()) < BACKENDS:
                    self._another()
                    self._mend()
                self._run("backend", "rm", backend.name)

    def _mend(self) -> None:
        """A repair leaves nothing for `verify` to find but in shards that it says it did not read:
        rot that is only there is the next one's."""
        ran = self._run("--json", "verify", "--repair", status=(0, 3))
        if json.loads(ran.out)["unread"]:
            self._run("--json", "verify", "--repair", status=(0, 3))

    def _collect(self) -> None:
        """Refused while so much is gone that nobody knows what is needed."""
        self._run("gc", "--grace", "0", status=(0, 1) if self.away else 0, at=self._kill())

    def _drain(self) -> None:
        """A backend goes for good, and a new one takes its place."""
        if self.hurt:
            return
        name = self._any_backend()
        if len(self._backends()) == BACKENDS:
            self._another()
        self._run("backend", "drain", name, at=self._kill())
        self._run("backend", "drain", name)
        self._run("backend", "rm", name, at=self._kill())
        if self._is_listed(name):
            self._run("backend", "rm", name)
        shutil.rmtree(self.store / "backends" / name)

    def _rebalance(self) -> None:
        """There is a new backend, and it gets its share."""
        if self.hurt or len(self._backends()) == MOST:
            return
        self._another()
        self._run("backend", "rebalance", at=self._kill())
        self._run("backend", "rebalance")

    def _restripe(self) -> None:
        """What is stored goes into packs of another scheme; refused while a backend is down."""
        at, scheme = self._kill(), self.chance.choice(SCHEMES)
        self._run("restripe", "--erasure", scheme, status=(0, 1) if self.hurt else 0, at=at)

    def _forbid(self) -> None:
        """A backend is read-only for a while: no shard there is changed."""
        if self.hurt:
            return
        name = self._any_backend()
        before = self._held_by(name)
        self._decide(name, "read-only")
        self._add()
        self._run("--json", "verify", "--repair", status=(0, 3), at=self._kill())
        self._collect()
        assert self._held_by(name) == before, f"shards on {name} were changed"
        self._decide(name, None)
        self._run("--json", "verify", "--repair", status=(0, 3))

    def _fill(self) -> None:
        """Some backends have room for little more than they hold; an add may fail for that."""
        if self.hurt:
            return
        names = self.chance.sample(sorted(p.name for p in self._backends()), 3)
        for name in names:
            held = sum(path.stat().st_size for path in self._shards(name))
            most = held + self.chance.choice((1, 100_000, 600_000))
            self._run("backend", "set", name, "--capacity", str(most))
        self._add((0, 1))
        self._run("--json", "verify", "--repair", status=(0, 3), at=self._kill())
        for name in names:
            self._run("backend", "set", name, "--capacity", "none")
        self._run("--json", "verify", "--repair", status=(0, 3))

    # Encrypted stores

    def _rekey(self) -> None:
        """A key comes, some copies of the keyring are lost, and all keys but the first go."""
        self._run("key", "add", "--new-passphrase-file", self._other_words(), at=self._kill())
        lost = self.chance.sample(self._keyrings(), 2)
        for copy in lost:
            copy.unlink(missing_ok=True)
        _, *others = json.loads(self._run("--json", "key", "ls").out)
        for key in others:
            self._run("key", "rm", key["key"], at=self._kill())
        if not self.hurt:
            self._run("--json", "verify", "--repair", status=(0, 3), at=self._kill())
            self._run("--json", "verify", "--repair", status=(0, 3))
            self._run("--json", "verify")
            assert all(path.exists() for path in self._keyrings()), "a keyring was not put back"

    def _other_words(self) -> Path:
        words = self.folder / "other-words"
        words.write_text("staple and a tape")
        return words

    def _keyrings(self) -> list[Path]:
        """Where a keyring is, or has been."""
        folders = [self.store / "backends" / n.name for n in self._backends()]
        held = (sorted((folder / "keys").glob("*"))[-1:] for folder in folders)
        return [self.store / "keyring", *(path for paths in held for path in paths)]

    def _rebuild(self) -> None:
        """The index is lost, and made anew."""
        if self.hurt:
            return
        shutil.rmtree(self.store / "index")
        self._run("rebuild-index", at=self._kill())
        self._run("rebuild-index")

    # In the end

    def end(self) -> None:
        """Everything is mended; then nothing is lost, nothing damaged and nothing left over."""
        for name in sorted(self.away):
            self._come_back(name)
        self._mend()
        self._run("--json", "verify")
        for address, content in sorted(self.expected.items()):
            assert self._get(address) == content, f"{address} is not what was put"
        self._run("gc", "--grace", "0")
        self._run("gc", "--grace", "0")
        left = trio.run(self._unreferenced)
        assert not left, f"{len(left)} shards are left over: {sorted(left)[:3]}"
        self._run("--json", "verify")


def soak(folder: Path, seed: int, seconds: float, *, encrypted: bool | None = None) -> int:
    """Let things happen for so long, at least one; how many did. AssertionError if anything is
    not as it must be. Whether the store is `encrypted` the seed says, where nobody does."""
    chosen = seed % 2 == 1 if encrypted is None else encrypted
    print(f"seed {seed}{', encrypted' if chosen else ''}", flush=True)
    with Crasher(folder) as crasher:
        run = Soak(folder, seed, crasher, chosen)
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
    parser.add_argument("--encrypted", action=argparse.BooleanOptionalAction)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelfloat-soak-") as folder:
        done = soak(Path(folder), asked.seed, asked.seconds, encrypted=asked.encrypted)
    print(f"{done} things happened, and nothing was lost", file=sys.stderr)


if __name__ == "__main__":
    main()
