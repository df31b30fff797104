"""Which files are open on the mounts of a store, and who has them open."""

from ..cas.gc.collected import InUse
from ..errors import UnavailableError
from ..ids import ObjectId
from .control import mount_states
from .holders import name_of
from .mountstate import MountState


def find_in_use(store: str) -> list[InUse]:
    """Every file that is open on a live mount of the store in `store`.

    UnavailableError where a mount does not say what it has open: it may be anything.
    """
    found = []
    for state in mount_states(store):
        if state.problem:
            raise UnavailableError(
                f"the mount of pid {state.pid} does not say which files are open on it: "
                f"{state.problem}; unmount it, then nothing of it can be needed"
            )
        for file in state.open:
            manifest = ObjectId(bytes.fromhex(file.manifest))
            found.append(InUse(manifest, file.name, _who(state, file.pids)))
    return found


def _who(state: MountState, pids: tuple[int, ...]) -> str:
    if not pids:
        return f"somebody on the mount {state.mountpoint}"
    return ", ".join(f"pid {pid} ({name_of(pid) or 'it has ended'})" for pid in pids)
