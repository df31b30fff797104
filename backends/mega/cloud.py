"""An account's folder as MEGA has it: the tree, kept up with what happens, and changed.

All of an account's nodes come with the first question (`f`); afterwards MEGA tells what changed
since (`sc`), mostly nothing. So a listing costs one short request, and reading a key that is
known none.

The folder is never made but where `create` allows it; without it, all is UnavailableError.

Concurrency: one catching up at a time, and who asks gets one that began after it asked. A load goes
on when those who wait for it give up.
Folders are made one after the other, so that two puts do not make two of one name.
"""

import contextlib
from collections.abc import Mapping
from typing import Final

import trio

from ...errors import BackendError, KeyNotFoundError, UnavailableError
from ...ids import Key
from ..keys import is_replaced
from .address import Address
from .api import LARGEST, LONGEST_WAIT, MegaApi
from .ciphers import FileKey, encode, seal_attributes, wrap
from .codes import ABSENT, AGAIN, RefusedError, failure
from .flight import Flights
from .nodes import FILE, FOLDER, GENERATION, Node, Told, opened
from .tree import Tree

ROUNDS: Final = 1000
"""Answers about what happened that are taken one after the other, before all is asked anew."""
TRIES: Final = 3
NEW_FOLDER: Final = "xxxxxxxx"
"""The handle of what has none yet."""


class Cloud:
    """A folder in the drive of the account that `api` speaks for."""

    def __init__(self, api: MegaApi, address: Address, *, create: bool) -> None:
        self._api = api
        self._name = api.name
        self._folder = address.folder
        self._create = create
        self._tree: Tree | None = None
        self._since = ""
        self._catching = trio.Lock()
        self._loading = Flights[Tree]()
        self._begun = self._done = 0
        self._making = trio.Lock()

    async def tree(self) -> Tree:
        """The tree as far as it is known here."""
        tree = self._tree
        return await self.refreshed() if tree is None or tree.stale else tree

    async def refreshed(self) -> Tree:
        """The tree as MEGA has it now."""
        wanted = self._begun + 1
        async with self._catching:
            if self._done < wanted or self._tree is None:
                self._begun += 1
                number = self._begun
                tree = await self._caught_up()
                self._tree, self._done = tree, number
            return self._tree

    async def node(self, key: Key, *, fresh: bool = False) -> Node:
        """The file of a key; KeyNotFoundError where MEGA has none now.

        What is written once is where it was seen; what is replaced, and what is `fresh`, is asked
        for anew.
        """
        if not fresh and not is_replaced(key):
            found = (await self.tree()).find(key)
            if found is not None:
                return found
        found = (await self.refreshed()).find(key)
        if found is None:
            await self.root()
            raise KeyNotFoundError(
                f"backend {self._name}: {key} is not there", backend=self._name, key=key
            )
        return found

    async def root(self) -> str:
        """The handle of the folder itself, made where that is allowed."""
        root = (await self.tree()).root
        if root is None and not self._create:
            path = "/".join(self._folder)
            raise UnavailableError(
                f"backend {self._name}: the folder /{path} is not there in the MEGA account; check "
                "its URL and whose account it is",
                backend=self._name,
            )
        return root if root is not None else await self._made("")

    async def place(self, key: Key, token: str, contents: FileKey, generation: int) -> None:
        """Give what was uploaded its name; what had that before is removed."""
        folder = await self._made(key.rpartition("/")[0])
        attributes = {"n": key.rpartition("/")[2], GENERATION: generation}
        await self._put_node(folder, token, FILE, contents.fold(), contents.key, attributes, key)

    async def generation(self, key: Key) -> int:
        """Of the next value of a key."""
        return 1 + max((n.generation for n in (await self.tree()).all_of(key)), default=0)

    async def remove(self, node: Node, key: Key) -> None:
        """Remove a node for good; none is fine."""
        try:
            await self._api.change({"a": "d", "n": node.handle}, key)
        except RefusedError as refused:
            if refused.code != ABSENT:
                raise self.failure(key, refused) from None
        if self._tree is not None:
            self._tree.remove(node.handle)

    def failure(self, key: str, refused: RefusedError) -> BackendError:
        """Our error for a refusal."""
        return failure(self._name, key, refused)

    async def aclose(self) -> None:
        """End a load under way."""
        await self._loading.aclose()

    # ---- what MEGA has ---------------------------------------------------------------------------

    async def _caught_up(self) -> Tree:
        """One load or catching up; a new load where the old one is of no use any more."""
        for _ in range(TRIES):
            tree, fresh = self._tree, False
            if tree is None or tree.stale:
                tree, fresh = await self._loading.join(self._load)
            if fresh:
                return tree
            whole = False
            with contextlib.suppress(RefusedError):  # that is too long ago, or the session is over
                whole = await self._catch_up(tree)
            if whole:
                return tree
            self._tree = None
        raise self._api.strange("", "what it tells of an account changes all the time")

    async def _catch_up(self, tree: Tree) -> bool:
        """Take in what happened; whether the tree is whole then."""
        for _ in range(ROUNDS):
            answer = await self._happened()
            if "w" in answer:  # where to wait for more
                return not tree.stale
            events, since = answer.get("a", []), answer.get("sn")
            if not isinstance(events, list) or not isinstance(since, str):
                raise self._api.strange("", "it does not tell what happened")
            tree.apply(events)
            self._since = since
            if tree.stale:
                return False
        return False

    async def _happened(self) -> Mapping[str, object]:
        """The next part of what happened; asked again while MEGA is busy."""
        wait = LONGEST_WAIT / 16
        while True:
            try:
                return await self._api.events(self._since)
            except RefusedError as refused:
                if refused.code != AGAIN or wait > LONGEST_WAIT:
                    raise
            await trio.sleep(wait)
            wait *= 2

    async def _load(self) -> Tree:
        """All of the account's nodes, of which those in the folder are kept."""
        try:
            session = await self._api.session()
            answer = await self._api.ask({"a": "f", "c": 1, "r": 1}, most=LARGEST)
        except RefusedError as refused:
            raise self.failure("", refused) from None
        found = answer if isinstance(answer, dict) else {}
        nodes, since = found.get("f"), found.get("sn")
        if not isinstance(nodes, list) or not isinstance(since, str):
            raise self._api.strange("", "it does not tell what the account holds")
        tree = Tree(self._folder, session.master)
        await trio.to_thread.run_sync(tree.load, [n for n in nodes if isinstance(n, Told)])
        self._since, self._tree = since, tree
        return tree

    # ---- changes ---------------------------------------------------------------------------------

    async def _made(self, path: str) -> str:
        """The handle of a folder in the tree, made where it is not there; so are those above it."""
        tree = await self.tree()
        known = tree.folder(path)
        if known is not None:
            return known
        async with self._making:
            above = tree.folder("") or await self._make_root()
            at = ""
            for name in path.split("/") if path else ():
                at = f"{at}/{name}" if at else name
                above = tree.folder(at) or await self._make(above, name)
            return above

    async def _make_root(self) -> str:
        """The folder itself, and those above it."""
        tree = await self.refreshed()
        for level, name in enumerate(self._folder, 1):
            handle = tree.level(level)
            if handle is None:
                if not self._create:
                    return await self.root()
                await self._make(tree.level(level - 1) or "", name)
        return tree.root or await self.root()

    async def _make(self, parent: str, name: str) -> str:
        key = FileKey.fresh().key
        node = await self._put_node(parent, NEW_FOLDER, FOLDER, key, key, {"n": name}, "")
        return node.handle

    async def _put_node(
        self,
        parent: str,
        handle: str,
        kind: int,
        key: bytes,
        seal: bytes,
        attributes: Mapping[str, object],
        about: str,
    ) -> Node:
        """A new node in a folder; `handle` is that of its upload. It is known here at once."""
        master = (await self._api.session()).master
        told = {
            "h": handle,
            "t": kind,
            "a": seal_attributes(seal, attributes),
            "k": encode(wrap(master, key)),
        }
        try:
            answer = await self._api.change({"a": "p", "t": parent, "n": [told]}, about)
        except RefusedError as refused:
            if refused.code == ABSENT and self._tree is not None:
                self._tree.stale = True  # the folder is gone
            raise self.failure(about, refused) from None
        nodes = answer.get("f") if isinstance(answer, dict) else None
        first = nodes[0] if isinstance(nodes, list) and nodes else None
        node = opened(first, master) if isinstance(first, Told) else None
        if not isinstance(first, Told) or node is None:
            raise self._api.strange(about, "it does not tell what it made")
        (await self.tree()).add(first)
        return node
