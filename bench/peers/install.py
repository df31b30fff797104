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
        _install(_python(folder), package)
    if not path.exists():
        raise BenchError(f"{package} gave no {command}; remove {CACHE.name} and run this again")
    return str(path)


def modules(name: str, *packages: str) -> str:
    """The Python of a venv of that name in which `packages` can be imported; made if need be.

    A peer that is a Python module is measured in a process of its own, with its own dependencies.
    What was installed once is not looked at again: remove the venv to have it anew.
    """
    folder = CACHE / name
    stamp = folder / "installed"
    wanted = "\n".join(packages)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        say(f"installing {', '.join(packages)}")
        _install(_python(folder), *packages)
        stamp.write_text(wanted, encoding="utf-8")
    return str(folder / "bin" / "python")


def _python(folder: Path) -> str:
    """The Python of a venv, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    return str(python)


def _install(python: str, *packages: str) -> None:
    _call(packages[0], [python, "-m", "pip", "install", "-q", *packages])


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
