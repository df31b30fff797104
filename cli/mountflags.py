"""The options of `modelfloat mount`, and users, groups and permission masks as one types them."""

import grp
import pwd
import re
from typing import Annotated, Final

import typer

from ..errors import UsageError

Directory = Annotated[
    str | None,
    typer.Argument(
        metavar="[DIR]",
        help="Where, made if it is not there; else $MODELFLOAT_MOUNT, else /models as root and "
        "~/modelfloat otherwise.",
        show_default=False,
    ),
]
Foreground = Annotated[
    bool, typer.Option("--foreground", help="Stay until unmounted; log to the terminal.")
]
AllowOther = Annotated[
    bool | None,
    typer.Option(
        "--allow-other/--no-allow-other",
        help="Let other users read it too; root does so unless told not to.",
        show_default=False,
    ),
]
Uid = Annotated[str | None, typer.Option(metavar="USER", help="Whose the files are shown to be.")]
Gid = Annotated[
    str | None, typer.Option(metavar="GROUP", help="Which group's they are shown to be.")
]
Umask = Annotated[
    str | None, typer.Option(metavar="MASK", help="Permissions held back, octal: 027.")
]
BindingName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="How to speak with the kernel: `kernel` by ourselves, `pyfuse3` through libfuse; "
        "`auto`, the default, is the first that works.",
        show_default=False,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What reading may keep in memory, at most; by default a quarter of what is free, "
        "up to 1 GiB.",
        show_default=False,
    ),
]
WarmSets = Annotated[
    bool | None,
    typer.Option(
        "--warm-sets/--no-warm-sets",
        help="Load the next file of a model in several files ahead of who opens it.",
        show_default=False,
    ),
]
ReadRepair = Annotated[
    bool | None,
    typer.Option(
        "--read-repair/--no-read-repair",
        help="Mend shards that reads find missing or damaged, where this user may write.",
        show_default=False,
    ),
]
SlowRead = Annotated[
    str | None,
    typer.Option(
        "--slow-read",
        metavar="TIME",
        help="Tell in the log of reads that take so long, `500ms` say; 0: of none.",
        show_default=False,
    ),
]
Refresh = Annotated[
    str | None,
    typer.Option(
        "--refresh",
        metavar="TIME",
        help="Show what other machines commit after so long at most; 0: do not look.",
        show_default=False,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS:]PORT",
        help="Tell Prometheus what is read, on this port of the loopback (127.0.0.1 unless "
        "ADDRESS is another of it); `off`: nothing.",
        show_default=False,
    ),
]

_LARGEST: Final = (1 << 32) - 2
"""The largest number of a user or group; the next one means "none"."""


def user_id(text: str) -> int:
    """A user's number, from itself or from a name; UsageError if there is none."""
    if text.isdecimal():
        return _number(text, "--uid")
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"--uid {text}: there is no such user; give a number") from None


def group_id(text: str) -> int:
    """A group's number, from itself or from a name; UsageError if there is none."""
    if text.isdecimal():
        return _number(text, "--gid")
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"--gid {text}: there is no such group; give a number") from None


def permission_mask(text: str) -> int:
    """Permissions that are held back, from octal digits as umask(1) takes them."""
    if not re.fullmatch("0*[0-7]{1,3}", text):
        raise UsageError(f"--umask {text}: write up to three octal digits, as in 022")
    return int(text, 8)


def _number(text: str, option: str) -> int:
    if len(text) > 10 or int(text) > _LARGEST:
        raise UsageError(f"{option} {text}: numbers end at {_LARGEST}")
    return int(text)
