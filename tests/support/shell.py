"""Commands run in the test's process on a store of the test's own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cli.main import run

Shell = Callable[..., tuple[str, str]]


def shell_on_copy(template: Path, folder: Path, capsys: "pytest.CaptureFixture[str]") -> Shell:
    """What runs a command on a copy of a store, `folder/store`: its output and its errors.

    `status` is what the command must end with.
    """
    store = folder / "store"
    shutil.copytree(template, store)

    def command(*arguments: object, status: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        found = run(["--store", str(store), *map(str, arguments)])
        captured = capsys.readouterr()
        assert found == status, captured.err
        return captured.out, captured.err

    return command
