"""Servers that `./run test --slow` installs with npm, in the versions of a lock file of ours."""

from pathlib import Path


def is_installed(folder: Path, source: Path) -> bool:
    """Whether what is installed in `folder` is what the lock file in `source` says."""
    try:
        lock = (folder / "package-lock.json").read_bytes()
    except FileNotFoundError:
        return False
    return lock == (source / "package-lock.json").read_bytes() and (folder / "done").exists()
