"""What encryption costs: one file added, and read cold through the mount, with it and without.

The same stores of 4+2 on the same tmpfs, in turns. The clock of `add` covers the whole process, and
so the key's derivation from its key file (Argon2id), which costs the same for a file of any size;
that of a read begins at its `open`, when the mount has its key.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import Row, Run, alternate, ratio, warm_memory
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.readahead import limit_requests
from modelfloat.bench.reader import read_cold
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session

TARGET: Final = 0.85
"""At most 15 % of the throughput."""
WARMED: Final = 3
"""Times the source's size that a run of `add` may take of new memory."""
CLEAR: Final = f"{SCHEME}, in the clear"
SEALED: Final = f"{SCHEME}, encrypted"


class SealedStore(Store):
    """A store that is encrypted, and opened with a key file beside it."""

    def __init__(self, path: Path, scheme: str | None = SCHEME) -> None:
        self._key = path.with_name(f"{path.name}.key")
        self._key.write_bytes(bytes(range(32)))
        self._sheet = path.with_name(f"{path.name}.sheet")
        super().__init__(path, scheme)

    def remove(self) -> None:
        """Delete the store, and what opens it."""
        super().remove()
        self._key.unlink()
        self._sheet.unlink()

    def _argv(self, *arguments: str) -> list[str]:
        more = ["--encrypt", f"--recovery-file={self._sheet}"] if arguments[0] == "init" else []
        return [*super()._argv(*arguments, *more), f"--key-file={self._key}"]


KINDS: Final[dict[str, Callable[[Path], Store]]] = {CLEAR: Store, SEALED: SealedStore}


def measure(session: Session) -> Report:
    """Both kinds of store, in turns; what each gives back is compared, off the clock."""
    adds = alternate({name: _add(make, session) for name, make in KINDS.items()}, session.rounds)
    with contextlib.ExitStack() as stack:
        actions = {
            name: _read(stack.enter_context(_filled(make, session)), session)
            for name, make in KINDS.items()
        }
        reads = alternate(actions, session.rounds)
    size = session.source.size
    rows = [Row(f"add, {name}", size, taken) for name, taken in adds.items()]
    rows += [Row(f"read, {name}", size, taken) for name, taken in reads.items()]
    ratios = [
        ratio("add: encrypted / in the clear", adds[SEALED], adds[CLEAR], TARGET),
        ratio("read: encrypted / in the clear", reads[SEALED], reads[CLEAR], TARGET),
    ]
    return compare("encryption", rows, ratios, _notes(size, session.rounds))


def _add(make: Callable[[Path], Store], session: Session) -> Callable[[], Run]:
    def action() -> Run:
        store = make(session.work / "target")
        try:
            warm_memory(WARMED * session.source.size)
            run = store.add(session.source)
            store.check(session.source)
        finally:
            store.remove()
        return run

    return action


def _read(store: Store, session: Session) -> Callable[[], Run]:
    def action() -> Run:
        point = session.work / "mount"
        with store.mounted(point, session.source.path, "--binding=kernel") as path:
            limit_requests(point)
            return read_cold(path, session.source)

    return action


@contextlib.contextmanager
def _filled(make: Callable[[Path], Store], session: Session) -> Iterator[Store]:
    store = make(session.work / f"store{len(list(session.work.iterdir()))}")
    try:
        store.add(session.source)
        yield store
    finally:
        store.remove()


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"one safetensors file of {size / 1e9:.2f} GB of random BF16, {rounds} rounds, alternating",
        "source and stores on tmpfs; `add` is the whole process, with the key's derivation",
    ]
