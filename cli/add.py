"""`modelfloat add`: put files and folders into a repository."""

from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_address
from .options import command
from .output import human_rate, human_seconds, human_size, one_line, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.reports import AddReport
    from ..cas.store import Store

SKIPPED_SHOWN = 10
"""Lines about skipped files, unless --verbose."""


@command
def add(
    settings: Settings,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC",
            help="Files and folders; of a folder the contents are added, as cp would.",
            show_default=False,
            # The shell cannot know which argument will be the last: offer both kinds for each.
            autocompletion=complete_address,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="VENDOR/NAME[@BRANCH][/PATH]",
            help="Where they go.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ],
    message: Annotated[str, typer.Option("-m", "--message", help="What this adds.")] = "",
    tag: Annotated[str | None, typer.Option(help="Also name the commit by this tag.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out what matches; may be given several times."),
    ] = None,
) -> None:
    """Add files and folders to a repository."""
    from ..cas.refnames import parse_address

    address = parse_address(target)

    async def work(store: "Store") -> "AddReport":
        with progress_of(settings, "add") as progress:
            return await store.add(
                sources,
                address,
                message=message,
                tag=tag,
                author=settings.text("author"),
                exclude=exclude or (),
                progress=progress,
            )

    report = in_store(settings, work)
    say_json(document(report)) if settings.json else _print(report, settings)


def document(report: "AddReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    return {
        "repository": str(report.repo),
        "branch": report.branch,
        "commit": report.commit.hex() if report.commit else None,
        "files": report.files,
        "logical": report.logical,
        "new": report.new,
        "deduplicated": report.deduplicated,
        "encoded": report.encoded,
        "stored": report.stored,
        "seconds": report.seconds,
        "skipped": report.skipped,
    }


def _print(report: "AddReport", settings: Settings) -> None:
    shown_skipped = report.skipped if settings.verbose else report.skipped[:SKIPPED_SHOWN]
    if not settings.quiet:
        for line in shown_skipped:
            say(f"skipped {one_line(line)}")
        if len(report.skipped) > len(shown_skipped):
            say(f"skipped {len(report.skipped) - len(shown_skipped)} more; --verbose names them")
    say(summary(report))


def summary(report: "AddReport") -> str:
    """What was added, in two or three lines."""
    name = f"{report.repo}@{report.branch}"
    commit = f"commit {report.commit.hex()[:12]}" if report.commit else "no commit: nothing changed"
    lines = [f"{name}: {plural(report.files, 'file')}, {human_size(report.logical)}, {commit}"]
    if report.new:
        ratio = report.stored / report.logical if report.logical else 0.0
        lines.append(
            f"new {human_size(report.new)}, deduplicated {human_size(report.deduplicated)}, "
            f"stored {human_size(report.stored)} with parity (ratio {ratio:.2f})"
        )
    elif report.logical:
        lines.append(f"nothing new: all {report.logical:,} bytes were already stored")
    lines.append(f"{human_seconds(report.seconds)}, {human_rate(report.logical, report.seconds)}")
    return "\n".join(lines)
