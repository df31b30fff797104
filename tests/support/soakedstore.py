"""The store of a soak test: commands on it, some of which die, and what lies on its backends."""

import random
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from modelfloat.config import read_config, write_config
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Ran
from modelfloat.tests.support.encrypted import WORDS, make_encrypted

BACKENDS: Final = 6
TOLD: Final = 3000
"""Characters that are kept of what the last commands said."""
STEPS: Final = 80
"""A kill strikes at one of so many steps, if the command has that many."""


@dataclass
class SoakedStore:
    """A store of 4+2 over directories of its own, BACKENDS at first.

    Where it is `encrypted`, every command is given what opens it. `expected` is what it must hold,
    by address. `away` are the backends that are gone, by name, `hurt` all that are not known to be
    whole.
    """

    folder: Path
    seed: int
    crasher: Crasher
    encrypted: bool = False
    expected: dict[str, bytes] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    hurt: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._told: deque[object] = deque(maxlen=5)
        self.chance = random.Random(self.seed)
        self.store = self.folder / "store"
        self._spare = BACKENDS
        self._words = self.folder / "words"
        self._words.write_text(WORDS)
        if self.encrypted:
            trio.run(make_encrypted, self.store, "4+2")
        else:
            self._run("init", "--erasure", "4+2")

    # Commands

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
        key = ["--passphrase-file", self._words] * self.encrypted
        ran = self.crasher.run("--store", self.store, "--quiet", *key, *arguments, at=at)
        allowed = (status,) if isinstance(status, int) else status
        self._told.append((arguments, ran.status, ran.err, ran.out[-TOLD:]))
        assert ran.struck or ran.status in allowed, "\n".join(map(str, self._told))
        assert "Traceback" not in ran.err, ran.err
        return ran

    def _any_backend(self) -> str:
        return self.chance.choice(sorted(path.name for path in self._backends()))

    def _another(self) -> None:
        name = f"d{self._spare}"
        self._spare += 1
        self._run("backend", "add", name, self.store / "backends" / name)

    def _decide(self, name: str, state: str | None) -> None:
        config = read_config(str(self.store))
        backends = tuple(replace(b, state=state) if b.name == name else b for b in config.backends)
        write_config(str(self.store), replace(config, backends=backends))

    def _is_listed(self, name: str) -> bool:
        return any(backend.name == name for backend in read_config(str(self.store)).backends)

    def _shards(self, name: str) -> list[Path]:
        return sorted((self.store / "backends" / name).glob("packs/*/*/*"))

    def _held_by(self, name: str) -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in self._shards(name)}

    async def _unreferenced(self) -> set[str]:
        """Shards that lie where the index does not know of them, as backend/pack/shard."""
        async with open_store(str(self.store)) as store:
            known = {
                f"{store.members.name_of(where)}/{pack.id.hex()}/{index}-{pack.k}-{pack.m}"
                for pack in store.index.packs()
                for index, where in enumerate(pack.backends)
            }
        names = [path.name for path in self._backends()]
        found = {f"{n}/{p.parent.name}/{p.name}" for n in names for p in self._shards(n)}
        return found - known
