"""What an add may not be asked for, noticed before anything is read. Runs in a worker thread."""

import os

from ...errors import ExistsError, UsageError
from ..formats.sourceurls import check_source
from .request import AddRequest


def check_request(request: AddRequest, own: frozenset[str]) -> None:
    """UsageError where the request cannot be meant; `own` are the store's folders, resolved."""
    if not request.sources:
        raise UsageError("there is nothing to add: name a file or a folder")
    for source in request.sources:
        _check_source(source, own, request.keep_out)
    if request.source_url:
        check_source(request.source_url)
        if len(request.sources) > 1:
            raise UsageError("--source is of one file or folder; add the others by themselves")
    if request.sync:
        _check_sync(request)


def _check_source(source: str, own: frozenset[str], keep_out: frozenset[int]) -> None:
    if not source:
        raise UsageError("a source is empty; name a file or a folder, `.` for this one")
    if source == "-":
        raise UsageError(
            "standard input cannot be added; write it to a file first (a file named - is ./-)"
        )
    real = os.path.realpath(source)
    if any(real == folder or real.startswith(f"{folder}/") for folder in own):
        raise UsageError(f"{source} is the store itself, or lies in it; add something else")
    if os.path.lexists(source) and _device(real) in keep_out:
        raise ExistsError(f"{source} is what a mount of this store shows: it is stored already")


def _device(path: str) -> int | None:
    try:
        return os.stat(path).st_dev
    except OSError:
        return None


def _check_sync(request: AddRequest) -> None:
    if request.move:
        raise UsageError(
            "--move and --sync do not go together: repeated after an interruption they would "
            "remove what had been moved; move first"
        )
    for source in request.sources:
        if os.path.lexists(source) and not os.path.isdir(source):
            raise UsageError(
                f"{source} is a file: --sync makes a tree as folders are; leave --sync out"
            )
