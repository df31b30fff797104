"""Places that keep files, ours and peers', told apart only by what they take."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from modelfloat.bench.ours import REPOSITORY, Store
from modelfloat.bench.peers import borg, restic
from modelfloat.bench.peers.xet import Xet, xet
from modelfloat.bench.stored import BARE, backend_bytes

OURS: Final = "modelfloat"


class Holder(Protocol):
    """A fresh place that files can be put into, and the bytes that it takes for them."""

    @property
    def size(self) -> int: ...
    def put(self, *paths: Path) -> None: ...
    def remove(self) -> None: ...


class OurHolder:
    """A store without parity; its backend is counted, so everything but parity."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder, BARE)
        self._puts = 0

    @property
    def size(self) -> int:
        return backend_bytes(self._store)

    def put(self, *paths: Path) -> None:
        self._puts += 1
        self._store.run("add", *map(str, paths), f"{REPOSITORY}/{self._puts}")

    def remove(self) -> None:
        self._store.remove()


class PeerHolder:
    """A repository of restic or Borg, and what it grew by since it was made."""

    def __init__(self, repository: restic.Repository | borg.Repository) -> None:
        self._repository = repository
        self._empty = repository.size

    @property
    def size(self) -> int:
        return self._repository.size - self._empty

    def put(self, *paths: Path) -> None:
        self._repository.add_all(*paths)

    def remove(self) -> None:
        self._repository.remove()


class XetHolder:
    """A folder that hf_xet sends to, and what it says it sent."""

    def __init__(self, client: Xet, folder: Path) -> None:
        self._client, self._folder = client, folder
        self.size = 0

    def put(self, *paths: Path) -> None:
        self.size += self._client.add(self._folder, *paths).sent

    def remove(self) -> None:
        shutil.rmtree(self._folder)


@contextmanager
def holders(work: Path, *, peers_only: bool) -> Iterator[Mapping[str, Callable[[], Holder]]]:
    """How to make a holder of each kind, one at a time, while the block runs."""
    target = work / "target"
    with xet(work) as client:
        makers: dict[str, Callable[[], Holder]] = {
            "restic": lambda: PeerHolder(restic.Repository(target)),
            "Borg": lambda: PeerHolder(borg.Repository(target)),
            "hf_xet": lambda: XetHolder(client, target),
        }
        yield makers if peers_only else {OURS: lambda: OurHolder(target), **makers}


def peer_versions(work: Path) -> list[str]:
    """Names and versions, as a table shows them."""
    with xet(work) as client:
        return [restic.version(), borg.version(), client.version]
