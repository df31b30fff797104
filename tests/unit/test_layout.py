"""Rules of the source tree that no linter checks."""

import ast
import re
from pathlib import Path

import pytest

from modelfloat.tests.support.checkout import ROOT, own_files, product_modules

# Put together here, so that this file does not contain what it looks for.
INDEX_HOSTS = ("py" + "pi.org", "python" + "hosted.org", "registry.np" + "mjs.org")
PERSONAL_PATH = re.compile(rb"(?<![\w.~$}*])/(?:root|home/\w+|Users/\w+)/")


def _absolute_imports(module: Path) -> list[str]:
    """The modules of this package that a file imports by their full name."""
    found = []
    for node in ast.walk(ast.parse((ROOT / module).read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append(node.module or "")
    return [name for name in found if name.split(".")[0] in {"modelfloat", *_own_tops()}]


def _own_tops() -> set[str]:
    return {path.parts[0].removesuffix(".py") for path in product_modules()} - {"__init__"}


@pytest.mark.parametrize("module", product_modules(), ids=str)
def test_imports_inside_the_package_are_relative(module: Path) -> None:
    assert _absolute_imports(module) == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in product_modules()}
    assert [
        str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()
    ] == []


def test_test_modules_have_unique_names() -> None:
    """Two of one name would be one module to tools that know only the last part."""
    names = [path.name for path in own_files(ROOT / "tests") if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


def test_no_package_index_and_no_personal_path() -> None:
    found = []
    for path in own_files():
        content = path.read_bytes()
        if any(host.encode() in content for host in INDEX_HOSTS) or PERSONAL_PATH.search(content):
            found.append(str(path.relative_to(ROOT)))
    assert found == []


def test_scripts_are_executable() -> None:
    scripts = [path for path in own_files() if path.read_bytes()[:2] == b"#!"]
    assert ROOT / "run" in scripts
    assert [str(path) for path in scripts if not path.stat().st_mode & 0o111] == []
