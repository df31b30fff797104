"""Providers for tests and benches: fakes in processes of their own, which may be taken away."""

import contextlib
import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelfloat.tests.support.mounted import PATIENCE

KINDS = ("mega", "drive", "ipfs")
"""The kinds of providers that there are fakes of."""


@dataclass
class Provider:
    """One that runs: its two backends' URLs by their names, and what commands need to know."""

    kind: str
    urls: dict[str, str]
    environment: dict[str, str]
    process: "subprocess.Popen[str]"

    @property
    def specs(self) -> list[str]:
        """Its backends as `init --backend` takes them, with the provider as their domain."""
        return [f"{name}={url},domain={self.kind}" for name, url in self.urls.items()]

    def close(self) -> None:
        """It is gone."""
        self.process.terminate()
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def provider(
    kind: str,
    folder: Path,
    name: str = "",
    *,
    delay: float = 0.0,
    each: float = 0.0,
    whole: float = 0.0,
) -> Iterator[Provider]:
    """A provider with two backends, called after `name` or the kind; see `serve_provider`."""
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "modelfloat.tests.support.serve_provider"]
    argv += [kind, str(folder), str(delay), str(each), str(whole)]
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            line = process.stdout.readline() if ready else ""
            assert line, f"the fake of {kind} does not start: {(folder / 'log').read_text()}"
            told = json.loads(line)
            urls = {f"{name or kind}{number}": url for number, url in enumerate(told["urls"])}
            yield Provider(kind, urls, told["environment"], process)
        finally:
            process.kill()


@contextlib.contextmanager
def providers(
    folder: Path,
    kinds: Sequence[str] = KINDS,
    *,
    delay: float = 0.0,
    each: float = 0.0,
    whole: float = 0.0,
) -> Iterator[list[Provider]]:
    """One provider of each kind."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(provider(kind, folder / kind, delay=delay, each=each, whole=whole))
            for kind in kinds
        ]
