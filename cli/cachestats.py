"""`modelfloat stats --cache`: what is in the disk cache, and how much it may take."""

import dataclasses
import logging
from typing import TYPE_CHECKING, Final

from ..errors import ModelFloatError
from .cacheflags import cache_options
from .failures import leave_out_backends
from .output import columns, human_size, human_time, iso_time, plural, printable
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..cas.cache.folder import CacheFolder
    from ..cas.cache.options import CacheOptions
    from ..cas.cache.survey import Cached

log = logging.getLogger(__name__)

SHOWN: Final = 20
"""Files that are shown to people; `--json` has all."""


def folder_of(settings: Settings) -> "tuple[CacheFolder, CacheOptions]":
    """The folder of the store's disk cache, by its settings, and what is asked of it."""
    from ..cas.cache.folder import CacheFolder
    from ..config import read_config

    options = cache_options(settings)
    return CacheFolder(options.folder, read_config(settings.store).id), options


def document(settings: Settings) -> dict[str, object]:
    """What is in the cache, as `--json` prints it."""
    from ..cas.cache.survey import survey

    folder, options = folder_of(settings)
    found = survey(folder)
    names = _names(settings, found)
    return {
        "folder": folder.path,
        "limit": options.size,
        "used": sum(file.taken for file in found),
        "files": [_file(file, names) for file in found],
    }


def _names(settings: Settings, found: "Sequence[Cached]") -> dict[str, str]:
    """Paths in the store, by digest; none where it cannot be opened now, and none of files gone."""
    if not found:
        return {}
    leave_out_backends()
    wanted = frozenset(bytes.fromhex(file.blake3) for file in found)
    try:
        names = in_store(settings, lambda store: store.names_of(wanted), ask=False)
    except ModelFloatError as error:
        log.debug("cached files have no names: %s", error)
        return {}
    return {digest.hex(): name for digest, name in names.items()}


def _file(file: "Cached", names: "Mapping[str, str]") -> dict[str, object]:
    used = iso_time(int(file.used * 1e9)) if file.used else None
    return {**dataclasses.asdict(file), "used": used, "path": names.get(file.blake3)}


def text(settings: Settings) -> str:
    """The same for people: a line in all, and what was used last."""
    from ..cas.cache.survey import survey

    folder, options = folder_of(settings)
    found = survey(folder)
    used = human_size(sum(file.taken for file in found))
    files = plural(len(found), "file") + _whole(found)
    lines = [f"disk cache {folder.path}", f"{files}; {used} of {human_size(options.size)}"]
    if found:
        rows = _rows(found[:SHOWN], _names(settings, found[:SHOWN]))
        lines += ["", columns([["file", "size", "there", "takes", "used"], *rows], "<>>><")]
    if len(found) > SHOWN:
        lines.append(f"and {len(found) - SHOWN:,} more, used longer ago")
    return "\n".join(lines)


def _whole(found: "list[Cached]") -> str:
    whole = sum(file.sealed for file in found)
    if len(found) == 1:
        return ", whole" if whole else ", not whole"
    return f", {whole:,} of them whole" * bool(found)


def _rows(found: "list[Cached]", names: "Mapping[str, str]") -> list[list[str]]:
    rows = []
    for file in found:
        share = f"{100 * file.there // file.chunks} %" if file.chunks else "?"
        when = human_time(int(file.used * 1e9)) if file.used else "?"
        state = "whole" if file.sealed else share
        size = human_size(file.size) if file.chunks else "?"
        name = printable(names.get(file.blake3, file.blake3[:16]))
        rows.append([name, size, state, human_size(file.taken), when])
    return rows
