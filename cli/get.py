"""`modelfloat get`: write a repository, a part of one, or all of them into the file system."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .completion import named
from .options import command
from .output import complain, human_size, plural, say, say_json, shown
from .progress import progress_of
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.get.report import GetReport
    from ..cas.refnames import Address
    from ..cas.store import Store


@command
def get(
    settings: Settings,
    address: Annotated[
        str,
        named(
            "VENDOR/NAME[@REV][/PATH]",
            "A repository, or a folder or file in one. Left out with --all.",
        ),
    ],
    dest: Annotated[
        str | None,
        typer.Argument(
            metavar="DEST",
            help="A folder for the contents of a repository or folder; for a file its new name, or "
            "a folder that is there. Needed, but --all takes DEST alone.",
            show_default=False,
        ),
    ] = None,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Write every branch and tag of every repository: DEST/VENDOR/NAME has the default "
            "branch, DEST/VENDOR/NAME@REF any other.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Make every file durable, read it back and compare it with what was added; files "
            "that were there already too.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there and differ.")
    ] = False,
) -> int:
    """Write a repository, a folder or file of one, or with --all everything, to DEST.

    What is there already is not written again, so an interrupted get is simply repeated.
    """
    from ..cas.refnames import parse_address

    what, place = _arguments(address, dest, all_=all_)
    where = None if what is None else parse_address(what)
    done = in_store(
        settings, lambda store: _get(store, settings, where, place, verify=verify, force=force)
    )
    _tell(settings, place, done)
    return done.exit_status


def _arguments(first: str, second: str | None, *, all_: bool) -> tuple[str | None, str]:
    """The address, None for all, and the destination."""
    if all_ and second is not None:
        raise UsageError("--all takes DEST alone: `modelfloat get --all DEST`")
    if not all_ and second is None:
        raise UsageError(f"DEST is missing: where shall {first} go? See modelfloat get --help")
    return (None, first) if second is None else (first, second)


async def _get(
    store: "Store",
    settings: Settings,
    address: "Address | None",
    dest: str,
    *,
    verify: bool,
    force: bool,
) -> "GetReport":
    from ..cas.get.getting import get as get_out

    with progress_of(settings, "get") as progress:
        return await get_out(store, address, dest, verify=verify, force=force, progress=progress)


def _tell(settings: Settings, dest: str, done: "GetReport") -> None:
    for warning in done.warnings:
        complain(warning)
    for refusal in done.refused:
        complain(refusal)
    for failure in done.failures:
        complain(f"{failure.path}: {failure.message}")
    if done.failed:
        files = plural(done.failed, "file")
        complain(f"{files} could not be had; everything else is in {dest}")
    if settings.json:
        say_json(_document(done))
    elif not settings.quiet:
        say(f"{shown(os.fsencode(dest))}: {_summary(done)}")


def _summary(done: "GetReport") -> str:
    links = f" and {plural(done.links, 'link')}" if done.links else ""
    was = "was" if done.unchanged == 1 else "were"
    same = f"; {done.unchanged:,} {was} there already" if done.unchanged else ""
    checked = f"; {done.verified:,} read back and compared" if done.verified else ""
    return f"{plural(done.files, 'file')}{links}, {human_size(done.bytes)}{same}{checked}"


def _document(done: "GetReport") -> dict[str, object]:
    return {
        "files": done.files,
        "links": done.links,
        "bytes": done.bytes,
        "unchanged": done.unchanged,
        "verified": done.verified,
        "failed": done.failed,
        "failures": [{"path": f.path, "message": f.message} for f in done.failures],
        "warnings": done.warnings,
        "refused": done.refused,
    }
