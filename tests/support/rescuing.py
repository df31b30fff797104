"""docs/rescue.py as one runs it when nothing else is left: alone, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from modelfloat.tests.support.checkout import ROOT

SCRIPT = ROOT / "docs" / "rescue.py"


def rescue(
    out: Path, backends: Iterable[Path], *options: str
) -> "subprocess.CompletedProcess[str]":
    """Restore what the directories hold to `out`; output and status are the caller's to judge."""
    command = [sys.executable, "-I", str(SCRIPT), "--out", str(out), *options]
    return subprocess.run(
        [*command, *map(str, backends)], capture_output=True, text=True, check=False, timeout=300
    )
