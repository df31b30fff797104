"""`modelfloat umount`: end a mount."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .options import command
from .output import complain, one_line, say, say_json, tell
from .settings import Settings

if TYPE_CHECKING:
    from ..fuse.holders import Holder

SHOWN: Final = 3
"""Files of a process that are named; of more, the number."""


@command
def umount(
    settings: Settings,
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where it is mounted; the folder that `mount` takes when left out.",
            show_default=False,
        ),
    ] = None,
    lazy: Annotated[
        bool,
        typer.Option("--lazy", help="Hide it now; it ends when nobody uses it any more."),
    ] = False,
) -> int:
    """Unmount what `modelfloat mount` mounted.

    While programs use it, it stays, and they are listed.
    """
    from ..errors import BusyError
    from ..fuse.unmounting import unmount, users

    path = settings.text("mount", directory)
    os.chdir("/")  # called from inside the mount, this process would keep it in use
    holders = users(path) if lazy else []
    try:
        unmount(path, lazy=lazy)
    except BusyError as error:
        if settings.json:
            say_json({"unmounted": None, "in_use_by": _documents(users(path))})
        else:
            _list(users(path))
        complain(str(error))
        return error.exit_status
    if settings.json:
        say_json({"unmounted": path} | ({"in_use_by": _documents(holders)} if lazy else {}))
    elif holders and not settings.quiet:
        _list(holders)
        tell(f"{path} is hidden; it ends with its last user")
    elif settings.verbose:
        say(f"{path} is unmounted")
    return 0


def _list(holders: "Sequence[Holder]") -> None:
    for holder in holders:
        files = ", ".join(one_line(file) for file in holder.files[:SHOWN])
        more = f" and {len(holder.files) - SHOWN} more" if len(holder.files) > SHOWN else ""
        tell(f"  pid {holder.pid} ({one_line(holder.name)}): {files}{more}")


def _documents(holders: "Sequence[Holder]") -> list[dict[str, object]]:
    return [{"pid": h.pid, "name": h.name, "files": list(h.files)} for h in holders]
