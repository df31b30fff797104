"""`modelfloat add`: put files and folders into a repository."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from .addflags import (
    DryRun,
    EffortName,
    Erasure,
    Exclude,
    FromHfCache,
    LowPriority,
    MinShards,
    Move,
    NoPreflight,
    Reread,
    Sha256,
    Sources,
    SourceUrl,
    Sync,
    Tag,
    Target,
)
from .commitflags import Author, Message
from .options import command
from .output import human_rate, human_seconds, human_size, one_line, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings
from .starting import keep_freed_memory

if TYPE_CHECKING:
    from ..cas.add.report import AddReport
    from ..cas.add.request import AddRequest
    from ..cas.refnames import Address
    from ..cas.store import Store
    from ..erasure.scheme import Scheme
    from ..hub.importing import Adding


@command
def add(
    settings: Settings,
    sources: Sources = None,
    target: Target = None,
    message: Message = "",
    author: Author = None,
    tag: Tag = None,
    exclude: Exclude = None,
    sync: Sync = False,
    move: Move = False,
    dry_run: DryRun = False,
    no_preflight: NoPreflight = False,
    reread: Reread = False,
    low_priority: LowPriority = None,
    effort: EffortName = None,
    erasure: Erasure = None,
    min_shards: MinShards = None,
    sha256: Sha256 = None,
    source: SourceUrl = None,
    from_hf_cache: FromHfCache = False,
) -> int:
    """Add files and folders to a repository."""
    if settings.switch("low_priority", low_priority):
        from .priority import lower_priority

        lower_priority()
    keep_freed_memory()
    given = [*(sources or ()), *([] if target is None else [target])]
    if from_hf_cache:
        from .hfcache import import_hf_cache

        plain = not any((message, tag, exclude, sync, move, reread, sha256 is not None, source))
        adding = _adding(settings, author, effort, erasure, min_shards, preflight=not no_preflight)
        return import_hf_cache(settings, given, adding, plain=plain, dry_run=dry_run)
    if len(given) < 2 or not sources or target is None:
        raise UsageError("add needs SRC and VENDOR/NAME; see modelfloat add --help")
    from ..cas.add.request import AddRequest
    from ..cas.codecs.effort import Effort
    from ..fuse.owndevices import mounted_devices

    request = AddRequest(
        sources,
        _address(target),
        message,
        tag,
        settings.text("author", author),
        exclude or (),
        sync=sync,
        move=move,
        preflight=not no_preflight,
        reread=reread,
        effort=Effort.named(settings.text("effort", effort)),
        erasure=_scheme(erasure),
        min_shards=_min_shards(settings, min_shards),
        keep_out=mounted_devices(settings.store),
        sha256=sha256,
        source_url=source or "",
    )
    return _carry_out(settings, request, dry_run=dry_run)


def _adding(
    settings: Settings,
    author: str | None,
    effort: str | None,
    erasure: str | None,
    min_shards: str | None,
    *,
    preflight: bool,
) -> "Adding":
    """How each model of a cache is added."""
    from ..cas.codecs.effort import Effort
    from ..hub.importing import Adding

    return Adding(
        settings.text("author", author),
        Effort.named(settings.text("effort", effort)),
        preflight,
        _scheme(erasure),
        _min_shards(settings, min_shards),
    )


def _scheme(text: str | None) -> "Scheme | None":
    from ..erasure.scheme import Scheme

    return None if text is None else Scheme.parse(text)


def _min_shards(settings: Settings, text: str | None) -> int | None:
    return int(settings.number("min_shards", text)) or None


def _address(target: str) -> "Address":
    """What the last argument names; who gave a source there is told so."""
    from ..cas.refnames import parse_address

    try:
        return parse_address(target)
    except UsageError as error:
        if not os.path.lexists(target):
            raise
        raise UsageError(f"{error}; the target comes last: SRC … VENDOR/NAME") from None


def _carry_out(settings: Settings, request: "AddRequest", *, dry_run: bool) -> int:
    """Add, and tell what came of it, or what would come; the exit status."""
    from .addplan import show_plan, tell_lines

    if dry_run:
        return show_plan(settings, request)

    async def work(store: "Store") -> "AddReport":
        with progress_of(settings, "add") as progress:
            return await store.carry_out(request, progress)

    report = in_store(settings, work)
    tell_lines("skipped ", [*report.skipped, *report.left_out], settings)
    tell_lines("warning: ", report.warnings, settings)
    # Files that no commit has are errors: they are told however quiet, and the status says so.
    tell_lines("not added: ", report.failed, replace(settings, quiet=False))
    tell_lines("not moved: ", report.kept, replace(settings, quiet=False))
    say_json(document(report)) if settings.json else _print(report, settings)
    return int(bool(report.failed or report.kept))


def document(report: "AddReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    return {
        "repository": str(report.repo),
        "branch": report.branch,
        "commit": report.commit.hex() if report.commit else None,
        "files": report.files,
        "logical": report.logical,
        "new": report.new,
        "deduplicated": report.deduplicated,
        "already": report.already,
        "unchanged": report.unchanged,
        "unchanged_files": report.unchanged_files,
        "encoded": report.encoded,
        "stored": report.stored,
        "saved": report.saved,
        "parity": report.parity,
        "seconds": report.seconds,
        "removed": report.removed,
        "removed_files": report.removed_files,
        "moved": report.moved,
        "moved_bytes": report.moved_bytes,
        "kept": report.kept,
        "survives": report.survives or None,
        "completed": report.completed,
        "skipped": report.skipped,
        "left_out": report.left_out,
        "warnings": report.warnings,
        "failed": report.failed,
    }


def _print(report: "AddReport", settings: Settings) -> None:
    if settings.quiet:
        # What scripts want of it; nothing where nothing changed.
        if report.commit is not None:
            say(report.commit.hex())
        return
    for path in report.removed:
        say(f"removed {one_line(path)}")
    say(summary(report))


def summary(report: "AddReport") -> str:
    """What was added, in two or three lines."""
    name = f"{report.repo}@{report.branch}"
    commit = f"commit {report.commit.hex()[:12]}" if report.commit else "no commit: nothing changed"
    lines = [f"{name}: {plural(report.files, 'file')}, {human_size(report.logical)}, {commit}"]
    if report.new and report.already:
        whole = human_size(report.logical)
        lines.append(f"{human_size(report.already)} of {whole} were already stored")
    if report.new:
        ratio = report.stored / report.logical if report.logical else 0.0
        saved = ""
        if 100 * report.saved >= report.new > 0:
            share = f"{100 * report.saved / report.new:.0f} %"
            saved = f"encoded to {human_size(report.encoded)} ({share} saved), "
        lines.append(
            f"new {human_size(report.new)}, deduplicated {human_size(report.deduplicated)}, {saved}"
            f"stored {human_size(report.stored)} with parity (ratio {ratio:.2f})"
        )
    elif report.logical:
        lines.append(f"nothing new: all {report.logical:,} bytes were already stored")
    if report.moved:
        lines.append(f"moved {plural(report.moved, 'file')}, {human_size(report.moved_bytes)}")
    if report.completed:
        lines.append(f"missing shards made of {plural(report.completed, 'earlier pack')}")
    lines += [report.survives] if report.survives else []
    lines.append(f"{human_seconds(report.seconds)}, {human_rate(report.logical, report.seconds)}")
    return "\n".join(lines)
