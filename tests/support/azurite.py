"""Azurite, Microsoft's own emulator of Azure's blobs, for tests: in memory, on loopback.

`./run test --slow` installs it into `.cache/azurite` where npm is, in the versions of
`tests/servers/azurite/package-lock.json`. Where it is not there, tests that want it are skipped.
"""

import base64
import hashlib
import hmac
import shutil
from email.utils import formatdate
from pathlib import Path
from typing import Final

import pytest

from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.npm import is_installed
from modelfloat.tests.support.servers import HOST, Server, ask, free_ports

INSTALLED: Final = ROOT / ".cache" / "azurite"
SOURCE: Final = ROOT / "tests" / "servers" / "azurite"
ACCOUNT: Final = "acme"
KEY: Final = base64.b64encode(b"a key of thirty-two bytes, tests").decode()
_VERSION: Final = "2021-08-06"


class Azurite(Server):
    """Its blob service, with one account."""

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node")
        if node is None or not is_installed(INSTALLED, SOURCE):
            pytest.skip("Azurite is not installed: `./run test --slow` does that where npm is")
        (port,) = free_ports(1)
        self.endpoint = f"http://{HOST}:{port}"
        program = INSTALLED / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
        options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
        where = ["--blobHost", HOST, "--blobPort", str(port), "--silent"]
        super().__init__(folder, [node, str(program), *options, *where], [self.endpoint])

    def new_container(self) -> str:
        """An empty container."""
        name = self.new_name()
        path = f"/{ACCOUNT}/{name}"
        ask("PUT", f"{self.endpoint}{path}?restype=container", _signed(path))
        return name

    def url(self, container: str) -> str:
        """The URL of a backend in that container."""
        return f"az://{container}?account={ACCOUNT}&endpoint={self.endpoint}"

    def _environment(self) -> dict[str, str]:
        return {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}


def _signed(path: str) -> dict[str, str]:
    """The headers of a request that makes a container ("Authorize with Shared Key", Azure's REST
    reference): no library at hand makes one."""
    now = formatdate(usegmt=True)
    own = f"x-ms-date:{now}\nx-ms-version:{_VERSION}"
    text = "PUT" + "\n" * 12 + f"{own}\n/{ACCOUNT}{path}\nrestype:container"
    key = base64.b64decode(KEY)
    mark = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    return {
        "x-ms-date": now,
        "x-ms-version": _VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{mark}",
        "Content-Length": "0",
    }
