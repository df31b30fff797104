"""`modelfloat gc`: delete what nothing needs any more, and tidy small packs."""

from typing import TYPE_CHECKING, Annotated

import typer

from .options import command
from .output import human_seconds, human_size, one_line, plural, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.gc.collected import GcReport
    from ..cas.store import Store

SHOWN = 20
"""Open files that are named, unless --verbose."""


@command
def gc(
    settings: Settings,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be freed, and change nothing.")
    ] = False,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Keep what was removed or stored more recently; 14d by default, 0 keeps nothing.",
            show_default=False,
        ),
    ] = None,
    accept_losses: Annotated[
        bool,
        typer.Option(
            "--accept-losses",
            help="Go on although journal records that are lost, or on backends that are gone, "
            "may have made branches or tags.",
        ),
    ] = False,
) -> None:
    """Delete what no branch or tag needs any more.

    Kept are files that are open on a mount, and what was removed or stored within the grace period.
    """
    from ..fuse.inuse import find_in_use

    seconds = settings.number("grace", grace)

    async def work(store: "Store") -> "GcReport":
        return await store.gc(
            grace=seconds,
            dry_run=dry_run,
            accept_losses=accept_losses,
            find_in_use=lambda: find_in_use(settings.store),
        )

    report = in_store(settings, work)
    if settings.json:
        say_json(document(report))
    else:
        say("\n".join(lines(report, all_files=settings.verbose)))


def document(report: "GcReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    import dataclasses

    return dataclasses.asdict(report)


def lines(report: "GcReport", *, all_files: bool) -> list[str]:
    """The report for people: what was freed and how, what is kept for whom, what is left."""
    found = [_freed(report)]
    if report.refused:
        found.append(f"but it would delete nothing now: {report.refused}")
    shown = report.kept if all_files else report.kept[:SHOWN]
    found += [
        f"kept {human_size(kept.size)} for {kept.who} reading {one_line(kept.name)}"
        for kept in shown
    ]
    if len(report.kept) > len(shown):
        found.append(f"kept {len(report.kept) - len(shown)} more open files; --verbose names them")
    if report.young:
        found.append(f"kept {plural(report.young, 'pack')} younger than the grace period")
    if report.pending:
        found.append(
            f"{plural(report.pending, 'pack')} with shards on backends that are down: a later gc "
            "deletes those"
        )
    if report.skipped:
        found.append(f"{plural(report.skipped, 'pack')} could not be rewritten; see above")
    return [*found, human_seconds(report.seconds)]


def _freed(report: "GcReport") -> str:
    done = []
    if report.deleted:
        done.append(f"{plural(report.deleted, 'pack')} deleted{_of(report.deleted_size)}")
    if report.rewritten:
        done.append(f"{report.rewritten:,} rewritten{_of(report.rewritten_size)}")
    if report.merged:
        into = f" into {report.merged_into:,}" if report.merged_into else ""
        small = plural(report.merged, "small pack")
        done.append(f"{small} merged{into}{_of(report.merged_size)}")
    if report.orphans:
        shards = plural(report.orphans, "orphaned shard")
        done.append(f"{shards} deleted{_of(report.orphans_size)}")
    if report.compacted:
        into = plural(report.segments, "journal segment")
        done.append(f"{report.compacted:,} journal records made into {into}")
    if not done:
        return "nothing to free"
    # Merging alone may take a little more room than it gives.
    size = human_size(max(0, report.freed))
    return f"{'would free' if report.dry_run else 'freed'} {size}: {', '.join(done)}"


def _of(size: int) -> str:
    return f" ({human_size(size)})"
