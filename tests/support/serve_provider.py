"""A program: the fake of one provider, with two backends in it, until it is ended.

    python -m modelfloat.tests.support.serve_provider KIND FOLDER DELAY EACH ALL

Each answer begins DELAY seconds late; a connection moves EACH bytes a second and all of them
together ALL; 0 is no limit. It prints one line of JSON: `urls`, and the `environment` that commands
need.
"""

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from modelfloat.tests.servers import httpd
from modelfloat.tests.servers.gdrive import serve_gdrive
from modelfloat.tests.servers.kubo import serve_kubo
from modelfloat.tests.servers.mega.account import Account
from modelfloat.tests.servers.mega.server import serve_mega


@dataclass
class Link(httpd.Line):
    """A line that all connections share: `whole` bytes a second at most."""

    whole: float = 0.0
    free: float = field(default=0.0, init=False)

    async def carry(self, size: int) -> None:
        """Take as long as that many bytes of one connection do, in turn with the others'."""
        now = trio.current_time()
        at = now + (size / self.rate if self.rate else 0.0)
        if self.whole:
            self.free = max(self.free, now) + size / self.whole
            at = max(at, self.free)
        await trio.sleep_until(at)

    async def pace(self, size: int) -> None:
        """The delay of an answer, and as long as its bytes take."""
        await self.wait()
        await self.carry(size)


@dataclass
class Served:
    """What a provider has for us."""

    urls: list[str]
    environment: dict[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def _drive(folder: Path, link: Link) -> AsyncIterator[Served]:
    async with serve_gdrive(folder, link) as drive:
        folders = [drive.models, drive.new_folder("more")]
        served = Served([drive.backend_url(each) for each in folders])
        for number in range(len(folders)):
            served.environment |= drive.credentials(f"drive{number}")
        yield served


@contextlib.asynccontextmanager
async def _ipfs(folder: Path, link: Link) -> AsyncIterator[Served]:
    async with serve_kubo(folder / "0") as first, serve_kubo(folder / "1") as second:
        nodes = (first, second)
        for node in nodes:
            node.pace = link.pace
        yield Served([f"{node.url}/models" for node in nodes])


@contextlib.asynccontextmanager
async def _mega(_: Path, link: Link) -> AsyncIterator[Served]:
    user, password = "ada@example.org", "a secret of ours"
    async with serve_mega(Account(user, password), line=link) as mega:
        known = {"MODELFLOAT_MEGA_USER": user, "MODELFLOAT_MEGA_PASSWORD": password}
        yield Served([mega.address(each) for each in ("models", "more")], known)


Serve = Callable[[Path, Link], contextlib.AbstractAsyncContextManager[Served]]
KINDS: dict[str, Serve] = {"drive": _drive, "ipfs": _ipfs, "mega": _mega}


async def main(kind: str, folder: str, delay: str, each: str, whole: str) -> None:
    """Serve."""
    link = Link(float(delay), float(each), float(whole))
    async with KINDS[kind](Path(folder), link) as served:
        print(json.dumps({"urls": served.urls, "environment": served.environment}), flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
