"""What a wheel installs: `modelfloat/…`, all of it, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from modelfloat.tests.support.checkout import ROOT, is_own, product_modules


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in a wheel built, offline, from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=_foreign, symlinks=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    result = subprocess.run(build, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _foreign(_folder: str, names: list[str]) -> set[str]:
    return {name for name in names if not is_own(name)}


def test_only_the_package_and_its_metadata(contents: set[str]) -> None:
    tops = {name.split("/")[0] for name in contents}
    metadata = {top for top in tops if top.startswith("modelfloat-") and top.endswith(".dist-info")}
    assert len(metadata) == 1
    assert tops - metadata == {"modelfloat"}


def test_every_module_and_no_other(contents: set[str]) -> None:
    """Fails when a new subpackage is missing from the list in pyproject.toml."""
    installed = {name for name in contents if name.endswith(".py")}
    assert installed == {f"modelfloat/{path.as_posix()}" for path in product_modules()}


def test_type_information_and_licence(contents: set[str]) -> None:
    assert "modelfloat/py.typed" in contents
    assert any(Path(name).name == "LICENSE" for name in contents)


def test_the_command_is_declared(contents: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in contents)
