"""The files that come after one in its set, found where it stands."""

from ..cas.formats.manifest import Manifest
from ..cas.formats.tree import EntryType
from ..cas.objects import Objects
from ..cas.read.sets import following
from .nodes import FileNode


def manifests_after(objects: Objects, node: FileNode) -> list[Manifest]:
    """The manifests of the files of the same set behind `node`, in order. In a worker thread."""
    directory = objects.directory(node.directory.tree)
    files = {e.name: e.object for e in directory.entries() if e.type is EntryType.FILE}
    return [objects.manifest(files[name]) for name in following(node.name, files)]
