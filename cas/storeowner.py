"""What root makes in a store belongs to the store's owner, who would be locked out otherwise."""

import contextlib
import os


def make_folder(path: str, store: str) -> int:
    """The folder `path` in the store's folder `store`, opened; made where it is not there.

    OSError where it cannot be, or where it is a link.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        give(folder, store)
    except BaseException:
        os.close(folder)
        raise
    return folder


def give(opened: int, store: str) -> None:
    """Root gives what it has opened to the owner of the folder `store`."""
    owner, now = os.stat(store), os.fstat(opened)
    if os.geteuid() == 0 and (now.st_uid, now.st_gid) != (owner.st_uid, owner.st_gid):
        os.fchown(opened, owner.st_uid, owner.st_gid)
