"""`modelfloat diff`: what differs between two revisions, repositories, folders or files."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

from ..errors import UsageError
from .completion import named
from .difftensors import SIGNS, once, tensor_rows
from .options import command
from .output import (
    columns,
    human_size,
    say,
    say_columns,
    say_json_parts,
    shown,
    text_of,
)
from .progress import progress_of
from .session import catalog_of, in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.diff.comparison import Difference
    from ..cas.diff.difference import FileChange, FileSide, Summary, Tensor
    from ..cas.refnames import Address
    from ..cas.store import Store


@command
def diff(
    settings: Settings,
    old: Annotated[
        str,
        named("A", "VENDOR/NAME[@REV][/PATH]: what is compared with B."),
    ],
    new: Annotated[
        str,
        named("B", "VENDOR/NAME[@REV][/PATH]: what A has become."),
    ],
) -> None:
    """Show which files, and in them which tensors, differ between A and B."""
    addresses = _address(old), _address(new)
    if not _tell_listed(settings, old, new, addresses):
        in_store(settings, lambda store: _diff(store, settings, old, new, addresses))


def _tell_listed(
    settings: Settings, old: str, new: str, addresses: "tuple[Address, Address]"
) -> bool:
    """Tell what differs where the index alone says so; whether it does."""
    from ..cas.catalog import BackendsNeededError
    from ..cas.diff.comparison import compare_listed

    with catalog_of(settings) as catalog:
        if catalog is None:
            return False
        try:
            difference = compare_listed(catalog, *addresses)
        except BackendsNeededError:
            return False
        _show(difference, settings, old, new)
    return True


def _address(text: str) -> "Address":
    """What the user typed; of a file on disk it is said that it must be added first."""
    from ..cas.refnames import parse_address

    try:
        return parse_address(text)
    except UsageError as error:
        if os.path.lexists(text):
            raise UsageError(
                f"{text} is on this disk: diff compares what is stored; add it first"
            ) from error
        raise


async def _diff(
    store: "Store", settings: Settings, old: str, new: str, addresses: "tuple[Address, Address]"
) -> None:
    from ..cas.diff.diff import compare

    with progress_of(settings, "diff") as progress:
        difference = await compare(store, *addresses, progress)
    _show(difference, settings, old, new)


def _show(difference: "Difference", settings: Settings, old: str, new: str) -> None:
    with difference:
        if settings.json:
            say_json_parts(_document(old, new, difference))
        else:
            _tell(difference, verbose=settings.verbose)


# For people


def _tell(difference: "Difference", *, verbose: bool) -> None:
    for file in difference.files():
        say(_file(file))
        if file.unknown:
            say(f"  no tensors known in {_SIDES[file.unknown]}")
        if file.kind in ("changed", "added", "removed"):
            say_columns(tensor_rows(difference.tensors(file), verbose=verbose), "<<><")
    say(summary_text(difference.summary))


def _file(file: "FileChange") -> str:
    sign, old, new = SIGNS.get(file.kind, "~"), file.old, file.new
    if old is None or new is None:
        return f"{sign} {shown(file.path)}  {_content(old or new)}"
    if file.kind == "mode":
        return f"{sign} {shown(new.path)}  {old.mode:04o} → {new.mode:04o}"
    name = shown(new.path)
    if file.kind == "renamed":
        name = f"{shown(old.path)} → {name}"
    contents = once((_content(old), _content(new)))
    return f"{sign} {name}  {contents}" + _modes(old, new)


def _modes(old: "FileSide", new: "FileSide") -> str:
    """What became of a file's permission bits, where it is a file and they are others."""
    from ..cas.formats.tree import EntryType

    files = old.type is new.type is EntryType.FILE
    modes = once(f"{side.mode & 0o7777:04o}" for side in (old, new))
    return f"  {modes}" * (files and old.mode != new.mode)


def _content(side: "FileSide | None") -> str:
    """A file's size, or where a link points."""
    from ..cas.formats.tree import EntryType

    if side is None:
        return ""
    if side.type is EntryType.SYMLINK:
        return f"link to {shown(side.content)}"
    return human_size(side.size)


def summary_text(summary: "Summary") -> str:
    """The last lines: how many files and tensors, and what of B is in A already."""
    files = ", ".join(f"{count:,} {_KINDS.get(k, k)}" for k, count in summary.files.items())
    rows = [["files", files or "none differs"]]
    if summary.tensors or summary.same.count:
        said = [f"{each.count:,} {kind}" for kind, each in summary.tensors.items()]
        same = [f"{summary.same.count:,} as they were"] * bool(summary.same.count)
        rows.append(["tensors", ", ".join([*said, *same])])
        rows.append(["", _tensor_bytes(summary)])
    known, fresh = human_size(summary.known), human_size(summary.fresh)
    rows.append(["bytes", f"{human_size(summary.new_size)} in B, {known} of it in A; {fresh} new"])
    if summary.fresh and _has_no_new_tensors(summary):
        rows.append(["", "no tensor has new bytes: new are headers, other files, and chunks that"])
        rows.append(["", "small tensors share with their neighbours"])
    return columns(rows, "<<")


def _has_no_new_tensors(summary: "Summary") -> bool:
    """Whether there are tensors, and all bytes of them were in A, in other chunks perhaps."""
    known = bool(summary.same.count or summary.tensors)
    return known and not summary.changed_bytes and "added" not in summary.tensors


def _tensor_bytes(summary: "Summary") -> str:
    """Bytes of tensors that were changed, added and removed, each apart."""
    sizes = {kind: each.bytes for kind, each in summary.tensors.items()}
    said = [f"{human_size(summary.changed_bytes)} changed"]
    said += [f"{human_size(sizes[k])} {k}" for k in ("added", "removed") if k in sizes]
    return ", ".join(said)


_KINDS: Final = {"mode": "with another mode"}


_SIDES: Final = {"old": "A", "new": "B"}


# For programs


def _document(old: str, new: str, difference: "Difference") -> Iterator[tuple[str, object]]:
    yield "old", old
    yield "new", new
    yield "files", map(_file_document, difference.files())
    yield "tensors", _tensor_documents(difference)
    yield "summary", summary_document(difference.summary)


def _file_document(file: "FileChange") -> dict[str, object]:
    sides = {"old": _side_document(file.old), "new": _side_document(file.new)}
    return {"change": file.kind, "path": text_of(file.path), **sides, "unknown": file.unknown}


def _side_document(side: "FileSide | None") -> dict[str, object] | None:
    from ..cas.formats.tree import EntryType

    if side is None:
        return None
    link = side.type is EntryType.SYMLINK
    content = {"target": text_of(side.content)} if link else {"blake3": side.content.hex()}
    return {
        "path": text_of(side.path),
        "type": side.type.name.lower(),
        "mode": f"{side.mode & 0o7777:04o}",
        "size": side.size,
        **content,
    }


def _tensor_documents(difference: "Difference") -> Iterator[dict[str, object]]:
    for file in difference.files():
        for change in difference.tensors(file):
            yield {
                "change": change.kind,
                "same_bytes": change.same_bytes,
                "old": _tensor_document(change.old),
                "new": _tensor_document(change.new),
            }


def _tensor_document(tensor: "Tensor | None") -> dict[str, object] | None:
    if tensor is None:
        return None
    return {
        "file": text_of(tensor.file),
        "name": tensor.name,
        "type": tensor.type,
        "shape": list(tensor.shape),
        "bytes": tensor.size,
    }


def summary_document(summary: "Summary") -> dict[str, object]:
    """The figures as `--json` prints them; every kind is there, with 0 where there is none."""
    from ..cas.diff.difference import FILE_KINDS, TENSOR_KINDS, Count

    counted: dict[str, Count] = {k: summary.tensors.get(k, Count(0, 0)) for k in TENSOR_KINDS}
    counted["same"] = summary.same
    return {
        "files": {kind: summary.files.get(kind, 0) for kind in FILE_KINDS},
        "tensors": {k: {"count": c.count, "bytes": c.bytes} for k, c in counted.items()},
        "changed_bytes": summary.changed_bytes,
        "old_size": summary.old_size,
        "new_size": summary.new_size,
        "known": summary.known,
        "fresh": summary.fresh,
    }
