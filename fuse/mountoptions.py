"""How a mount is made: the options of mount(8), and whose the files are."""

import os
from dataclasses import dataclass
from typing import Final

from .attributes import Look
from .fsname import name_of

SUBTYPE: Final = "modelfloat"
_OPTIONS: Final = frozenset(
    {f"subtype={SUBTYPE}", "ro", "nosuid", "nodev", "noatime", "default_permissions"}
)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """`allow_other` lets other users than the one who mounts read the files.

    `uid` and `gid` are whose files are shown to be, None: those of who mounts; `umask` says which
    permissions are held back, None: the process's own.
    """

    allow_other: bool = False
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None

    def of_mount(self, store: str) -> frozenset[str]:
        """The options as mount(8) has them, for the store in the folder `store`."""
        options = _OPTIONS | {f"fsname={_source(store)}"}
        return options | {"allow_other"} if self.allow_other else options

    def look(self, now_ns: int) -> Look:
        """How things look: what has no time of its own is of `now_ns` (since the epoch)."""
        return Look(
            os.getuid() if self.uid is None else self.uid,
            os.getgid() if self.gid is None else self.gid,
            _umask() if self.umask is None else self.umask,
            now_ns,
        )


def _source(store: str) -> str:
    """The store as what is mounted; libfuse splits options at commas."""
    return name_of(store).replace("\\", "\\\\").replace(",", "\\,")


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
