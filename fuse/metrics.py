"""What a mount tells of itself as Prometheus reads it (`cas.exposition`)."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Final

from ..cas.exposition import Labels
from ..cas.exposition import family as _family
from ..cas.exposition import head as _head
from ..cas.exposition import sample as _sample
from ..cas.exposition import single as _single
from ..cas.histogram import Histogram
from ..cas.packs.health import State
from ..cas.read.counters import ReadCounts
from ..cas.read.figures import BackendReads
from .mountstate import MountState
from .readstate import ReadState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

COUNTERS: Final = {
    "opened": ("opens", "Files opened."),
    "passed_through": ("opens_passed_through", "Those that the kernel reads by itself."),
    "requests": ("read_requests", "READ requests answered with bytes."),
    "at_once": ("read_requests_at_once", "Those answered from memory by who took them."),
    "failed": ("read_failures", "READ requests that failed."),
    "served": ("read_bytes", "Bytes that READ requests were answered with."),
    "slow": ("slow_reads", "READ requests that took longer than --slow-read."),
    "chunk_hits": ("chunk_hits", "Chunks asked for that were in memory."),
    "chunk_misses": ("chunk_misses", "Chunks asked for that were not in memory."),
    "loads": ("loads", "Loads begun, of one chunk or several."),
    "loads_failed": ("loads_failed", "Loads that failed."),
    "fetches": ("fetches", "Ranges of shards that backends delivered."),
    "fetched": ("fetched_bytes", "Bytes that backends delivered, parity too."),
    "ahead": ("ahead_bytes", "Bytes of chunks loaded ahead of their readers."),
    "ahead_used": ("ahead_used_bytes", "Those that a reader came to."),
    "ahead_wasted": ("ahead_wasted_bytes", "Those that left memory before any reader came."),
    "disk_hits": ("disk_cache_hits", "Chunks taken from the disk cache."),
    "disk_read": ("disk_cache_bytes", "Bytes of chunks taken from the disk cache."),
}
"""For each figure of `ReadCounts` its metric and what that means."""
_BACKENDS: Final = (
    ("backend_up", "gauge", "Whether the backend is up.", lambda b: int(b.state != "down")),
    ("backend_slow", "gauge", "Whether others are asked first.", lambda b: int(b.state == "slow")),
    ("backend_errors_total", "counter", "Calls of it that failed.", lambda b: b.errors),
    (
        "backend_state_start_time_seconds",
        "gauge",
        "When its state became so, Unix time.",
        lambda b: b.since,
    ),
    ("backend_fetched_bytes_total", "counter", "Bytes that came from it.", lambda b: b.fetched),
    ("backend_given_up_total", "counter", "Ranges others were read for.", lambda b: b.given_up),
    ("backend_in_flight", "gauge", "Ranges it is asked for now.", lambda b: b.in_flight),
    ("backend_bytes_per_second", "gauge", "The most of it lately.", lambda b: b.rate),
)


def metrics_text(state: MountState, opened: int) -> bytes:
    """The whole answer for one mount, which has `opened` files open; `state` need not list them."""
    lines = [*_mount(state, opened)]
    if state.reads is not None:
        lines += _reads(state.reads)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _mount(state: MountState, opened: int) -> Iterator[str]:
    what = {"version": state.version, "mountpoint": state.mountpoint, "binding": state.binding}
    yield from _family("mount_info", "gauge", "What is mounted where.", [(what, 1)])
    started = state.started_ns / 1e9
    yield from _single("mount_start_time_seconds", "gauge", "When it was mounted.", started)
    yield from _single("open_files", "gauge", "Files that are open.", opened)


def _reads(reads: ReadState) -> Iterator[str]:
    figures = reads.figures
    for each in fields(ReadCounts):
        name, what = COUNTERS[each.name]
        yield from _single(f"{name}_total", "counter", what, getattr(figures.counts, each.name))
    what = "Time until READ requests were answered."
    yield from _histogram("read_seconds", what, [({}, figures.latency)])
    yield from _single("reads_waiting", "gauge", "READ requests without an answer.", reads.waiting)
    longest, what = reads.longest_ns / 1e9, "For how long the first of them has waited."
    yield from _single("reads_waiting_seconds", "gauge", what, longest)
    yield from _single("memory_bytes", "gauge", "Memory that reading takes.", figures.memory)
    limit = figures.memory_limit
    yield from _single("memory_limit_bytes", "gauge", "Memory that reading may take.", limit)
    yield from _backends(figures.backends)


def _backends(backends: Iterable[BackendReads]) -> Iterator[str]:
    known = list(backends)
    for name, kind, what, value in _BACKENDS:
        yield from _family(name, kind, what, [({"backend": b.name}, value(b)) for b in known])
    what = "1 for the state that the backend is in."
    states = [
        ({"backend": b.name, "state": state}, int(b.state == state))
        for b in known
        for state in (*map(str, State), "slow")
    ]
    yield from _family("backend_state", "gauge", what, states)
    what = "Time until a range of a shard came."
    latencies: list[tuple[Labels, Histogram]] = [({"backend": b.name}, b.latency) for b in known]
    yield from _histogram("backend_fetch_seconds", what, latencies)


def _histogram(name: str, what: str, found: Iterable[tuple[Labels, Histogram]]) -> Iterator[str]:
    """A bucket each power of two of nanoseconds; those below a microsecond are left out."""
    yield from _head(name, "histogram", what)
    for labels, each in found:
        for bound, count in each.octaves():
            if bound >= 1 << 10:
                yield _sample(f"{name}_bucket", {**labels, "le": repr(bound / 1e9)}, count)
        yield _sample(f"{name}_bucket", {**labels, "le": "+Inf"}, each.count)
        yield _sample(f"{name}_sum", labels, each.total_ns / 1e9)
        yield _sample(f"{name}_count", labels, each.count)
