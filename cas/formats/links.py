"""What an object names: the objects that whoever needs it needs as well."""

from ...ids import ObjectId
from .commit import decode_commit
from .manifest import decode_manifest
from .objects import ObjectType, object_type
from .tree import EntryType, Tree, decode_tree_index


def objects_of(data: bytes) -> list[ObjectId]:
    """The objects that an object names, itself left out; ChunkDamagedError if it is none.

    The chunks of files that manifests and their pages name are not among them.
    """
    match object_type(data):
        case ObjectType.COMMIT:
            commit = decode_commit(data)
            return [commit.tree, *commit.parents]
        case ObjectType.TREE_INDEX:
            return [tree.id for tree in decode_tree_index(data)]
        case ObjectType.TREE:
            tree = Tree(data)
            entries = (tree[index] for index in range(len(tree)))
            return [e.object for e in entries if e.type is not EntryType.SYMLINK]
        case ObjectType.MANIFEST:
            return list(decode_manifest(data).objects)
        case ObjectType.MANIFEST_PAGE | ObjectType.REGION_PAGE:
            return []
