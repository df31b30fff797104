"""The command line as a user runs it: in a process of its own."""

import subprocess
import sys


def modelfloat(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run `modelfloat ARGUMENTS`; output and exit status are the caller's to judge.

    Output that is not UTF-8 (a model, say) comes with replacement characters.
    """
    command = [sys.executable, "-m", "modelfloat.cli.main", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=60
    )
