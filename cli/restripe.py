"""`modelfloat restripe`: what is stored, in packs of another scheme."""

from typing import TYPE_CHECKING, Annotated

import typer

from .completion import named
from .options import command
from .output import human_seconds, human_size, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.gc.restriping import RestripeReport
    from ..cas.store import Store


@command
def restripe(
    settings: Settings,
    erasure: Annotated[str, typer.Option("--erasure", metavar="K+M", help="The scheme to have.")],
    repository: Annotated[
        str | None,
        named("VENDOR/NAME", "Only what this repository's branches and tags need."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be copied, and change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although less would survive.")
    ] = False,
) -> None:
    """Copy what is stored into packs of another scheme, as after places were added.

    `gc` deletes the old packs when the grace period is over. Packs with more parity stay as they
    are. What is added later follows `add --erasure`.
    """
    from ..cas.refnames import parse_repository
    from ..erasure.scheme import Scheme

    wanted = Scheme.parse(erasure)
    repo = None if repository is None else parse_repository(repository, "restripe")

    async def work(store: "Store") -> tuple["RestripeReport", str]:
        with progress_of(settings, "restripe") as progress:
            report = await store.restripe(
                wanted, repo, dry_run=dry_run, force=force, progress=progress
            )
        return report, await store.survives()

    report, survives = in_store(settings, work)
    if settings.json:
        say_json(document(report, survives))
    elif not settings.quiet:
        say("\n".join(lines(report, survives)))


def document(report: "RestripeReport", survives: str) -> dict[str, object]:
    """The report as `--json` prints it."""
    import dataclasses

    return {**dataclasses.asdict(report), "survives": survives}


def lines(report: "RestripeReport", survives: str) -> list[str]:
    """The report for people: what was copied, what stays, what survives now."""
    found = [_copied(report)]
    if report.stronger:
        found.append(f"{plural(report.stronger, 'pack')} with more parity stay as they are")
    if report.skipped:
        found.append(f"{plural(report.skipped, 'pack')} could not be copied; see above")
    return [*found, survives]


def _copied(report: "RestripeReport") -> str:
    if not report.packs:
        return "nothing is to be copied"
    what = f"{plural(report.packs, 'pack')}, {human_size(report.bytes)}"
    if report.dry_run:
        return f"would copy {what}"
    made = f"{plural(report.made, 'new pack')}, {human_size(report.written)} with parity"
    return f"copied {what}, into {made}, in {human_seconds(report.seconds)}"
