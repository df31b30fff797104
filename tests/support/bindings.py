"""Which binding the mounts of a test are made by: what a command finds in its environment."""

import os

from modelfloat.fuse.binding import Binding
from modelfloat.fuse.bindings import AUTO, load_binding

VARIABLE = "MODELFLOAT_BINDING"


def binding_asked_for() -> Binding:
    """The binding that this process is to mount by."""
    return load_binding(os.environ.get(VARIABLE, AUTO))
