"""The bindings there are, by name. What one needs is imported only when it is asked for."""

from typing import TYPE_CHECKING, Final

from ..errors import UnsupportedError

if TYPE_CHECKING:
    from .binding import Binding

KERNEL: Final = "kernel"
PYFUSE3: Final = "pyfuse3"
NAMES: Final = (KERNEL, PYFUSE3)
DEFAULT: Final = PYFUSE3
"""The binding of a mount that is asked for none."""


def load_binding(name: str = DEFAULT) -> "Binding":
    """The binding `name`, one of `NAMES`; UnsupportedError, with what to install, if it lacks."""
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
