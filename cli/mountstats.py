"""What `stats --mount` shows: the reads of the mounts that live, for people and for programs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .output import (
    columns,
    human_latency,
    human_rate,
    human_size,
    human_time,
    iso_time,
    one_line,
    plural,
    reason,
)

if TYPE_CHECKING:
    from ..cas.histogram import Histogram
    from ..cas.read.counters import ReadCounts
    from ..cas.read.figures import BackendReads
    from ..fuse.mountstate import MountState
    from ..fuse.readstate import ReadState

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def text(state: "MountState") -> str:
    """One mount, for people."""
    if state.problem:
        return one_line(f"pid {state.pid}: {state.problem}")
    how = f", binding {state.binding}" if state.binding else ""
    opened = plural(len(state.open), "open file")
    hidden = ", hidden until its last user leaves" if state.hidden else ""
    head = f"{state.mountpoint}{hidden}: pid {state.pid}{how}, {opened}, since "
    head = one_line(head) + human_time(state.started_ns)
    if state.metrics:
        head += f"\nmetrics at {one_line(state.metrics)}"
    if state.reads is None:
        return f"{head}\nit runs release {one_line(state.version)}, which counts nothing"
    return f"{head}\n{columns(_rows(state.reads), '<<')}\n\n{_backends(state.reads)}"


def _rows(reads: "ReadState") -> list[list[str]]:
    figures = reads.figures
    counts = figures.counts
    rows = [
        ["files", _opened(counts)],
        ["requests", _requests(reads)],
        ["latency", _latency(figures.latency)],
        ["chunks", _chunks(counts.chunk_hits, counts.chunk_misses)],
        ["loads", _loads(counts)],
        ["read ahead", _ahead(counts)],
    ]
    if counts.disk_hits:
        cached = f"{plural(counts.disk_hits, 'chunk')}, {human_size(counts.disk_read)}"
        rows.append(["disk cache", cached])
    memory = f"{human_size(figures.memory)} of {human_size(figures.memory_limit)}"
    return [*rows, ["memory", memory]]


def _opened(counts: "ReadCounts") -> str:
    passed = f", {counts.passed_through:,} read by the kernel itself" * bool(counts.passed_through)
    return f"{counts.opened:,} opened{passed}"


def _requests(reads: "ReadState") -> str:
    counts = reads.figures.counts
    line = (
        f"{counts.requests:,}, {human_size(counts.served)} served, "
        f"{_percent(counts.at_once, counts.requests)} at once, {counts.failed:,} failed, "
        f"{counts.slow:,} slow"
    )
    if not reads.waiting:
        return line
    return (
        f"{line}; {reads.waiting:,} waiting, the first for {human_latency(reads.longest_ns / 1e9)}"
    )


def _latency(latency: "Histogram") -> str:
    if not latency.count:
        return "–"
    parts = [f"{name} {human_latency(latency.quantile(q))}" for name, q in _QUANTILES.items()]
    longest = f"longest {human_latency(latency.longest_ns / 1e9)}"
    return ", ".join([*parts, longest]).replace("p999", "p99.9")


def _chunks(hits: int, misses: int) -> str:
    return f"{hits + misses:,} asked for, {_percent(hits, hits + misses)} in memory"


def _loads(counts: "ReadCounts") -> str:
    ranges = f"{human_size(counts.fetched)} in {plural(counts.fetches, 'range')} from backends"
    return f"{counts.loads:,}, {counts.loads_failed:,} failed; {ranges}"


def _ahead(counts: "ReadCounts") -> str:
    used = f"{_percent(counts.ahead_used, counts.ahead)} used"
    return (
        f"{human_size(counts.ahead)}, {used}, {_percent(counts.ahead_wasted, counts.ahead)} wasted"
    )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def _backends(reads: "ReadState") -> str:
    head = [
        "backend",
        "state",
        "ranges",
        "read",
        "under way",
        "given up",
        "errors",
        "p50",
        "p99",
        "at best",
    ]
    rows = [head, *map(_backend, reads.figures.backends)]
    return "\n".join(
        [columns(rows, "<<>>>>>>>>"), *filter(None, map(_since, reads.figures.backends))]
    )


def _since(backend: "BackendReads") -> str:
    """Why a backend is in its state, and since when; "" where there is nothing to say."""
    if not backend.why:
        return ""
    since = human_time(int(backend.since * 1e9))
    name = one_line(backend.name)
    return f"{name} is {backend.state} since {since}: {reason(name, backend.why)}"


def _backend(backend: "BackendReads") -> list[str]:
    latency = backend.latency
    known = latency.count > 0
    return [
        one_line(backend.name),
        one_line(backend.state),
        f"{latency.count:,}",
        human_size(backend.fetched),
        f"{backend.in_flight:,}",
        f"{backend.given_up:,}",
        f"{backend.errors:,}",
        human_latency(latency.quantile(0.5)) if known else "–",
        human_latency(latency.quantile(0.99)) if known else "–",
        human_rate(backend.rate, 1) if backend.rate else "–",
    ]


def document(state: "MountState") -> dict[str, Any]:
    """One mount as `--json` prints it; times in seconds, sizes in bytes, null what is unknown."""
    known = {
        "mountpoint": state.mountpoint or None,
        "pid": state.pid,
        "release": state.version,
        "binding": state.binding,
        "since": iso_time(state.started_ns) if state.started_ns else None,
        "open_files": None if state.problem else len(state.open),
        "metrics": state.metrics,
        "hidden": state.hidden,
        "problem": state.problem,
    }
    return known if state.reads is None else {**known, **_reads(state.reads)}


def _reads(reads: "ReadState") -> dict[str, Any]:
    figures = reads.figures
    counts, latency = figures.counts, figures.latency
    return {
        "counts": asdict(counts),
        "chunk_hit_rate": _share(counts.chunk_hits, counts.chunk_hits + counts.chunk_misses),
        "ahead_used_rate": _share(counts.ahead_used, counts.ahead),
        "ahead_wasted_rate": _share(counts.ahead_wasted, counts.ahead),
        "latency": _times(latency),
        "waiting": reads.waiting,
        "longest_waiting": reads.longest_ns / 1e9,
        "memory": figures.memory,
        "memory_limit": figures.memory_limit,
        "backends": [_backend_document(each) for each in figures.backends],
    }


def _backend_document(backend: "BackendReads") -> dict[str, Any]:
    return {
        "name": backend.name,
        "state": backend.state,
        "fetches": backend.latency.count,
        "fetched": backend.fetched,
        "given_up": backend.given_up,
        "in_flight": backend.in_flight,
        "rate": backend.rate,
        "errors": backend.errors,
        "why": backend.why,
        "since": iso_time(int(backend.since * 1e9)) if backend.since else None,
        "latency": _times(backend.latency),
    }


def _times(latency: "Histogram") -> dict[str, float | None]:
    return {
        "mean": _share(latency.total_ns, 10**9 * latency.count),
        **{name: latency.quantile(share) for name, share in _QUANTILES.items()},
        "longest": latency.longest_ns / 1e9,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
