"""`DIR/.hf`: the store laid out as the Hugging Face cache, for programs that load models by name.

    models--VENDOR--NAME/refs/REF               the name of the commit that a branch or tag is at
    models--VENDOR--NAME/snapshots/COMMIT/…     that commit's files

So `HF_HUB_CACHE=DIR/.hf HF_HUB_OFFLINE=1` is all that such a program needs. Layout:
https://huggingface.co/docs/huggingface_hub/guides/manage-cache. There a snapshot's files are links
into a folder `blobs`, or the files themselves where links cannot be; here they are the files.
"""

import logging
from collections.abc import Iterator
from typing import Final

from ..cas.formats.journal import RefKind
from ..cas.objects import Objects
from ..cas.refnames import RefHead, RepoName
from ..cas.refs import Refs
from ..errors import ModelFloatError, NotFoundError
from ..ids import ObjectId
from .hubnames import CommitNames, folder_of, is_commit, repository_of
from .listings import LASTING, MOVING, Found
from .nodes import DirectoryNode, HubNode, TextNode

HUB: Final = HubNode((".hf",))
"""The folder that programs are pointed at."""
_REFS: Final = "refs"
_SNAPSHOTS: Final = "snapshots"

log = logging.getLogger(__name__)

Entries = Iterator[tuple[str, Found]]


class HubTree:
    """Names and listings below `.hf`, down to the root of each commit."""

    def __init__(self, refs: Refs, objects: Objects) -> None:
        self._refs = refs
        self._objects = objects

    def lookup(self, parent: HubNode, name: str) -> Found | None:
        """What `name` means in the folder `parent`; the errors of `Tree.lookup`."""
        if parent.repo is None:
            return self._repository(name)
        if len(parent.path) == len(HUB.path) + 1:
            return dict(_parts(parent)).get(name)
        if parent.path[2] == _SNAPSHOTS:
            return self._snapshot(parent, parent.repo, name)
        return self._ref(parent, parent.repo, name)

    def entries(self, node: HubNode) -> list[tuple[bytes, Found]]:
        """What stands in the folder `node` now, sorted by name."""
        return sorted((name.encode(), found) for name, found in self._entries(node))

    def _entries(self, node: HubNode) -> Entries:
        if node.repo is None:
            return self._repositories()
        if len(node.path) == len(HUB.path) + 1:
            return _parts(node)
        if node.path[2] == _SNAPSHOTS:
            return self._recent(node, node.repo)
        return self._listed_refs(node, node.repo)

    def _repository(self, folder: str) -> Found | None:
        repo = repository_of(folder)
        known = repo is not None and self._refs.heads(repo)
        return Found(HubNode((*HUB.path, folder), repo), MOVING) if known else None

    def _repositories(self) -> Entries:
        for repo in self._refs.repositories():
            folder = folder_of(repo)
            if folder is not None:
                yield folder, Found(HubNode((*HUB.path, folder), repo), MOVING)

    def _snapshot(self, parent: HubNode, repo: RepoName, name: str) -> Found | None:
        try:
            commit = self._refs.resolve(repo, name) if is_commit(name) else None
        except NotFoundError:
            return None
        return None if commit is None else self._commit(parent, name, commit)

    def _recent(self, node: HubNode, repo: RepoName) -> Entries:
        names = CommitNames(self._objects, self._refs.heads(repo))
        for name, commit in names.recent().items():
            yield name, self._commit(node, name, commit)

    def _commit(self, parent: HubNode, name: str, id_: ObjectId) -> Found:
        commit = self._objects.commit(id_)
        place = f"{parent.label}/{name}"
        node = DirectoryNode(place, id_, (), commit.tree, commit.time_ns)
        # A name of the Hub's is a branch, which moves when more files of it are imported.
        return Found(node, LASTING if id_.hex().startswith(name) else MOVING)

    def _ref(self, parent: HubNode, repo: RepoName, name: str) -> Found | None:
        """A ref of that name, or a folder of those whose names go on behind a slash."""
        heads = self._refs.heads(repo)
        ref = _prefix(parent) + name
        inside = any(each.ref.startswith(f"{ref}/") for each in heads)
        names = CommitNames(self._objects, heads)
        return self._found(parent, repo, name, names, inside=inside)

    def _found(
        self, parent: HubNode, repo: RepoName, name: str, names: CommitNames, *, inside: bool
    ) -> Found | None:
        """`inside`: there are refs whose names go on behind a slash."""
        head = self._head(repo, _prefix(parent) + name)
        if head is not None:
            text = names.of(head.commit).encode()
            return Found(TextNode(text, head.time_ns, f"{parent.label}/{name}"), MOVING)
        return Found(HubNode((*parent.path, name), repo), MOVING) if inside else None

    def _head(self, repo: RepoName, ref: str) -> RefHead | None:
        """The head of a branch or tag. A branch named by a commit is that commit, and no ref."""
        if is_commit(ref):
            return None
        heads = (self._refs.head(repo, kind, ref) for kind in RefKind)
        return next((head for head in heads if head is not None), None)

    def _listed_refs(self, node: HubNode, repo: RepoName) -> Entries:
        """All but those of which it cannot be told where they are."""
        prefix, heads = _prefix(node), self._refs.heads(repo)
        names = CommitNames(self._objects, heads)  # once for all: it reads every imported commit
        listed: dict[str, bool] = {}
        for ref in (head.ref for head in heads if head.ref.startswith(prefix)):
            name, slash, _ = ref.removeprefix(prefix).partition("/")
            listed[name] = listed.get(name, False) or bool(slash)
        for name, inside in listed.items():
            try:
                found = self._found(node, repo, name, names, inside=inside)
            except ModelFloatError as error:
                log.warning("%s/%s is not listed: %s", node.label, name, error)
                continue
            if found is not None:
                yield name, found


def _parts(node: HubNode) -> Entries:
    for part in (_REFS, _SNAPSHOTS):
        yield part, Found(HubNode((*node.path, part), node.repo), LASTING)


def _prefix(node: HubNode) -> str:
    """What the refs below the folder `node` begin with."""
    return "".join(f"{part}/" for part in node.path[3:])
