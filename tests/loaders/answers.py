"""What a loader program prints: the versions of its packages, and the ways of loading it tried.

The programs in this folder run in whatever interpreter has their packages, so they import nothing
of ModelFloat. Each is called as `PROGRAM make FOLDER` to make a model, and as `PROGRAM check FOLDER
MOUNTED` to load it by every way from the folder `MOUNTED` (or by that name) and compare it with
what lies in `FOLDER`.
"""

import json
import sys
from collections.abc import Callable
from importlib import metadata


def told(*packages: str, ways: list[str]) -> None:
    """The last line of a check."""
    versions = {package: metadata.version(package) for package in packages}
    print(json.dumps({"versions": versions, "ways": ways}))


def main(make: Callable[[str], None], check: Callable[[str, str], None]) -> None:
    """Do what the command line says."""
    action, *arguments = sys.argv[1:]
    {"make": make, "check": check}[action](*arguments)
