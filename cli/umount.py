"""`modelfloat umount`: end a mount."""

from typing import Annotated

import typer

from .options import command
from .output import say, say_json
from .settings import Settings


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
) -> None:
    """Unmount what `modelfloat mount` mounted."""
    from ..fuse.mounting import unmount

    path = settings.text("mount", directory)
    unmount(path)
    if settings.json:
        say_json({"unmounted": path})
    elif settings.verbose:
        say(f"{path} is unmounted")
