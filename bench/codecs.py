"""How small and how fast the codecs are on one core, beside zipnn, zstd and blosc2.

Every contestant encodes and decodes the same 64 MiB in memory, on one core, round by round. Ours
does it in chunks of 1 MiB, each by itself, choosing the codec as `add` does; the peers take the
whole buffer at once, which suits them best. Sizes are those of a whole store without parity.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from modelfloat.bench import buffers
from modelfloat.bench.buffers import KINDS, Kind
from modelfloat.bench.harness import BenchError, Ratio, Run, alternate, ratio, warm_memory
from modelfloat.bench.peers.compressed import workers
from modelfloat.bench.peers.worker import Worker
from modelfloat.bench.report import RATIOS, Report
from modelfloat.bench.session import Session
from modelfloat.bench.stored import stored_alone
from modelfloat.bench.tensorfiles import one_tensor
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType
from modelfloat.cas.codecs.codec import Buffer
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.codecs.registry import choose, decode

SIZE: Final = 64 << 20
WARMED: Final = 4
OURS: Final = "modelfloat"
ZIPNN: Final = "zipnn"
FILTERS: Final = ("SHUFFLE", "BITSHUFFLE")
LEVELS: Final = ("1", "3")
TARGETS: Final = {"BF16": 0.665, "FP32": 0.83, "FP16": 0.85}
STRETCH: Final = 1.5

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


def measure(session: Session) -> Report:
    """Every kind of buffer, every contestant."""
    size = min(session.size, SIZE)
    rows, ratios, sizes = [], [], []
    with _one_core(), workers(session.work, ZIPNN, "blosc2", "zstd") as peers:
        versions = [peer.ask(do="version")["version"] for peer in peers.values()]
        for kind in KINDS:
            path = session.work / "buffer"
            raw = buffers.raw(kind, size)
            path.write_bytes(raw)
            ours = None if session.peers_only else raw
            taken = _race(kind, path, ours, peers, session.rounds)
            rows += [_row(kind, name, size, each) for name, each in taken.items()]
            if ours is not None:
                ratios += _ratios(kind, taken)
                sizes.append(_size_row(kind, raw, session.work))
            path.unlink()
    tables = [[HEADER, *rows]]
    if not session.peers_only:
        tables = [[SIZES, *sizes], [RATIOS, *map(str, ratios)], *tables]
    return Report("codecs", tables, [*_notes(size, session.rounds), ", ".join(versions)])


def _race(
    kind: Kind, path: Path, raw: bytes | None, peers: Mapping[str, Worker], rounds: int
) -> dict[str, list[Timed]]:
    """All contestants on one buffer, alternating."""
    makers: dict[str, Contestant] = {}
    if raw is not None:
        makers[OURS] = lambda: _ours(raw, kind, Effort.BALANCED)
        makers[f"{OURS}, small"] = lambda: _ours(raw, kind, Effort.SMALL)
    if kind.zipnn is not None:
        makers[f"zipnn, {kind.zipnn}"] = _peer(peers[ZIPNN], path, kind.zipnn, kind.width)
    for level in LEVELS:
        makers[f"zstd -{level}"] = _peer(peers["zstd"], path, level, kind.width)
    for name in FILTERS if kind.width > 1 else FILTERS[1:]:
        makers[f"blosc2 {name.lower()}, zstd"] = _peer(peers["blosc2"], path, name, kind.width)
    taken: dict[str, list[Timed]] = {name: [] for name in makers}

    def action(name: str) -> Callable[[], Run]:
        def run() -> Run:
            warm_memory(WARMED * SIZE)
            timed = makers[name]()
            taken[name].append(timed)
            return Run(timed.encode + timed.decode)

        return run

    alternate({f"{kind.name}: {name}": action(name) for name in makers}, rounds)
    return taken


def _ours(raw: bytes, kind: Kind, effort: Effort) -> Timed:
    """Each chunk by itself, with the choice that `add` makes; decoded into warm memory."""
    whole, element = memoryview(raw), ElementType[kind.dtype]
    chunks = [whole[at : at + MAX_CHUNK] for at in range(0, len(raw), MAX_CHUNK)]
    out = memoryview(bytearray(b"\1" * len(raw)))
    start = time.process_time()
    encoded = [choose(chunk, element, effort) for chunk in chunks]
    middle = time.process_time()
    _decode(encoded, out)
    end = time.process_time()
    if out != whole:
        raise BenchError(f"a codec returned other bytes of {kind.name} than it was given")
    size = sum(len(data) for _, data in encoded)
    return Timed(size, middle - start, end - middle)


def _decode(encoded: list[tuple[int, Buffer]], out: memoryview) -> None:
    for number, (codec, data) in enumerate(encoded):
        decode(codec, data, out[number * MAX_CHUNK : (number + 1) * MAX_CHUNK])


def _peer(peer: Worker, path: Path, setting: str, width: int) -> Contestant:
    def contestant() -> Timed:
        encoded = peer.ask(do="encode", path=str(path), setting=setting, width=width)
        decoded = peer.ask(do="decode")
        return Timed(encoded["size"], encoded["seconds"], decoded["seconds"])

    return contestant


def _row(kind: Kind, name: str, size: int, taken: list[Timed]) -> str:
    def rates(seconds: list[float]) -> str:
        found = sorted(size / each / 1e9 for each in seconds)
        return f"{median(found):.2f} | {found[0]:.2f}–{found[-1]:.2f}"

    encode, decoded = rates([t.encode for t in taken]), rates([t.decode for t in taken])
    return f"| {kind.name} | {name} | {taken[0].size / size:.4f} | {encode} | {decoded} |"


def _ratios(kind: Kind, taken: Mapping[str, list[Timed]]) -> list[Ratio]:
    """Ours to zipnn's speed, for the type that has a target."""
    if kind.name != "BF16":
        return []
    ours, theirs = taken[OURS], taken[f"zipnn, {kind.zipnn}"]
    pairs = {
        "encode": ([Run(t.encode) for t in ours], [Run(t.encode) for t in theirs]),
        "decode": ([Run(t.decode) for t in ours], [Run(t.decode) for t in theirs]),
    }
    return [
        ratio(f"{kind.name} {what}: ours / zipnn{note}", first, second, target)
        for what, (first, second) in pairs.items()
        for target, note in ((1.0, ""), (STRETCH, ", stretch"))
    ]


def _size_row(kind: Kind, raw: bytes, work: Path) -> str:
    """What a file of one such tensor takes in a store, beside the file's own size."""
    file = one_tensor(work / "buffer.safetensors", kind.dtype, raw, kind.width)
    try:
        got = stored_alone(work / "target", file) / file.stat().st_size
    finally:
        file.unlink()
    target = TARGETS.get(kind.name)
    if target is None:
        return f"| {kind.name} | {got:.4f} | – | – |"
    return f"| {kind.name} | {got:.4f} | ≤ {target} | {'met' if got <= target else 'missed'} |"


@contextmanager
def _one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"{size >> 20} MiB of N(0, {buffers.SIGMA}) in each type, {rounds} rounds, alternating",
        "one core, the same for everybody, and its seconds, not the clock's; BLAKE3 is not counted",
        "ours: chunks of 1 MiB, each with the choice of its codec; decoded into a warm buffer",
        "peers: the whole buffer in one call, one thread; blosc2 at its default level, 5",
        "zipnn writes into its input: the copy that it gets is made off the clock",
        "the sizes of the first table are of a file of one tensor, by `add` into a store of 1+0",
    ]
