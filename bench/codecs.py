"""How small and how fast the codecs are on one core, beside zipnn, zstd and blosc2.

Every contestant encodes and decodes the same 64 MiB in memory, in a process of its own on one
core, round by round. Ours does it in chunks of 1 MiB, each by itself, choosing the codec as `add`
does; the peers take the whole buffer at once. Sizes are those of a whole store without parity.

Touching memory for the first time costs about as much as decoding into it. So everybody works in
memory that was touched before; and with the type that has a target again in memory that is new.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from modelfloat.bench import buffers
from modelfloat.bench.buffers import KINDS, Kind
from modelfloat.bench.harness import Ratio, Run, alternate, ratio, warm_memory
from modelfloat.bench.machine import one_core
from modelfloat.bench.peers.compressed import OURS, workers
from modelfloat.bench.peers.worker import Worker
from modelfloat.bench.report import RATIOS, Report
from modelfloat.bench.session import Session
from modelfloat.bench.stored import stored_alone
from modelfloat.bench.tensorfiles import one_tensor

SIZE: Final = 64 << 20
WARMED: Final = 4
ZIPNN: Final = "zipnn"
FILTERS: Final = ("SHUFFLE", "BITSHUFFLE")
LEVELS: Final = ("1", "3")
EFFORTS: Final = ("balanced", "small")
TARGETS: Final = {"BF16": 0.665, "FP32": 0.83, "FP16": 0.85}
RACED: Final = "BF16"
"""The type whose speed has a target."""
FASTER: Final = ((1.0, ""), (1.5, ", stretch"))

HEADER: Final = (
    "| type | what | stored / raw | encode GB/s | lowest–highest | decode GB/s | lowest–highest |\n"
    "|---|---|---|---|---|---|---|"
)
SIZES: Final = "| stored / raw, by add, all but parity | got | target | |\n|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Timed:
    """One round of one contestant: bytes that came out, the processor's seconds in and out."""

    size: int
    encode: float
    decode: float


Contestant = Callable[[], Timed]
Taken = dict[str, list[Timed]]


def measure(session: Session) -> Report:
    """Every kind of buffer, every contestant."""
    size = min(session.size, SIZE)
    ours = () if session.peers_only else (OURS,)
    rows, ratios, sizes = [], list[Ratio](), []
    with (
        one_core(),
        workers(session.work, *ours, ZIPNN, "blosc2", "zstandard", warm=True) as warm,
        workers(session.work, *ours, ZIPNN) as new,
    ):
        versions = [peer.ask(do="version")["version"] for peer in warm.values()]
        for kind in KINDS:
            path = session.work / f"{kind.name}.buffer"
            path.write_bytes(buffers.raw(kind, size))
            taken = _race(kind, _contestants(kind, path, warm), session.rounds)
            if kind.name == RACED:
                again = _race(kind, _contestants(kind, path, new), session.rounds)
                ratios = [*_ratios(taken, ""), *_ratios(again, ", new memory")] if ours else []
                taken |= {f"{name}, new memory": each for name, each in again.items()}
            rows += [_row(kind, name, size, each) for name, each in taken.items()]
            if ours:
                sizes.append(_size_row(kind, path, session.work))
            path.unlink()
    tables = [[HEADER, *rows]]
    if ours:
        tables = [[SIZES, *sizes], [RATIOS, *map(str, ratios)], *tables]
    return Report("codecs", tables, [*_notes(size, session.rounds), ", ".join(versions)])


def _contestants(kind: Kind, path: Path, peers: Mapping[str, Worker]) -> dict[str, Contestant]:
    """Each with its settings, of those that run."""
    settings: dict[str, list[tuple[str, str]]] = {
        OURS: [(f"modelfloat, {effort}", f"{kind.dtype} {effort}") for effort in EFFORTS],
        ZIPNN: [] if kind.zipnn is None else [(f"zipnn, {kind.zipnn}", kind.zipnn)],
        "zstandard": [(f"zstd -{level}", level) for level in LEVELS],
        "blosc2": [
            (f"blosc2 {name.lower()}, zstd", name)
            for name in (FILTERS if kind.width > 1 else FILTERS[1:])
        ],
    }
    return {
        title: _contestant(peers[peer], path, setting, kind.width)
        for peer, named in settings.items()
        if peer in peers
        for title, setting in named
    }


def _contestant(peer: Worker, path: Path, setting: str, width: int) -> Contestant:
    def contestant() -> Timed:
        encoded = peer.ask(do="encode", path=str(path), setting=setting, width=width)
        decoded = peer.ask(do="decode")
        return Timed(encoded["size"], encoded["seconds"], decoded["seconds"])

    return contestant


def _race(kind: Kind, contestants: Mapping[str, Contestant], rounds: int) -> Taken:
    """All contestants on one buffer, alternating."""
    taken: Taken = {name: [] for name in contestants}

    def action(name: str) -> Callable[[], Run]:
        def run() -> Run:
            warm_memory(WARMED * SIZE)
            timed = contestants[name]()
            taken[name].append(timed)
            return Run(timed.encode + timed.decode)

        return run

    alternate({f"{kind.name}: {name}": action(name) for name in contestants}, rounds)
    return taken


def _row(kind: Kind, name: str, size: int, taken: list[Timed]) -> str:
    def rates(seconds: list[float]) -> str:
        found = sorted(size / each / 1e9 for each in seconds)
        return f"{median(found):.2f} | {found[0]:.2f}–{found[-1]:.2f}"

    encode, decoded = rates([t.encode for t in taken]), rates([t.decode for t in taken])
    return f"| {kind.name} | {name} | {taken[0].size / size:.4f} | {encode} | {decoded} |"


def _ratios(taken: Taken, note: str) -> list[Ratio]:
    """Ours to zipnn's speed."""
    ours, theirs = taken["modelfloat, balanced"], taken["zipnn, bfloat16"]
    pairs = {
        "encode": ([Run(t.encode) for t in ours], [Run(t.encode) for t in theirs]),
        "decode": ([Run(t.decode) for t in ours], [Run(t.decode) for t in theirs]),
    }
    return [
        ratio(f"{RACED} {what}: ours / zipnn{note}{stretch}", first, second, target)
        for what, (first, second) in pairs.items()
        for target, stretch in FASTER
    ]


def _size_row(kind: Kind, path: Path, work: Path) -> str:
    """What a file of one such tensor takes in a store, beside the file's own size."""
    file = one_tensor(work / "buffer.safetensors", kind.dtype, path.read_bytes(), kind.width)
    try:
        got = stored_alone(work / "target", file) / file.stat().st_size
    finally:
        file.unlink()
    target = TARGETS.get(kind.name)
    if target is None:
        return f"| {kind.name} | {got:.4f} | – | – |"
    return f"| {kind.name} | {got:.4f} | ≤ {target} | {'met' if got <= target else 'missed'} |"


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"{size >> 20} MiB of N(0, {buffers.SIGMA}) in each type, {rounds} rounds, alternating",
        "one core, the same for everybody, and its seconds, not the clock's; BLAKE3 is not counted",
        "ours: chunks of 1 MiB, each with the choice of its codec",
        "peers: the whole buffer in one call, one thread; blosc2 at its default level, 5",
        "everybody in memory that was touched before; `new memory`: malloc as it comes, for both",
        "zipnn writes into its input: the copy that it gets is made off the clock",
        "the sizes of the first table are of a file of one tensor, by `add` into a store of 1+0",
    ]
