"""What `doctor` asks of the machine: kernel, FUSE, libraries, the environment."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Final

from ..errors import FormatError, ModelFloatError, UsageError
from .checks import Finding, examine, ok, problem, warning
from .settings import Settings, foreign_variables
from .settingtable import SETTINGS

GOOD_KERNEL: Final = (4, 20)
"""Since then one FUSE request may carry 1 MiB (`max_pages` in Linux's fs/fuse)."""
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


def examine_machine(settings: Settings) -> list[Finding]:
    """All findings about this machine."""
    from ..fuse.machine import DEVICE, FUSE_CONF

    system = os.uname()
    return [
        *examine("kernel", lambda: kernel(system.sysname, system.release)),
        *examine("fuse device", lambda: device(DEVICE)),
        *examine("fusermount3", lambda: helper(os.geteuid(), shutil.which("fusermount3"))),
        *examine("allow_other", lambda: allow_other(os.geteuid(), FUSE_CONF)),
        *examine("pyfuse3", binding),
        *examine("libisal", erasure_engine),
        *examine("environment", lambda: environment(settings)),
    ]


def kernel(system: str, release: str) -> Iterator[Finding]:
    """Linux, and new enough for large reads."""
    running = f"{system} {release}, Python {sys.version.split()[0]}"
    match = _RELEASE.match(release)
    if system != "Linux":
        yield problem("kernel", running, "ModelFloat is for Linux only")
    elif match is None or (int(match[1]), int(match[2])) < GOOD_KERNEL:
        known = ".".join(map(str, GOOD_KERNEL))
        yield warning(
            "kernel", running, f"upgrade to {known} or newer: a mount reads slowly before"
        )
    else:
        yield ok("kernel", running)


def device(path: str) -> Iterator[Finding]:
    """The FUSE device is there, and this user may open it.

    A machine without one may be meant to mount nothing; one that is locked is a mistake.
    """
    if not os.path.exists(path):
        yield warning(
            "fuse device",
            f"there is no {path}: `mount` cannot work, everything else does",
            "load the kernel module (`modprobe fuse`); a container needs `--device /dev/fuse "
            "--cap-add SYS_ADMIN`",
        )
    elif not os.access(path, os.R_OK | os.W_OK):
        yield problem(
            "fuse device",
            f"{path} may not be opened by you: `mount` cannot work",
            f"`chmod 666 {path}` as root",
        )
    else:
        yield ok("fuse device", f"{path} can be opened")


def helper(user: int, found: str | None) -> Iterator[Finding]:
    """fusermount3, which ordinary users need."""
    if found:
        yield ok("fusermount3", found)
    elif user == 0:
        yield ok("fusermount3", "is not installed; root mounts without it")
    else:
        yield warning(
            "fusermount3",
            "is not installed: `mount` works for root only",
            "install the package fuse3",
        )


def allow_other(user: int, conf: str) -> Iterator[Finding]:
    """Whether an ordinary user may let others read a mount."""
    from ..fuse.machine import others_allowed

    if others_allowed(conf):
        yield ok("allow_other", f"{conf} has user_allow_other")
    elif user == 0:
        yield ok("allow_other", "root may always let others read a mount")
    else:
        yield warning(
            "allow_other",
            f"{conf} has no line user_allow_other: only you can read what you mount",
            f"add that line to {conf} as root, if others should",
        )


def binding() -> Iterator[Finding]:
    """The FUSE binding can be imported."""
    try:
        import pyfuse3
    except ImportError as error:
        yield warning(
            "pyfuse3",
            f"cannot be imported ({error}): mounts are by the binding kernel only",
            "install the package fuse3 and, with pip, pyfuse3",
        )
    else:
        yield ok("pyfuse3", str(getattr(pyfuse3, "__version__", "is there")))


def erasure_engine() -> Iterator[Finding]:
    """Which code computes parity."""
    from ..erasure import isal
    from ..errors import UnsupportedError

    try:
        isal.load()
    except UnsupportedError as error:
        what, _, remedy = str(error).partition("; ")
        yield warning("libisal", f"{what}: parity is computed by NumPy, which is slower", remedy)
    else:
        yield ok("libisal", f"{isal.SONAME} computes parity")


def environment(settings: Settings) -> Iterator[Finding]:
    """Settings that cannot be read, and variables that look like settings and are none."""
    wrong = 0
    for setting in SETTINGS:
        try:
            settings.find(setting.key)
        except (UsageError, FormatError) as error:
            wrong += 1
            yield problem("settings", str(error), "`modelfloat config` shows where each comes from")
    for name in settings.unknown():
        wrong += 1
        yield problem("settings", f"{settings.store}/config.toml sets {name}, which is no setting")
    for name in foreign_variables(settings.environment, _backends(settings.store)):
        wrong += 1
        what = f"${name} is no setting of ours, and no backend's credentials"
        yield warning("settings", what, "correct its name or unset it")
    if not wrong:
        yield ok("settings", "`modelfloat config` shows them")


def _backends(store: str) -> list[str]:
    """The names of a store's backends; none where its configuration cannot be read."""
    from ..config import read_config

    try:
        return [backend.name for backend in read_config(store).backends]
    except (ModelFloatError, OSError):  # another check tells
        return []
