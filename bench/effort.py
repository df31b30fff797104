"""How fast and how small weights that can be shrunk go in, by `--effort`: beside restic and Borg.

The file holds BF16 weights of N(0, 0.02). Source, store and repository lie on the same tmpfs; each
round starts with a fresh store or repository, made off the clock. The clock covers the whole
process. Ours writes 4+2, parity included; what it stores is also told without parity, which the
others have none of.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelfloat.bench.add import WARMED, Target
from modelfloat.bench.data import Source
from modelfloat.bench.harness import Row, Run, alternate, ratio, warm_memory
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.peers import borg, restic
from modelfloat.bench.report import RATIOS, ROWS, Report
from modelfloat.bench.session import Session
from modelfloat.bench.stored import folder_bytes, stored_alone

FASTER: Final = 2.5
"""Times restic's speed, at the default effort."""
SMALLER: Final = 0.75
"""Of what restic stores, at the default effort, parity aside."""
EFFORTS: Final = ("balanced", "fast", "small")
RESTIC: Final = "restic backup"
BORG: Final = "borg create"
SIZES: Final = "| what | stored MB | of the file | with parity MB |\n|---|---|---|---|"
SHARES: Final = "| stored | share | target | |\n|---|---|---|---|"


class EffortStore(Store):
    """A store of 4+2 whose adds make one effort."""

    def __init__(self, path: Path, effort: str) -> None:
        super().__init__(path)
        self._effort = effort

    def add(self, source: Source, effort: str | None = None) -> Run:
        """`modelfloat add` with this effort, or another."""
        return super().add(source, effort or self._effort)


def measure(session: Session) -> Report:
    """All contestants, alternating; what each stored is read back and compared each round."""
    source, totals = session.weights, dict[str, int]()
    makers: dict[str, Callable[[Path], Target]] = {
        RESTIC: restic.Repository,
        BORG: borg.Repository,
    }
    if not session.peers_only:
        makers = {**{_name(effort): _maker(effort) for effort in EFFORTS}, **makers}
    actions = {name: _action(name, make, session, totals) for name, make in makers.items()}
    runs = alternate(actions, session.rounds)
    data = dict(totals)
    if not session.peers_only:
        target = session.work / "target"
        data |= {_name(e): stored_alone(target, source.path, effort=e) for e in EFFORTS}
    tables = [[ROWS, *(str(Row(name, source.size, taken)) for name, taken in runs.items())]]
    tables.append([SIZES, *(_size_row(name, data[name], totals[name], source) for name in runs)])
    if not session.peers_only:
        ours = _name(EFFORTS[0])
        speed = ratio("speed, ours balanced / restic", runs[ours], runs[RESTIC], FASTER)
        tables += [[RATIOS, str(speed)], [SHARES, _share_row(data[ours] / data[RESTIC])]]
    return Report("effort", tables, _notes(source.size, session.rounds))


def _name(effort: str) -> str:
    return f"modelfloat add --effort {effort}, {SCHEME}"


def _maker(effort: str) -> Callable[[Path], Target]:
    return lambda path: EffortStore(path, effort)


def _action(
    name: str, make: Callable[[Path], Target], session: Session, totals: dict[str, int]
) -> Callable[[], Run]:
    def action() -> Run:
        source = session.weights
        target = make(session.work / "target")
        try:
            warm_memory(WARMED * source.size)
            run = target.add(source)
            target.check(source)
            kept = "backends" if isinstance(target, Store) else "repository"
            totals[name] = folder_bytes(target.path / kept)
        finally:
            target.remove()
        return run

    return action


def _size_row(name: str, data: int, total: int, source: Source) -> str:
    return f"| {name} | {data / 1e6:,.1f} | {data / source.size:.4f} | {total / 1e6:,.1f} |"


def _share_row(share: float) -> str:
    verdict = "met" if share <= SMALLER else "missed"
    return f"| ours balanced, parity aside, of restic's | {share:.3f} | ≤ {SMALLER} | {verdict} |"


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"one safetensors file of {size / 1e9:.2f} GB of BF16 N(0, 0.02), {rounds} rounds",
        "alternating; source, store and repository on tmpfs; fsync on; whole-process wall time",
        "every round in a fresh store; what was stored is read back and compared, off the clock",
        f"stored without parity: a store of 1+0 with the same effort; {SCHEME} is what was timed",
        f"{restic.version()}, {borg.version()} (no encryption, lz4)",
    ]
