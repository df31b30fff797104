"""The bindings there are, by name. What one needs is imported only when it is asked for."""

import errno
import logging
from typing import TYPE_CHECKING, Final

from ..errors import UnsupportedError
from .binding import Session

if TYPE_CHECKING:
    from .binding import Binding
    from .operations import Operations

KERNEL: Final = "kernel"
PYFUSE3: Final = "pyfuse3"
NAMES: Final = (KERNEL, PYFUSE3)
AUTO: Final = "auto"
"""What is asked for where nobody names one: `kernel` where it works, else `pyfuse3`."""
CHOICES: Final = (AUTO, *NAMES)
_ALIKE: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOENT, errno.ENOTDIR, errno.EBUSY})
"""What mount(2) would say to libfuse as well."""

log = logging.getLogger(__name__)


def load_binding(name: str = AUTO) -> "Binding":
    """The binding `name`, one of `CHOICES`; UnsupportedError, with what to install, if it lacks."""
    if name == AUTO:
        return FirstThatWorks()
    if name == KERNEL:
        from .kernel_binding import KernelBinding

        return KernelBinding()
    try:
        from .pyfuse3_binding import Pyfuse3Binding
    except ImportError as error:
        raise UnsupportedError(
            f"mounting needs pyfuse3 and libfuse 3 ({error}); install `fuse3` with the system's "
            "package manager and `pyfuse3` with pip"
        ) from error
    return Pyfuse3Binding()


class FirstThatWorks:
    """`kernel`, or `pyfuse3` where the kernel does not understand the former; the log says why.

    `name` is that of the one which mounted. A refusal that libfuse would meet as well is final:
    trying again would only tell it twice.
    """

    def __init__(self) -> None:
        self.name = KERNEL

    def mount(self, operations: "Operations", path: str, options: frozenset[str]) -> Session:
        """See `Binding.mount`; of two failures, the first is told."""
        try:
            return load_binding(KERNEL).mount(operations, path, options)
        except UnsupportedError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno in _ALIKE:
                raise
            log.warning(
                "the binding %s does not work here, %s is tried: %s", KERNEL, PYFUSE3, cause
            )
            return self._second(operations, path, options, error)

    def _second(
        self, operations: "Operations", path: str, options: frozenset[str], first: UnsupportedError
    ) -> Session:
        try:
            session = load_binding(PYFUSE3).mount(operations, path, options)
        except UnsupportedError as error:
            log.warning("the binding %s does not work either: %s", PYFUSE3, error)
            raise first from error
        self.name = PYFUSE3
        return session
