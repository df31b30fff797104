"""What a mount says of its reads: the values, and their part of the document on its socket.

As in `mountstate`, keys that are not known are ignored, and keys that are missing have defaults.
"""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..cas.histogram import Histogram
from ..cas.read.counters import ReadCounts
from ..cas.read.figures import BackendReads, ReadFigures


@dataclass(frozen=True, slots=True)
class ReadState:
    """The figures of a mount. `waiting` READs have no answer yet, the first for `longest_ns`."""

    figures: ReadFigures = field(default_factory=ReadFigures)
    waiting: int = 0
    longest_ns: int = 0


def encode_reads(state: ReadState) -> dict[str, Any]:
    """The figures as they stand in the document."""
    figures = state.figures
    return {
        "counts": asdict(figures.counts),
        "latency": _encode_latency(figures.latency),
        "waiting": state.waiting,
        "longest_ns": state.longest_ns,
        "memory": figures.memory,
        "memory_limit": figures.memory_limit,
        "backends": [_encode_backend(each) for each in figures.backends],
    }


def _encode_latency(latency: Histogram) -> dict[str, Any]:
    return {
        "buckets": latency.pairs(),
        "total_ns": latency.total_ns,
        "longest_ns": latency.longest_ns,
    }


def _encode_backend(backend: BackendReads) -> dict[str, Any]:
    return {
        "name": backend.name,
        "state": backend.state,
        "fetched": backend.fetched,
        "given_up": backend.given_up,
        "in_flight": backend.in_flight,
        "rate": backend.rate,
        "latency": _encode_latency(backend.latency),
        "errors": backend.errors,
        "why": backend.why,
        "since": backend.since,
    }


def decode_reads(item: dict[str, Any]) -> ReadState:
    """The figures of a document; what makes no sense is one of the errors of `mountstate`."""
    counts = item.get("counts", {})
    figures = ReadFigures(
        ReadCounts(**{each.name: int(counts.get(each.name, 0)) for each in fields(ReadCounts)}),
        _latency(item.get("latency", {})),
        int(item.get("memory", 0)),
        int(item.get("memory_limit", 0)),
        tuple(_backend(each) for each in item.get("backends", ())),
    )
    return ReadState(figures, int(item.get("waiting", 0)), int(item.get("longest_ns", 0)))


def _latency(item: dict[str, Any]) -> Histogram:
    pairs = [(int(bucket), int(count)) for bucket, count in item.get("buckets", ())]
    return Histogram(pairs, int(item.get("total_ns", 0)), int(item.get("longest_ns", 0)))


def _backend(item: dict[str, Any]) -> BackendReads:
    return BackendReads(
        str(item["name"]),
        str(item.get("state", "")),
        int(item.get("fetched", 0)),
        int(item.get("given_up", 0)),
        int(item.get("in_flight", 0)),
        float(item.get("rate", 0.0)),
        _latency(item.get("latency", {})),
        int(item.get("errors", 0)),
        str(item.get("why", "")),
        float(item.get("since", 0.0)),
    )
