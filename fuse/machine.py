"""What a machine must have so that a store can be mounted on it."""

import os
import shutil
from typing import Final

from ..errors import UnsupportedError

DEVICE: Final = "/dev/fuse"
FUSE_CONF: Final = "/etc/fuse.conf"
BOXED: Final = ": a container needs --cap-add SYS_ADMIN"
"""What is said besides where root may not mount."""
_SYS_ADMIN: Final = 21
"""CAP_SYS_ADMIN, as of capabilities(7)."""


def check_machine(*, allow_other: bool) -> None:
    """UnsupportedError, with what to install or change, where this machine cannot mount."""
    if not os.path.exists(DEVICE):
        raise UnsupportedError(
            f"there is no {DEVICE}: load the kernel module (`modprobe fuse`); a container needs it "
            "handed in (`--device /dev/fuse --cap-add SYS_ADMIN`)"
        )
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise UnsupportedError(f"{DEVICE} may not be opened by you; `chmod 666 {DEVICE}` as root")
    if os.geteuid() == 0:
        return
    if shutil.which("fusermount3") is None:
        raise UnsupportedError("mounting as an ordinary user needs fusermount3: install `fuse3`")
    if allow_other and not others_allowed(FUSE_CONF):
        raise UnsupportedError(
            f"--allow-other is for root unless {FUSE_CONF} has a line `user_allow_other`; add it, "
            "or leave the option out"
        )


def is_boxed() -> bool:
    """Whether this is root that may not mount, as in a container."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return not int(line.split()[1], 16) >> _SYS_ADMIN & 1
    return False


def others_allowed(conf: str) -> bool:
    """Whether fuse.conf lets ordinary users mount for others."""
    try:
        with open(conf, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False
