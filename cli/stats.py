"""`modelfloat stats`: where the bytes are, what that costs and what it survives."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..errors import NotFoundError, UsageError
from .failures import leave_out_backends
from .options import command
from .output import columns, human_latency, human_size, plural, reason, say, say_json, shown
from .scrub import lines as scrubbed
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..cas.storestats import BackendStatus, StoreStats

FORBIDDEN: Final = frozenset({"draining", "read-only"})
"""States in which a backend gets nothing, however much is free there."""


@command
def stats(
    settings: Settings,
    long: Annotated[
        bool,
        typer.Option(
            "-l",
            help="Count what each repository takes also where there are so many chunks that it "
            "takes long.",
        ),
    ] = False,
    mount: Annotated[
        bool,
        typer.Option("--mount", help="Show what the store's mounts read, and how fast, instead."),
    ] = False,
    cache: Annotated[
        bool, typer.Option("--cache", help="Show what is in the disk cache instead.")
    ] = False,
) -> None:
    """Show where the bytes are and what may be lost."""
    if cache and mount:
        raise UsageError("--mount and --cache show two things: give one of them")
    if cache:
        _show_cache(settings)
        return
    if mount:
        _show_mounts(settings)
        return
    leave_out_backends()
    report = in_store(
        settings, lambda store: store.stats(by_repository=True if long else None), ask=False
    )
    if settings.json:
        say_json(document(report))
    else:
        say(text(report))


def _show_cache(settings: Settings) -> None:
    from . import cachestats

    if settings.json:
        say_json(cachestats.document(settings))
    else:
        say(cachestats.text(settings))


def _show_mounts(settings: Settings) -> None:
    from ..fuse.control import mount_states
    from . import mountstats

    states = mount_states(settings.store)
    if not states:
        raise NotFoundError(
            f"no mount of {settings.store} is running; `modelfloat mount` makes one"
        )
    if settings.json:
        say_json([mountstats.document(state) for state in states])
    else:
        say("\n\n".join(map(mountstats.text, states)))


def text(report: "StoreStats") -> str:
    """The report for people: sizes, backends, what may be lost."""
    parts = [_sizes(report), _repositories(report), _kinds(report)]
    parts += [backend_table(report.backends), _verdict(report)]
    if report.scrub is not None:
        parts.append("\n".join(scrubbed(report.scrub)))
    return "\n\n".join(part for part in parts if part)


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
        ["objects", human_size(report.objects), "commits, trees, manifests: in no table below"],
        [
            "with parity",
            human_size(report.stored),
            f"on the backends, new packs as {report.scheme}",
        ],
        ["free", "unknown" if free is None else human_size(free), "each device counted once"],
        ["net ratio", f"{report.net_ratio:.2f}", "stored bytes for each logical byte, with parity"],
    ]
    return columns(rows, "<><")


def _repositories(report: "StoreStats") -> str:
    if report.by_repository is None:
        return "what each repository takes is counted by `modelfloat stats -l`"
    if not report.by_repository:
        return ""
    rows = [["repository", "files", "logical", "unique", "encoded", "with parity"]]
    for each in report.by_repository:
        sizes = map(human_size, (each.logical, each.unique, each.encoded, each.stored))
        rows.append([shown(each.name.encode()), f"{each.files:,}", *sizes])
    return columns(rows, "<>>>>>")


def _kinds(report: "StoreStats") -> str:
    rows = [["elements", "codec", "chunks", "unique", "encoded", "ratio"]]
    for each in report.kinds:
        ratio = f"{each.encoded / each.raw:.3f}"
        sizes = [human_size(each.raw), human_size(each.encoded)]
        rows.append([each.element, each.codec, f"{each.chunks:,}", *sizes, ratio])
    lines = [columns(rows, "<<>>>>")] if report.kinds else []
    if report.uncounted:
        packs = plural(report.uncounted, "pack")
        lines.append(f"{packs} of an earlier release not among these: no footer can be had now")
    return "\n".join(lines)


def _verdict(report: "StoreStats") -> str:
    degraded = report.degraded_packs
    schemes = [
        f"{each.scheme} ({plural(each.packs, 'pack')}): {each.survives}" for each in report.schemes
    ]
    survives = "\n".join(schemes) or report.survives
    if not degraded:
        return survives
    lacking = f"{survives}\n{plural(degraded, 'pack')} of {report.packs:,} lacking shards"
    if report.unreadable_packs:
        return (
            f"{lacking}, {report.unreadable_packs:,} of them more than parity replaces; "
            "bring back what is down, then `modelfloat verify --repair`"
        )
    return f"{lacking}; `modelfloat verify --repair` writes them anew"


def free_space(backends: "Iterable[BackendStatus]") -> int | None:
    """Free bytes on all backends that may get something; those of one domain and size are taken
    for one device."""
    devices: dict[tuple[str, int | None], int] = {}
    for backend in backends:
        if backend.up and backend.free is not None and backend.state not in FORBIDDEN:
            key = (backend.domain, backend.total)
            devices[key] = max(devices.get(key, 0), backend.free)
    return sum(devices.values()) if devices else None


def backend_table(backends: "Iterable[BackendStatus]") -> str:
    """One line for each backend, then the reasons of those that are not up."""
    known = list(backends)
    head = ["backend", "state", "domain", "shards", "used", "free", "of", "answers", "errors"]
    rows = [[*head, "url"], *map(_backend, known)]
    if any(backend.rate for backend in known):
        rates = ["rate", *(backend.rate or "–" for backend in known)]
        rows = [[*row[:-1], rate, row[-1]] for row, rate in zip(rows, rates, strict=True)]
    reasons = [f"{b.name} is {b.state}: {reason(b.name, b.reason)}" for b in known if b.reason]
    return "\n".join([columns(rows, "<<<>>>>>>" + "<" * (len(rows[0]) - 9)), *reasons])


def _backend(backend: "BackendStatus") -> list[str]:
    free, of = ("–" if n is None else human_size(n) for n in (backend.free, backend.total))
    return [
        backend.name,
        backend.state,
        backend.domain,
        f"{backend.shards:,}",
        human_size(backend.used),
        free,
        of,
        "–" if backend.answered is None else human_latency(backend.answered),
        f"{backend.errors:,}",
        backend.url,
    ]
