"""The tensors of a file: from its region table, or where it has none from the parsers.

What a tensor is recognised by are the chunks that it lies in; nothing is read for that. Memory: the
regions of one file that has no table, and a page of one that has.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Final

from blake3 import blake3

from ...errors import DamageError
from ..catalog import Catalog
from ..formats.manifest import Manifest
from ..formats.regiontable import TableRegion, names_of
from ..read.recipe import ChunkSpan, Recipe

MODEL_SUFFIXES: Final = (
    *(b".safetensors", b".gguf", b".onnx", b".npy", b".npz"),
    *(b".pt", b".pth", b".bin", b".ckpt"),
)
"""Names of files that are looked into although they have no region table: an earlier release may
have added them. To look into all that have none would read something of each."""

INSERT: Final = """
INSERT INTO tensor (
    side, file, path, folder, name, element, shape, offset, size, cover, pattern, digest
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


def tensor_rows(
    store: Catalog, side: int, number: int, path: bytes, manifest: Manifest
) -> Iterator[tuple[object, ...]]:
    """The rows of `tensor` for one file of a side, whose row in `file` is `number`.

    In a worker thread. Errors as of reading, where a file without a table is looked into;
    BackendsNeededError where that cannot be.
    """
    folder = path.rpartition(b"/")[0]
    regions = regions_of(store, path, manifest)
    for region, spans in covered(store.objects.recipe(manifest), regions):
        what = region.element, json.dumps(region.shape), region.offset, region.size
        found = marks(region, spans)
        for name in names_of(region):
            yield side, number, path, folder, name.encode("utf-8", "surrogatepass"), *what, *found


def regions_of(store: Catalog, path: bytes, manifest: Manifest) -> Iterable[TableRegion]:
    """A file's regions, in file order; none where its structure is not known."""
    table = store.objects.regions(manifest)
    if table or not path.lower().endswith(MODEL_SUFFIXES):
        return table
    file = store.open_manifest(manifest)
    try:
        from .lookinto import look_into  # here, because files that are added now have a table

        return look_into(path, file)
    finally:
        file.close()


def covered(
    recipe: Recipe, regions: Iterable[TableRegion]
) -> Iterator[tuple[TableRegion, list[ChunkSpan]]]:
    """Every region that has a name, and the chunks that hold it."""
    rest = recipe.all()
    held: list[ChunkSpan] = []
    for region in regions:
        end = region.offset + region.size
        # What ends before this region begins is of no use to those that follow either.
        held = [span for span in held if span.offset + span.raw > region.offset]
        while not held or held[-1].offset + held[-1].raw < end:
            span = next(rest)
            if span.offset + span.raw > region.offset:
                held.append(span)
        if region.name:
            yield region, held


def marks(region: TableRegion, spans: list[ChunkSpan]) -> tuple[bytes, bytes | None, bytes | None]:
    """`cover`, `pattern` and `digest` of a tensor that lies in these chunks.

    Equal covers are equal bytes. Of equal patterns, different covers are different bytes. The
    digest is known where one chunk is the tensor: it is the chunk's id.
    """
    skip = region.offset - spans[0].offset
    cover = blake3(b"%d " % skip)
    for span in spans:
        cover.update(span.id)
    if skip or spans[-1].offset + spans[-1].raw != region.offset + region.size:
        return cover.digest(), None, None
    pattern = blake3(b" ".join(b"%d" % span.raw for span in spans)).digest()
    return cover.digest(), pattern, bytes(spans[0].id) if len(spans) == 1 else None


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Put a file's name before what is said of reading it."""
    try:
        yield
    except DamageError as error:
        raise type(error)(f"{name}: {error}") from error
