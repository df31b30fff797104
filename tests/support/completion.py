"""Asking the program for completions as bash does."""

import os
import subprocess
import sys


def complete(line: str, **environment: str) -> list[str]:
    """What bash would be offered at the end of `line`; nothing may appear on stderr."""
    asked = {
        "_MODELFLOAT_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    command = [sys.executable, "-m", "modelfloat.cli.main"]
    env = {**os.environ, **asked, **environment}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert result.stderr == ""
    return result.stdout.split()
