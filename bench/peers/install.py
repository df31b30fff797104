"""Peers install themselves: Debian packages through apt-get, others into a venv of the bench."""

import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError, say

CACHE: Final = Path(__file__).parents[2] / ".cache" / "bench"


def from_debian(command: str, package: str) -> str:
    """The path of `command`, after installing the Debian package that holds it if need be."""
    found = shutil.which(command)
    if found is None:
        say(f"installing {package}")
        _apt_get(package)
        found = shutil.which(command)
    if found is None:
        raise BenchError(f"{package} gave no {command}; install {command} and run this again")
    return found


def from_pypi(command: str, package: str) -> str:
    """The path of `command` in the bench's own venv, after installing `package` there."""
    folder = CACHE / "venv"
    path = folder / "bin" / command
    if not path.exists():
        say(f"installing {package}")
        if not (folder / "bin" / "python").exists():
            venv.create(folder, with_pip=True)
        _call(package, [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", package])
    if not path.exists():
        raise BenchError(f"{package} gave no {command}; remove {CACHE.name} and run this again")
    return str(path)


def _apt_get(package: str) -> None:
    if shutil.which("apt-get") is None:
        raise BenchError(f"no apt-get here; install {package} and run this again")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq"]
    _call(package, [*sudo, "apt-get", "update", "-qq"])
    _call(package, [*sudo, *install, "--no-install-recommends", package])


def _call(package: str, argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"{package} could not be installed: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BenchError(f"{package} could not be installed: {reason}; install it by hand")
