"""Getting out: which trees go where, whether there is room, and then all of them written.

One address gives one target. All of a store gives one for every branch and tag: the default branch
of a repository as `vendor/name`, every other ref as `vendor/name@REF`, as in a mount. Where several
heads would have one name, each is called after its commit instead.
"""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from ...errors import ModelFloatError, UsageError, one_failure
from ...ids import ObjectId, is_name
from ..addressed import look_up
from ..formats.journal import RefKind
from ..formats.tree import Entry, EntryType
from ..missing import no_folder
from ..objects import Objects
from ..progress import Progress
from ..refnames import DEFAULT_BRANCH, Address, RefHead
from ..treesize import bytes_of, size_of
from .extract import Extractor
from .filling import is_hole
from .landing import named
from .report import GetReport

if TYPE_CHECKING:
    from ..store import Store


@dataclass(frozen=True, slots=True)
class Target:
    """What goes where: a directory's tree to the folder `path`; or, with `entry`, one file or link
    under its `name` into that folder."""

    path: str
    tree: ObjectId | None = None
    entry: Entry | None = None
    name: bytes = b""


async def get(
    store: "Store",
    address: Address | None,
    dest: str,
    *,
    verify: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> GetReport:
    """Write what `address` names to `dest`; every branch and tag of the store where it is None.

    What is there already is kept, so an interrupted get can be repeated; what is there and differs
    is replaced with `force` only. `verify` makes every file durable, reads it back and compares it
    with its manifest, those that were there already too. A file that cannot be had is noted in
    the report, and the others are written.

    NotFoundError, UsageError or ConflictError where the address names nothing; ExistsError where
    something is in the way; ModelFloatError where there is no room or `dest` cannot be written.
    """
    started = time.monotonic()
    report = GetReport()
    progress = progress or Progress()
    targets = await trio.to_thread.run_sync(_targets, store, address, dest, report)
    progress.total += await trio.to_thread.run_sync(_check_room, store.objects, targets, dest)
    extractor = Extractor(store.objects, store.reader, report, progress, force=force, verify=verify)
    with one_failure():
        for target in targets:
            await _write(extractor, target)
    report.seconds = time.monotonic() - started
    return report


async def _write(extractor: Extractor, target: Target) -> None:
    if target.tree is not None:
        await extractor.directory(target.tree, target.path)
    elif target.entry is not None:
        await extractor.single(target.entry, target.path, target.name)


# Which


def _targets(store: "Store", address: Address | None, dest: str, report: GetReport) -> list[Target]:
    if address is None:
        _refuse(store, report)
        return list(_all(store, dest, report))
    found = look_up(store.objects, store.refs, address)
    if found.entry is None or found.directory is not None:
        return [Target(dest, found.directory)]
    parent, name = _place(dest, found.entry.name)
    return [Target(parent, None, found.entry, name)]


def _place(dest: str, name: bytes) -> tuple[str, bytes]:
    """The folder and the name that one file gets."""
    if dest.endswith("/") or os.path.isdir(dest):
        return dest, name
    parent, base = os.path.split(dest)
    if base in ("", ".", ".."):
        raise UsageError(f"{dest!r} cannot be the name of a file")
    if parent and not os.path.isdir(parent):
        raise no_folder(parent)
    return parent or ".", os.fsencode(base)


def _refuse(store: "Store", report: GetReport) -> None:
    """Have the report tell of refs that are not shown where signatures are required."""
    for refusal in store.refs.refusals():
        report.refused.append(str(refusal))
        report.exit_status = max(report.exit_status, refusal.exit_status)


def _all(store: "Store", dest: str, report: GetReport) -> Iterator[Target]:
    for repo in store.refs.repositories():
        if not (is_name(repo.vendor) and is_name(repo.name)):
            report.warnings.append(f"{repo!s:.200} is no name that a folder may have: left out")
            continue
        taken: dict[str, ObjectId] = {}
        # A branch has its name before a tag of the same name.
        for head in sorted(store.refs.heads(repo), key=lambda head: (head.kind, head.ref)):
            name = ref_folder(head)
            if name in taken:
                if taken[name] == head.commit:
                    continue
                report.warnings.append(
                    f"{repo}@{head.ref} means several commits: {head.commit.hex()[:12]} is written "
                    "under its own name"
                )
                name = f"{head.repo.name}@{head.commit.hex()[:12]}"
            taken[name] = head.commit
            tree = store.objects.commit(head.commit).tree
            yield Target(os.path.join(dest, repo.vendor, name), tree)


def ref_folder(head: RefHead) -> str:
    """What the folder of a ref is called in its vendor's folder, as in a mount."""
    if head.kind is RefKind.BRANCH and head.ref == DEFAULT_BRANCH:
        return head.repo.name
    return f"{head.repo.name}@{head.ref.replace('/', '%2F')}"


# Room


def _check_room(objects: Objects, targets: list[Target], dest: str) -> int:
    """Bytes that all targets hold; ModelFloatError where they find no room.

    What is there already and what stays a hole is looked for only where all of it finds none.
    """
    total = sum(_size(objects, target) for target in targets)
    free = _free(dest)
    if total > free:
        needed = sum(_needed(objects, target) for target in targets)
        if needed > free:
            raise ModelFloatError(
                f"{dest}: {needed:,} bytes are to be written and {free:,} are free; free some "
                "space, or name another DEST"
            )
    return total


def _size(objects: Objects, target: Target) -> int:
    if target.tree is None:
        return bytes_of(target.entry)
    return size_of(objects, target.tree)


def _free(dest: str) -> int:
    """Bytes free for us where `dest` is or would be."""
    path = os.path.abspath(dest)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    with named(path):
        status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def _needed(objects: Objects, target: Target) -> int:
    if target.entry is not None:
        return _missing(objects, target.entry, os.path.join(os.fsencode(target.path), target.name))
    if target.tree is None:
        return 0
    needed = 0
    queue = [(target.tree, os.fsencode(target.path))]
    while queue:
        tree, path = queue.pop()
        for entry in objects.directory(tree).entries():
            inner = os.path.join(path, entry.name)
            if entry.type is EntryType.DIRECTORY:
                queue.append((entry.object, inner))
            else:
                needed += _missing(objects, entry, inner)
    return needed


def _missing(objects: Objects, entry: Entry, path: bytes) -> int:
    """Bytes that writing an entry takes from what is free."""
    if entry.type is not EntryType.FILE:
        return 0
    try:
        there = os.lstat(path)
    except OSError:
        there = None
    if there is not None and stat.S_ISREG(there.st_mode) and there.st_size == entry.size:
        return 0
    recipe = objects.recipe(objects.manifest(entry.object))
    return sum(span.raw for span in recipe.all() if not is_hole(span, objects.ids))
