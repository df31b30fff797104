"""`modelfloat rm`: remove a repository, or one branch or tag of it."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import complete_address
from .options import command
from .output import human_size, iso_time, one_line, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.gc.collected import RemoveReport
    from ..cas.refnames import RefHead


@command
def rm(
    settings: Settings,
    target: Annotated[
        str,
        typer.Argument(
            metavar="VENDOR/NAME[@BRANCH|@TAG]",
            help="What to remove: a repository with all its branches and tags, or one of them.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ],
) -> None:
    """Remove a repository, a branch or a tag.

    Nothing is deleted yet: gc does that, once what was removed is older than its grace period.
    """
    from ..cas.refnames import parse_address

    address = parse_address(target)
    grace = settings.number("grace")
    report = in_store(settings, lambda store: store.remove(address, grace=grace))
    say_json(document(report)) if settings.json else say(text(report))


def document(report: "RemoveReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    return {
        "repository": str(report.repo),
        "removed": [
            {"kind": head.kind.name.lower(), "name": head.ref, "commit": head.commit.hex()}
            for head in report.refs
        ],
        "frees": report.frees,
        "frees_after": iso_time(_due(report)),
    }


def text(report: "RemoveReport") -> str:
    """What was removed, name by name, and what that frees when."""
    lines = [f"removed {_named(report, head)}" for head in report.refs]
    if not report.frees:
        return "\n".join([*lines, "frees nothing: all of it is still needed elsewhere"])
    size = human_size(report.frees)
    if not report.grace:
        return "\n".join([*lines, f"frees {size}; `modelfloat gc` frees it now"])
    date = time.strftime("%Y-%m-%d", time.localtime(_due(report) // 1_000_000_000))
    lines.append(f"frees {size} at gc after {date}; `modelfloat gc --grace 0` frees it now")
    return "\n".join(lines)


def _named(report: "RemoveReport", head: "RefHead") -> str:
    name = one_line(f"{report.repo}@{head.ref}")
    return f"{name} ({head.kind.name.lower()}, commit {head.commit.hex()[:12]})"


def _due(report: "RemoveReport") -> int:
    return report.removed_ns + int(report.grace * 1_000_000_000)
