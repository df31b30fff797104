"""`modelfloat rebuild-index`: make the index anew from what lies on the backends."""

from typing import TYPE_CHECKING

from .keysource import secret_of
from .options import command
from .output import complain, human_seconds, one_line, plural, reason, say, say_json
from .progress import progress_of
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.rebuild.report import RebuildReport

SHOWN = 20
"""Lines of a kind, unless --verbose."""


@command
def rebuild_index(settings: Settings) -> int:
    """Make the index anew from what lies on the backends; the old one is kept beside it.

    Exit status: 0 all is well, 3 records, copies or shards are missing, 4 data is lost.
    """
    import trio

    from ..opening import rebuild_store

    settings.refuse_unknown()
    _warn_of_mounts(settings.store)
    secret = secret_of(settings)

    async def session() -> "RebuildReport":
        with progress_of(settings, "rebuild-index") as progress:
            return await rebuild_store(
                settings.store, wait=settings.wait, progress=progress, secret=secret
            )

    report = trio.run(session)
    if settings.json:
        say_json(document(report))
    else:
        say("\n".join(lines(report, everything=settings.verbose)))
    return report.exit_status


def document(report: "RebuildReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    import dataclasses

    return {**dataclasses.asdict(report), "exit_status": report.exit_status}


def _warn_of_mounts(store: str) -> None:
    """Name the mounts that go on with the old index until they are made again."""
    from ..fuse.control import mount_states

    for mount in mount_states(store):
        # One that did not answer did not say where it is.
        which = f"at {mount.mountpoint} (pid {mount.pid})"
        complain(
            f"the mount {which if mount.mountpoint else f'of pid {mount.pid}'} goes on with the "
            "old index, and with what is damaged in it, until it is unmounted and mounted again"
        )


def lines(report: "RebuildReport", *, everything: bool) -> list[str]:
    """The report for people: what the index has now, what is missing, what is to be done."""
    found = [totals(report)]
    found += [f"{name}: down ({reason(name, why)})" for name, why in report.down.items()]
    found += findings(report, everything=everything)
    if report.kept:
        found.append(f"the old index is kept as {report.kept}; remove it when all is well")
    if report.dropped:
        found.append(f"of earlier rebuilds, removed for it: {', '.join(report.dropped)}")
    return [*found, verdict(report)]


def totals(report: "RebuildReport") -> str:
    """What was read, and what the index has now, in a line."""
    return (
        f"{plural(report.records, 'record')} of {plural(report.writers, 'writer')} read in "
        f"{human_seconds(report.seconds)}: {plural(report.packs, 'pack')}, "
        f"{plural(report.chunks, 'chunk')}, {plural(report.refs, 'ref')}"
    )


def findings(report: "RebuildReport", *, everything: bool) -> list[str]:
    """What was not as it should be, in lines."""
    found = []
    kinds = (
        [f"{name}: no sound copy of it is left" for name in report.missing],
        [f"pack {pack}: found again by its shards" for pack in report.found_again],
        [f"{one_line(ref)}: may be older than it was" for ref in report.maybe_older],
        [f"pack {pack}: its objects cannot be read" for pack in report.lost_packs],
    )
    for kind in kinds:
        found += _some(kind, everything)
    if report.missing_objects:
        found.append(f"{plural(report.missing_objects, 'object')} that refs reach cannot be had")
    return found


def _some(found: list[str], everything: bool) -> list[str]:
    if everything or len(found) <= SHOWN:
        return found
    return [*found[:SHOWN], f"… and {len(found) - SHOWN} more; --verbose names them"]


def verdict(report: "RebuildReport") -> str:
    """What all of it means, in a line."""
    if report.exit_status == 4:
        return "DATA IS LOST: bring backends back, or add the files again that cannot be read"
    if report.refs_unsure:
        return (
            "the index is made anew, but branches or tags may be missing: add again what is, then "
            "`modelfloat verify --repair` and `modelfloat gc --accept-losses`"
        )
    if report.exit_status == 3:
        return "the index is made anew; `modelfloat verify --repair` mends what is missing"
    return "the index is made anew"
