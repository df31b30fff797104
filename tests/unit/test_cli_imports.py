"""`modelfloat --help` answers at once: nothing heavy is imported before a command needs it."""

import subprocess
import sys

HEAVY = (
    "numpy",
    "trio",
    "lmdb",
    "pyfuse3",
    "zstandard",
    "blake3",
    "pyfastcdc",
    "reedsolo",
)

PROGRAM = """
import sys
sys.argv = ["modelfloat", "--help"]
from modelfloat.cli.main import main
try:
    main()
finally:
    print("\\nmodules:", *sys.modules)
"""


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-c", PROGRAM]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    help_text, _, modules = result.stdout.rpartition("modules:")
    assert "mount" in help_text
    assert {name for name in modules.split() if name in HEAVY} == set()
