"""The folder to mount on: made when it is missing, refused when it is in use."""

import os

from ..errors import ExistsError, ModelFloatError, UsageError
from .liveness import Life, life_of
from .mountinfo import TYPE, mount_above, mount_at
from .unmounting import detach


def prepare(path: str, store: str = "") -> str:
    """The real path of an empty folder to mount on; a dead mount of ours there is cleared away.

    ExistsError where we, or something else, are mounted already and where the folder is not empty;
    ModelFloatError where it cannot be made; UsageError where it lies in another mount of ours or in
    the folder `store` itself.
    """
    path = os.path.abspath(path)
    _refuse_nesting(path, store)
    _clear(path)
    try:
        os.makedirs(path, exist_ok=True)
        content = os.listdir(path)
    except FileExistsError:
        raise ModelFloatError(f"cannot mount on {path}: it is no folder; name one") from None
    except OSError as error:
        raise ModelFloatError(
            f"cannot mount on {path}: {error.strerror}; name a folder that is empty or can be made"
        ) from error
    if content:
        raise ExistsError(
            f"cannot mount on {path}: it is not empty, and what is in it would be hidden; name an "
            "empty folder"
        )
    return os.path.realpath(path)


def _refuse_nesting(path: str, store: str) -> None:
    """Links are followed up to the folder's parent: the folder itself may be a mount that hangs."""
    parent, name = os.path.split(path)
    if above := mount_above(path):
        raise UsageError(
            f"cannot mount on {path}: it lies inside the store mounted on {above.path}; name a "
            "folder outside of it"
        )
    real = os.path.join(os.path.realpath(parent), name)
    if store and f"{real}/".startswith(f"{os.path.realpath(store)}/"):
        raise UsageError(
            f"cannot mount on {path}: it lies inside the store {store}; name a folder outside of it"
        )


def _clear(path: str) -> None:
    mount = mount_at(path)
    if mount is None:
        return
    life = life_of(path)
    if mount.type != TYPE:
        if life is not Life.ALIVE:
            raise ExistsError(
                f"{path} is a dead mount of type {mount.type}; unmount it, or name another folder"
            )
        return  # an ordinary filesystem: an empty one may be mounted over
    if life is Life.DEAD:
        detach(mount.path, lazy=True)
        return
    which = "" if life is Life.ALIVE else " --lazy"
    what = "is mounted" if life is Life.ALIVE else "is mounted and does not answer"
    raise ExistsError(f"a store {what} on {path} already; run `modelfloat umount{which} {path}`")
