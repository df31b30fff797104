"""A real IPFS node, js-ipfs, for tests: offline, on loopback, its repository in a folder.

`./run test --slow` installs it into `.cache/js-ipfs` where npm is, in the versions of
`tests/servers/jsipfs/package-lock.json`. Where it is not there, tests that want it are skipped.
"""

import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.npm import is_installed
from modelfloat.tests.support.servers import HOST, Server, ask, free_ports

INSTALLED: Final = ROOT / ".cache" / "js-ipfs"
SOURCE: Final = ROOT / "tests" / "servers" / "jsipfs"


class JsIpfs(Server):
    """`ipfs` of npm, whose daemon is begun with BLAKE3 among its hashes."""

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None or not is_installed(INSTALLED, SOURCE):
            pytest.skip("js-ipfs is not installed: `./run test --slow` does that where npm is")
        port, gateway = free_ports(2)
        self.api = f"http://{HOST}:{port}/api/v0"
        self.url = f"ipfs://{HOST}:{port}"
        command = [node, "--require", str(INSTALLED / "polyfill.cjs"), str(INSTALLED / "node.mjs")]
        super().__init__(
            folder,
            [*command, str(folder / "repo"), str(port), str(gateway)],
            [f"{self.api}/version"],
        )

    def ask(self, command: str, *, most: str = "60s", **arguments: str) -> bytes:
        """What the node answers to a command within `most`, asked without our backend; HTTPError
        where it fails."""
        query = urlencode({**arguments, "timeout": most})
        return ask("POST", f"{self.api}/{command}?{query}")

    def new_folder(self) -> str:
        """The path of an empty folder of the node's MFS."""
        path = f"/{self.new_name()}"
        self.ask("files/mkdir", arg=path)
        return path

    def start(self) -> None:
        """Begin, unless it runs, though a node that was killed left its lock."""
        if not self.up:
            shutil.rmtree(self.folder / "repo" / "repo.lock", ignore_errors=True)
        super().start()
