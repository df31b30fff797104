"""`modelfloat mount`: show the store as files."""

import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from . import background
from .failures import log_times
from .options import command
from .output import say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.store import Store


@command
def mount(
    settings: Settings,
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where, made if it is not there; else $MODELFLOAT_MOUNT, else /models as root and "
            "~/modelfloat otherwise.",
            show_default=False,
        ),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until unmounted; log to the terminal.")
    ] = False,
    allow_other: Annotated[
        bool, typer.Option("--allow-other", help="Let other users read it too.")
    ] = False,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> int | None:
    """Show every repository as files.

    DIR/vendor/name/file is the newest state of its branch main, DIR/vendor/name@REV/file any other.
    """
    path = settings.text("mount", directory)
    if not foreground:
        return _in_background(settings, path, allow_other=allow_other)
    if ready_fd is not None:
        log_times()

    def ready() -> None:
        if ready_fd is not None:
            background.announce(ready_fd)
        elif not settings.quiet:
            sys.stderr.write(f"mounted on {path}; Ctrl-C unmounts\n")

    in_store(settings, lambda store: _serve(store, path, ready, allow_other=allow_other))
    return None


async def _serve(
    store: "Store", path: str, ready: Callable[[], None], *, allow_other: bool
) -> None:
    from ..fuse.mounting import MountOptions, serve

    await serve(store, path, MountOptions(allow_other=allow_other), ready)


def _in_background(settings: Settings, path: str, *, allow_other: bool) -> int:
    from ..config import read_config

    read_config(settings.store)  # a store that is not there should get no log folder
    arguments = ["--store", settings.store, "mount", path, "--foreground"]
    arguments += ["--verbose"] * settings.verbose + ["--allow-other"] * allow_other
    log = log_path(settings.store, path)
    status = background.start(arguments, log)
    if status == 0 and settings.json:
        say_json({"mounted": path, "log": log})
    elif status == 0 and not settings.quiet:
        say(f"mounted on {path}; log: {log}")
    return status


def log_path(store: str, path: str) -> str:
    """The log of the mount on `path`: `STORE/log/mount-srv-models.log`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path)[-100:].strip("-") or "root"
    return os.path.join(store, "log", f"mount-{name}.log")
