"""An ordinary user on a machine where root runs the tests: a namespace in which one may mount.

/dev/fuse is often root's alone, and checkouts and interpreters may lie in folders that only root
enters: both are put right there, and nowhere else.
"""

import os
import subprocess
import sys
from pathlib import Path

from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.namespaces import Namespace

HOME = Path("/srv")
"""Where a tmpfs is in the namespace, for everything that the user needs."""
NOBODY = 65534


class Ordinary:
    """The user NOBODY in `namespace`, with a home folder, FUSE, and a fuse.conf of their own."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        needed = (Path(sys.base_prefix), ROOT, Path(sys.prefix))
        self._root(
            f"""
            set -e
            {"".join(_opened(path, i) for i, path in enumerate(needed))}
            mount -t tmpfs -o mode=1777 tmpfs {HOME}
            mknod {HOME}/fuse c 10 229
            chmod 666 {HOME}/fuse
            mount --bind {HOME}/fuse /dev/fuse
            touch {HOME}/fuse.conf
            mount --bind {HOME}/fuse.conf /etc/fuse.conf
            """
        )

    def _root(self, script: str) -> None:
        done = self._namespace.sh(script)
        assert done.returncode == 0, done.stderr

    def allow_others(self) -> None:
        """What an administrator does so that users may mount for others."""
        self._root(f"echo user_allow_other > {HOME}/fuse.conf")

    def close_device(self) -> None:
        """Only root may use FUSE."""
        self._root(f"chmod 600 {HOME}/fuse")

    def sh(self, script: str, uid: int = NOBODY) -> "subprocess.CompletedProcess[str]":
        """Run a shell script as a user."""
        return self._namespace.run(*_as(uid), "sh", "-c", script)

    def modelfloat(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run our program as the user, on a store in their home."""
        program = [sys.executable, "-m", "modelfloat.cli.main", *arguments]
        return self._namespace.run(*_as(NOBODY), *program)

    def as_root(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run our program as root, on the user's store."""
        program = [sys.executable, "-m", "modelfloat.cli.main", *arguments]
        return self._namespace.run("env", f"MODELFLOAT_STORE={HOME}/store", *program)


def _as(uid: int) -> list[str]:
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [*become, "env", f"--chdir={HOME}", f"HOME={HOME}", f"MODELFLOAT_STORE={HOME}/store"]


def _opened(path: Path, number: int) -> str:
    """Commands after which everybody may enter `path`, whatever the folders above it say."""
    above = [folder for folder in reversed(path.parents) if not _may_enter(folder)]
    if not above:
        return ""
    stage = f"/run/stage-{os.getpid()}-{number}"
    return f"""
            [ -e {path}/. ] && mkdir -p {stage}
            mount --bind {path} {stage}
            findmnt -n {above[0]} | grep -q stage || mount -t tmpfs -o mode=755 stage {above[0]}
            mkdir -p {path}
            mount --bind {stage} {path}
            umount {stage} && rmdir {stage}
            """


def _may_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)
