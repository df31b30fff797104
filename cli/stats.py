"""`modelfloat stats`: where the bytes are, what that costs and what it survives."""

from typing import TYPE_CHECKING

from .failures import leave_out_backends
from .options import command
from .output import columns, human_size, plural, reason, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cas.reports import BackendStatus, StoreStats


@command
def stats(settings: Settings) -> None:
    """Show where the bytes are and what may be lost."""
    leave_out_backends()
    report = in_store(settings, lambda store: store.stats())
    if settings.json:
        say_json(document(report))
    else:
        say(text(report))


def text(report: "StoreStats") -> str:
    """The report for people: sizes, backends, what may be lost."""
    return "\n\n".join([_sizes(report), backend_table(report.backends), _verdict(report)])


def document(report: "StoreStats") -> dict[str, object]:
    """The report as `--json` prints it."""
    import dataclasses

    free = free_space(report.backends)
    return {**dataclasses.asdict(report), "free": free, "net_ratio": report.net_ratio}


def _sizes(report: "StoreStats") -> str:
    counted = f"{plural(report.repositories, 'repository')}, {plural(report.files, 'file')}"
    packed = f"{plural(report.packs, 'pack')}, {plural(report.chunks, 'chunk')}"
    free = free_space(report.backends)
    rows = [
        ["logical", human_size(report.logical), counted],
        ["unique", human_size(report.unique), "after deduplication"],
        ["encoded", human_size(report.encoded), packed],
        [
            "with parity",
            human_size(report.stored),
            f"on the backends, new packs as {report.scheme}",
        ],
        ["free", "unknown" if free is None else human_size(free), "each device counted once"],
        ["net ratio", f"{report.net_ratio:.2f}", "stored bytes for each logical byte, with parity"],
    ]
    return columns(rows, "<><")


def _verdict(report: "StoreStats") -> str:
    degraded = report.degraded_packs
    if not degraded:
        return report.survives
    return (
        f"{report.survives}\n{plural(degraded, 'pack')} of {report.packs:,} lacking shards; "
        "`modelfloat verify --repair` writes them anew"
    )


def free_space(backends: "Iterable[BackendStatus]") -> int | None:
    """Free bytes on all backends; those of one domain and size are taken for one device."""
    devices: dict[tuple[str, int | None], int] = {}
    for backend in backends:
        if backend.up and backend.free is not None:
            key = (backend.domain, backend.total)
            devices[key] = max(devices.get(key, 0), backend.free)
    return sum(devices.values()) if devices else None


def backend_table(backends: "Iterable[BackendStatus]") -> str:
    """One line for each backend, then the reasons of those that are down."""
    known = list(backends)
    rows = [["backend", "state", "domain", "shards", "used", "free", "url"]]
    for b in known:
        free = "–" if b.free is None else human_size(b.free)
        state = "up" if b.up else "down"
        rows.append([b.name, state, b.domain, f"{b.shards:,}", human_size(b.used), free, b.url])
    reasons = [f"{b.name} is down: {reason(b.name, b.reason)}" for b in known if not b.up]
    return "\n".join([columns(rows, "<<<>>><"), *reasons])
