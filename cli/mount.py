"""`modelfloat mount`: show the store as files."""

import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from . import background
from .boundedlog import keep_short
from .failures import log_times
from .mountflags import group_id, permission_mask, user_id
from .notify import notify
from .options import command
from .output import say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.store import Store
    from ..fuse.mountoptions import MountOptions


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
        bool | None,
        typer.Option(
            "--allow-other/--no-allow-other",
            help="Let other users read it too; root does so unless told not to.",
            show_default=False,
        ),
    ] = None,
    uid: Annotated[
        str | None, typer.Option(metavar="USER", help="Whose the files are shown to be.")
    ] = None,
    gid: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Which group's they are shown to be.")
    ] = None,
    umask: Annotated[
        str | None, typer.Option(metavar="MASK", help="Permissions held back, octal: 027.")
    ] = None,
    binding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How to speak with the kernel: `kernel` by ourselves, `pyfuse3` through libfuse.",
            show_default=False,
        ),
    ] = None,
    ready_fd: Annotated[int | None, typer.Option("--ready-fd", hidden=True)] = None,
) -> int | None:
    """Show every repository as files.

    DIR/vendor/name/file is the newest state of its branch main, DIR/vendor/name@REV/file any other.
    """
    from ..fuse.mountoptions import MountOptions

    path = settings.text("mount", directory)
    options = MountOptions(
        settings.switch("allow_other", allow_other),
        None if uid is None else user_id(uid),
        None if gid is None else group_id(gid),
        None if umask is None else permission_mask(umask),
    )
    spoken = settings.text("binding", binding)
    if not foreground:
        return _in_background(settings, path, options, spoken)
    if ready_fd is not None:
        log_times()
        keep_short(log_path(settings.store, path))
    in_store(settings, lambda store: _serve(settings, store, path, options, spoken, ready_fd))
    return None


async def _serve(
    settings: Settings,
    store: "Store",
    path: str,
    options: "MountOptions",
    binding: str,
    ready_fd: int | None,
) -> None:
    from ..fuse.mounting import load_binding, serve

    def ready() -> None:
        notify(settings.notify_socket, f"READY=1\nSTATUS=mounted on {path}")
        if ready_fd is not None:
            background.announce(ready_fd)
        elif not settings.quiet:
            sys.stderr.write(f"mounted on {path}; Ctrl-C unmounts\n")

    def stopping() -> None:
        notify(settings.notify_socket, "STOPPING=1")

    spoken = load_binding(binding)
    await serve(store, path, options, ready, stopping=stopping, binding=spoken)


def _in_background(settings: Settings, path: str, options: "MountOptions", binding: str) -> int:
    from ..config import read_config

    read_config(settings.store)  # a store that is not there should get no log folder
    log = log_path(settings.store, path)
    status = background.start(_arguments(settings, path, options, binding), log)
    kept = os.path.exists(log)
    if status == 0 and settings.json:
        say_json({"mounted": path, "log": log if kept else None})
    elif status == 0 and not settings.quiet:
        say(f"mounted on {path}" + (f"; log: {log}" if kept else ""))
    return status


def _arguments(settings: Settings, path: str, options: "MountOptions", binding: str) -> list[str]:
    """The command line of the daemon: what was found out here holds there."""
    wait = "--wait" if settings.wait else "--no-wait"
    arguments = ["--store", settings.store, wait, "mount", "--foreground"]
    arguments += ["--verbose"] * settings.verbose
    arguments.append(f"--binding={binding}")
    arguments.append("--allow-other" if options.allow_other else "--no-allow-other")
    if options.uid is not None:
        arguments.append(f"--uid={options.uid}")
    if options.gid is not None:
        arguments.append(f"--gid={options.gid}")
    if options.umask is not None:
        arguments.append(f"--umask={options.umask:o}")
    return [*arguments, path]


def log_path(store: str, path: str) -> str:
    """The log of the mount on `path`: `STORE/log/mount-srv-models.log`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path)[-100:].strip("-") or "root"
    return os.path.join(store, "log", f"mount-{name}.log")
