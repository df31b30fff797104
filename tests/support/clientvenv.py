"""Virtual environments in `.cache` for clients whose dependencies are none of ours."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.tests.support.checkout import ROOT


def python_with(requirements: Path) -> str:
    """A Python that has what a file of exact versions names; made once, skipped where pip fails."""
    mark = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = ROOT / ".cache" / "clients" / mark
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no reason"])[-1]
            pytest.skip(f"pip could not install {requirements.name}: {last}")
        done.touch()
    return str(python)
