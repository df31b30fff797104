"""A storm of page faults: 32 threads at random over 8 files, while others list and stat.

By either binding, for 60 seconds each. A page that takes long holds up whoever needs it; one that
never comes would be a deadlock, and end the bench by its time limit.
"""

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import BenchError, drop_page_cache, say
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.bench.shards import INDEX, make_set

FILES: Final = 8
THREADS: Final = 32
LONGEST: Final = 2.0
"""Seconds that nothing may stall for."""
PATIENCE: Final = 60.0
"""Seconds beyond its own after which a storm counts as locked up."""


def measure(session: Session) -> Report:
    """One storm a binding; a wrong page ends the bench."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        work = session.work / "storm"
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        files = make_set(work / "set", "storm", FILES, session.size // FILES)
        (files.folder / INDEX).unlink()
        store = Store(work / "store")
        store.run("add", str(files.folder), REPOSITORY)
        for binding in ("kernel", "pyfuse3"):
            with store.mounted(session.work / "mount", Path(), f"--binding={binding}") as folder:
                drop_page_cache()
                told = _storm(session.storm, folder, files.folder)
            say(f"{binding}: {told}")
            figures += _figures(binding, told, session.storm)
    notes = [
        f"{THREADS} threads over {FILES} files, {files.size / 1e9:.2f} GB; two list and stat",
        f"{session.storm:.0f} s a binding; a store of {SCHEME} on tmpfs; every page is compared",
    ]
    return Report("storm", [[HEADER, *map(str, figures)]], notes)


def _storm(seconds: float, folder: Path, copies: Path) -> dict[str, object]:
    argv = [sys.executable, "-m", "modelfloat.bench.storming", str(seconds), str(THREADS)]
    argv += [str(folder), str(copies)]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=seconds + PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the storm did not end within {PATIENCE:.0f} s of its time") from error
    if done.returncode:
        raise BenchError(f"the storm ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    told: dict[str, object] = json.loads(done.stdout)
    if told["wrong"] or not told["pages"]:
        raise BenchError(f"{told['wrong']} of {told['pages']} pages were wrong")
    return told


def _figures(binding: str, told: dict[str, object], seconds: float) -> list[Figure]:
    longest = told["longest"]
    assert isinstance(longest, dict)
    assert isinstance(told["pages"], int)
    return [
        Figure(f"{binding}: pages", "a second", [told["pages"] / seconds]),
        *(
            Figure(f"{binding}: longest {what}", "s", [longest[what]], most=LONGEST)
            for what in ("page", "listing", "stat")
        ),
    ]
