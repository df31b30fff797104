"""`modelfloat site`: the folders on this and other machines that share the store's backends."""

from typing import TYPE_CHECKING, Annotated

import typer

from .options import PlainCommand, PlainGroup, command, global_options
from .output import (
    columns,
    human_seconds,
    human_time,
    iso_time,
    one_line,
    plural,
    say,
    say_json,
    tell,
)
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.sites.forgetting import Forgotten
    from ..cas.sites.listing import SiteList, SiteStatus

app = typer.Typer(
    cls=PlainGroup, callback=global_options, help="The folders that share the store's backends."
)

SHOWN = 8
"""Digits of a site's id that are shown, as in messages."""
DAY = 86_400.0


@command
def site_ls(settings: Settings) -> None:
    """List them: when each was heard of, who is at work there, and what it recorded last."""
    found = in_store(settings, lambda store: store.sites(), ask=False)
    if settings.json:
        say_json({"sites": [document(each) for each in found.sites], "unasked": found.unasked})
        return
    head = ["site", "last heard of", "at work", "last wrote"]
    say(columns([head, *map(row, found.sites)], "<<<<"))
    _warn(found)


@command
def site_forget(
    settings: Settings,
    site: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Its id or the first digits (`site ls`).", show_default=False
        ),
    ],
    force: Annotated[
        bool,
        typer.Option("--force", help="Also one that seems at work, or was within the last day."),
    ] = False,
) -> None:
    """Forget one that is gone for good, so that nobody waits or looks for it.

    What it stored stays. If it comes back after all, it is known again from its next command on.
    """
    done = in_store(settings, lambda store: store.forget_site(site, force=force))
    if settings.json:
        say_json({"site": done.id.hex(), "left": done.left})
    elif not settings.quiet:
        say(f"site {done.id.hex()[:SHOWN]} forgotten; what it stored stays")
    _tell_left(done)


def document(status: "SiteStatus") -> dict[str, object]:
    """One site as `--json` prints it; times in seconds, null where they are not known."""
    last = status.last
    return {
        "site": status.id.hex(),
        "here": status.here,
        "heard": status.heard,
        "writers": status.writers,
        "mounts": status.mounts,
        "open_files": status.open_files,
        "wrote": None if last is None else iso_time(last.time_ns),
        "wrote_ns": None if last is None else last.time_ns,
        "refs": [] if last is None else list(last.refs),
    }


def row(status: "SiteStatus") -> list[str]:
    """One site's line in the table."""
    last = status.last
    refs = "" if last is None else ", ".join(map(one_line, last.refs))
    wrote = "–" if last is None else f"{human_time(last.time_ns)}  {refs}"
    return [status.id.hex()[:SHOWN], _heard(status), _at_work(status), wrote]


def _heard(status: "SiteStatus") -> str:
    if status.here:
        return "this folder"
    if status.heard is None:
        return "never"
    if status.heard < 2 * DAY:
        return f"{human_seconds(round(status.heard))} ago"
    return f"{plural(int(status.heard // DAY), 'day')} ago"


def _at_work(status: "SiteStatus") -> str:
    doing = [plural(status.writers, "writer")] if status.writers else []
    if status.mounts:
        files = f" ({plural(status.open_files, 'open file')})" if status.open_files else ""
        doing.append(f"{plural(status.mounts, 'mount')}{files}")
    return ", ".join(doing) or "–"


def _warn(found: "SiteList") -> None:
    if found.unasked:
        tell(f"{', '.join(found.unasked)} could not be asked, and may know of others")


def _tell_left(done: "Forgotten") -> None:
    if done.left:
        tell(
            f"{', '.join(done.left)} could not be told, and may know it still: run it again when "
            "that is up"
        )


app.command("ls", cls=PlainCommand)(site_ls)
app.command("forget", cls=PlainCommand)(site_forget)
