"""Files that the kernel reads by itself: those that lie whole and verified in one local file.

The rules are the kernel's (`fs/fuse/iomode.c`, `passthrough.c`; Linux 6.9): what is open of an
inode at one time is all cached or all passed through, to one backing file; anything else is EIO. So
how an inode is opened is decided when nothing of it is open, and holds until nothing is again. The
kernel lets go of a file before it sends RELEASE: what is counted here is never less than there.

Concurrency: used in the event loop only, and nothing here awaits.
"""

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..ids import Inode
from . import devfuse
from .handles import Handle
from .protocol import Feature

_NEVER: Final = frozenset({errno.EPERM, errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP})
"""What the kernel says where no other file would fare better."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """How an inode is open: by so many handles, `backing` being None where it is cached."""

    backing: int | None
    handles: int = 0


class Passthrough:
    """What is passed through on one mount. `device` is a descriptor of its /dev/fuse."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._inodes: dict[Inode, _Open] = {}
        self._of_handle: dict[Handle, Inode] = {}
        self._able = False
        self.note = ""

    def wanted(self, offered: int) -> int:
        """What of the features that the kernel offers in INIT is asked for."""
        self._able = os.geteuid() == 0 and bool(offered & Feature.PASSTHROUGH)
        if self._able:
            self.note = "the kernel reads by itself what lies whole in the disk cache"
            return Feature.PASSTHROUGH | Feature.INIT_EXT
        lacks = "Linux 6.9" if os.geteuid() == 0 else "root"
        self.note = f"reads are not passed through to the disk cache, for which it needs {lacks}"
        return 0

    def opened(
        self, inode: Inode, handle: Handle, flags: int, descriptor: Callable[[Handle], int | None]
    ) -> int | None:
        """Count an open file; the backing id that it is to be read by, None where by us.

        `flags` are open(2)'s; `descriptor` gives what is to be read, if there is such a file.
        """
        found = self._inodes.get(inode)
        if found is None:
            # Not every filesystem takes O_DIRECT, and through it an open would fail.
            usable = self._able and not flags & os.O_DIRECT
            found = _Open(self._register(descriptor(handle)) if usable else None)
            self._inodes[inode] = found
        found.handles += 1
        self._of_handle[handle] = inode
        return found.backing

    def released(self, handle: Handle) -> None:
        """A file was closed; with the last one of its inode the kernel forgets what backed it."""
        inode = self._of_handle.pop(handle, None)
        if inode is None:
            return
        found = self._inodes[inode]
        found.handles -= 1
        if not found.handles:
            del self._inodes[inode]
            if found.backing is not None:
                self._unregister(found.backing)

    def _register(self, descriptor: int | None) -> int | None:
        if descriptor is None:
            return None
        try:
            return devfuse.open_backing(self._device, descriptor)
        except OSError as error:
            if error.errno in _NEVER:
                self._able = False
                self.note = f"reads are not passed through to the disk cache: {error.strerror}"
                log.info("nothing is passed through to the disk cache: %s", error.strerror)
            else:  # ELOOP: an overlay filesystem
                log.debug("a file is not passed through: %s", error.strerror)
            return None

    def _unregister(self, backing: int) -> None:
        try:
            devfuse.close_backing(self._device, backing)
        except OSError as error:
            log.warning("the kernel keeps a file of the disk cache open: %s", error.strerror)
