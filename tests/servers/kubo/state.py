"""What a fake node holds: blocks, pins, names; and what goes wrong with it on request."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from modelfloat.backends.ipfs.dagpb import DIRECTORY, Link, decode_node, encode_node
from modelfloat.backends.ipfs.dagpb import Node as DagNode
from modelfloat.cid import BLAKE3, DAG_PB, SHA2_256, Cid, cid_of

LIMIT = 1 << 20
"""Bytes of a block (Kubo before 0.40)."""
BIG = (
    "produced block is over 1MiB: big blocks can't be exchanged with other peers. consider using "
    "UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override"
)


class RefusalError(Exception):
    """What the node says of a command that it cannot do."""


class AbsentError(RefusalError):
    """A block is not there."""

    def __init__(self, cid: Cid) -> None:
        super().__init__(f"block was not found locally (offline): ipld: could not find {cid}")


@dataclass
class Faults:
    """What goes wrong. `failing` are answers by command, as often as the number says: a status and
    a message; a status of 0 ends the connection without an answer, after the command was done.

    `collect` runs the garbage collection before so many pins; `full` leaves no room for blocks;
    `flipped` has the CIDs whose blocks come with a bit turned; `renames` gives blocks another name;
    `portal` has commands that somebody else answers, with a page.
    """

    failing: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    collect: int = 0
    full: bool = False
    flipped: set[str] = field(default_factory=set)
    renames: bool = False
    portal: set[str] = field(default_factory=set)

    def fail(self, command: str, message: str = "", *, status: int = 500, times: int = 1) -> None:
        """Have a command fail."""
        self.failing[command] = (times, status, message)

    def take(self, command: str) -> tuple[int, str] | None:
        """The failure that is due for a command."""
        times, status, message = self.failing.get(command, (0, 0, ""))
        if not times:
            return None
        self.failing[command] = (times - 1, status, message)
        return status, message


Names = dict[str, "Cid | Names"]
"""A folder: a file's root or another folder by name."""


class Node:
    """Blocks as files in a folder, pins and names in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cids: dict[str, Cid] = {
            path.name: _parsed(path.name) for path in folder.iterdir() if path.is_file()
        }
        self.pins: set[str] = set()
        self.names: Names = {}
        self.storage_max = 10**13

    # ---- blocks

    def put(self, block: bytes, codec: int, function: int) -> Cid:
        """Store a block."""
        if len(block) > LIMIT:
            raise RefusalError(BIG)
        cid = cid_of(block, codec)
        if function == SHA2_256:
            cid = _sha256(block, codec)
        (self._folder / str(cid)).write_bytes(block)
        self.cids[str(cid)] = cid
        return cid

    def get(self, cid: Cid) -> bytes:
        """A block."""
        if str(cid) not in self.cids:
            raise AbsentError(cid)
        return (self._folder / str(cid)).read_bytes()

    def drop(self, text: str) -> None:
        """Lose a block."""
        del self.cids[text]
        (self._folder / text).unlink()

    def size(self) -> int:
        """Bytes of all blocks."""
        return sum((self._folder / text).stat().st_size for text in self.cids)

    # ---- pins and what they keep

    def pin(self, cid: Cid) -> None:
        """Pin what a root reaches, all of which must be there."""
        for reached in self.reached(cid):
            self.get(reached)
        self.pins.add(str(cid))

    def unpin(self, cid: Cid) -> None:
        """Take a pin away."""
        if str(cid) not in self.pins:
            raise RefusalError("not pinned or pinned indirectly")
        self.pins.remove(str(cid))

    def reached(self, cid: Cid) -> Iterator[Cid]:
        """A root and all blocks below."""
        yield cid
        if cid.codec == DAG_PB:
            for link in decode_node(self.get(cid)).links:
                yield from self.reached(link.cid)

    def collect(self) -> list[str]:
        """Remove what is neither pinned nor named."""
        kept: set[str] = set()
        for root in [*map(_parsed, self.pins), *_files(self.names)]:
            try:
                kept.update(str(cid) for cid in self.reached(root))
            except AbsentError:
                kept.add(str(root))
        gone = [text for text in self.cids if text not in kept]
        for text in gone:
            self.drop(text)
        return gone

    # ---- names

    def find(self, path: str) -> "Cid | Names":
        """What has a path."""
        at: Cid | Names = self.names
        for part in _parts(path):
            if isinstance(at, Cid):
                raise RefusalError(f"cannot access {path}: Not a directory")
            if part not in at:
                raise RefusalError("file does not exist")
            at = at[part]
        return at

    def make(self, path: str, *, parents: bool) -> None:
        """Make a folder."""
        at = self.names
        parts = _parts(path)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            if part in at and last and not parents:
                raise RefusalError("file already exists")
            if part not in at and not last and not parents:
                raise RefusalError("file does not exist")
            inside = at.setdefault(part, {})
            if isinstance(inside, Cid):
                raise RefusalError(f"{part} was not a directory")
            at = inside

    def name(self, cid: Cid, path: str) -> None:
        """Give a file a path that nothing has."""
        try:
            self.get(cid)
        except AbsentError as error:
            raise RefusalError(f"cp: cannot get node from path /ipfs/{cid}: {error}") from None
        *above, last = _parts(path)
        try:
            folder = self.find("/".join(above))
        except RefusalError as error:
            raise RefusalError(f"cp: cannot put node in path {path}: {error}") from None
        if isinstance(folder, Cid):
            raise RefusalError(f"cp: cannot put node in path {path}: it is not a directory")
        if last in folder:
            raise RefusalError(
                f"cp: cannot put node in path {path}: directory already has entry by that name"
            )
        folder[last] = cid

    def remove(self, path: str) -> None:
        """Take a file's path away."""
        found = self.find(path)
        if not isinstance(found, Cid):
            raise RefusalError(f"{path} is a directory, use -r to remove directories")
        *above, last = _parts(path)
        folder = self.find("/".join(above))
        assert isinstance(folder, dict)
        del folder[last]

    def told(self, name: str, found: "Cid | Names") -> dict[str, object]:
        """What is told of a name: its CID, its size."""
        if isinstance(found, Cid):
            size = decode_node(self.get(found)).size if found.codec == DAG_PB else 0
            return {"Name": name, "Type": 0, "Size": size, "Hash": str(found)}
        return {"Name": name, "Type": 1, "Size": 0, "Hash": str(self.folder(found))}

    def folder(self, names: Names) -> Cid:
        """The CID of a folder, whose blocks are stored."""
        links = []
        for name, found in sorted(names.items()):
            cid = found if isinstance(found, Cid) else self.folder(found)
            links.append(Link(cid, name, len(self.get(cid))))
        block = encode_node(DagNode(DIRECTORY, tuple(links)))
        return self.put(block, DAG_PB, SHA2_256)


def _files(names: Names) -> Iterator[Cid]:
    for found in names.values():
        if isinstance(found, Cid):
            yield found
        else:
            yield from _files(found)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _parsed(text: str) -> Cid:
    from modelfloat.cid import parse_cid

    return parse_cid(text)


def _sha256(block: bytes, codec: int) -> Cid:
    import hashlib

    return Cid(codec, SHA2_256, hashlib.sha256(block).digest())


FUNCTIONS = {"blake3": BLAKE3, "sha2-256": SHA2_256}
