"""Which files are open on the mounts of a store, and who has them open."""

from collections.abc import Iterable

from ..cas.gc.collected import InUse
from ..errors import UnavailableError
from ..ids import ObjectId
from .control import mount_states
from .holders import name_of
from .liveness import Life, life_of
from .mountinfo import Mount, mounts
from .mountstate import MountState
from .owndevices import devices_of, mounts_of


def find_in_use(store: str) -> list[InUse]:
    """Every file that is open on a live mount of the store in `store`.

    UnavailableError where a mount does not say what it has open: it may be anything.
    """
    # A mount has its socket before it is one, so those that are seen first can all be asked.
    seen = mounts_of(store)
    states = mount_states(store)
    found = []
    for state in states:
        if state.problem:
            raise UnavailableError(
                f"the mount of pid {state.pid} does not say which files are open on it: "
                f"{state.problem}; unmount it, then nothing of it can be needed"
            )
        for file in state.open:
            manifest = ObjectId(bytes.fromhex(file.manifest))
            found.append(InUse(manifest, file.name, _who(state, file.pids)))
    _refuse_silent(seen, states)
    return found


def _refuse_silent(seen: list[Mount], states: Iterable[MountState]) -> None:
    """A dead mount can need nothing, nor one that ended meanwhile."""
    known = devices_of(states)
    for mount in seen:
        if mount.device not in known and mount in mounts() and life_of(mount.path) is not Life.DEAD:
            raise UnavailableError(
                f"the mount on {mount.path} does not say which files are open on it: it has no "
                "socket in the store; unmount it, then nothing of it can be needed"
            )


def _who(state: MountState, pids: tuple[int, ...]) -> str:
    if not pids:
        return f"somebody on the mount {state.mountpoint}"
    return ", ".join(f"pid {pid} ({name_of(pid) or 'it has ended'})" for pid in pids)
