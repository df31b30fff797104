"""Nothing is imported before a command needs it: nothing heavy for `--help`, and to open a store
nothing of what only adding, checking, collecting, rebuilding or a key take."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cli.main import run

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

OPENED = ("numpy", "trio", "pyfuse3", "zstandard", "pyfastcdc", "cryptography", "ssl")
"""What only opening a store takes."""

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

LISTING = """
import sys
from modelfloat.cli.main import run
for line in open(sys.argv[1]):
    status = run(line.split())
    if status:
        sys.exit(f"{line}: {status}")
print("modules:", *sys.modules)
"""

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


def test_options_are_read_without_pydantic() -> None:
    code = (
        "import sys; from modelfloat.cli.main import run; "
        "run(['--store', '/nowhere', 'cat', 'acme/model/file', '--quiet']); "
        "run(['--store', '/nowhere', 'site', 'ls', '--no-wait']); "
        "print('modules:', *sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stderr.count("there is no store at /nowhere") == 2
    assert "pydantic" not in result.stdout.partition("modules:")[2].split()


def test_opening_a_store_imports_what_reading_takes() -> None:
    code = "import sys, modelfloat.opening; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = found.stdout.split()
    assert "modelfloat.cas.read.loader" in modules
    assert [name for name in modules if name.startswith(SELDOM)] == []


def test_listing_a_store_opens_its_index_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, source = ["--store", str(tmp_path / "store")], tmp_path / "source"
    (source / "below").mkdir(parents=True)
    for content in (b"one", b"another"):
        (source / "below/file.json").write_bytes(content)
        (source / "weights.npy").write_bytes(content * 1000)
        if content == b"one":
            assert run([*store, "init", "--erasure", "1+1"]) == 0
        assert run([*store, "add", str(source), "acme/model"]) == 0
    assert run([*store, "tag", "acme/model", "v1"]) == 0
    (tmp_path / "store/locks" / STAMP).touch()  # other machines were looked for just now
    listing = [
        *("log acme/model", "log acme/model --graph --all", "log acme/model --reflog --json"),
        *("ls acme/model", "ls -l acme/model/below", "ls -l acme/model/below/file.json --json"),
        *("show acme/model", "show acme/model/below/file.json", "tag acme/model"),
        *("branch acme/model", "diff acme/model@main~1/below acme/model/below"),
    ]
    lines = tmp_path / "lines"
    lines.write_text("".join(f"{line} {' '.join(store)}\n" for line in listing))
    command = [sys.executable, "-c", LISTING, str(lines)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    said, _, modules = found.stdout.rpartition("modules:")
    assert "file.json" in said
    needless = (*OPENED, "modelfloat.opening", "modelfloat.cas.packs", "modelfloat.cas.store")
    assert [name for name in modules.split() if name.startswith(needless)] == []


def test_a_listing_looks_for_what_others_did_when_that_is_due(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ["--store", str(tmp_path / "store")]
    (tmp_path / "file").write_bytes(b"a file")
    assert run([*store, "init", "--erasure", "1+1"]) == 0
    assert run([*store, "add", str(tmp_path / "file"), "acme/model/file"]) == 0
    stamp = tmp_path / "store/locks" / STAMP
    for _ in range(2):
        stamp.unlink(missing_ok=True)
        assert run([*store, "log", "acme/model"]) == 0
        assert stamp.exists()


def test_an_index_of_another_store_is_told_of_by_a_listing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        assert run(["--store", str(tmp_path / name), "init", "--erasure", "1+1"]) == 0
    (tmp_path / "one/index").rename(tmp_path / "gone")
    (tmp_path / "two/index").rename(tmp_path / "one/index")
    capsys.readouterr()
    assert run(["--store", str(tmp_path / "one"), "log", "acme/model"]) == 1
    assert "is another store's" in capsys.readouterr().err
