"""Nothing is imported before a command needs it: nothing heavy for `--help`, and to open a store
nothing of what only adding, checking, collecting, rebuilding or a key take."""

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

SELDOM = (
    "cryptography",
    "modelfloat.cas.add",
    "modelfloat.cas.gc.collection",
    "modelfloat.cas.gc.marks",
    "modelfloat.cas.rebuild",
    "modelfloat.cas.verify.checking",
    "modelfloat.cas.verify.repair",
    "pyfastcdc",
    "sqlite3",
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


def test_opening_a_store_imports_what_reading_takes() -> None:
    code = "import sys, modelfloat.opening; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = found.stdout.split()
    assert "modelfloat.cas.read.loader" in modules
    assert [name for name in modules if name.startswith(SELDOM)] == []
