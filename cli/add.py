"""`modelfloat add`: put files and folders into a repository."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .addplan import show_plan, tell_lines
from .completion import complete_address
from .options import command
from .output import human_rate, human_seconds, human_size, one_line, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings
from .starting import keep_freed_memory

if TYPE_CHECKING:
    from ..cas.add.request import AddRequest
    from ..cas.refnames import Address
    from ..cas.reports import AddReport
    from ..cas.store import Store
    from ..erasure.scheme import Scheme


@command
def add(
    settings: Settings,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SRC",
            help="Files and folders; of a folder the contents are added, as cp would.",
            show_default=False,
            # The shell cannot know which argument will be the last: offer both kinds for each.
            autocompletion=complete_address,
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="VENDOR/NAME[@BRANCH][/PATH]",
            help="Where they go.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ] = None,
    message: Annotated[str, typer.Option("-m", "--message", help="What this adds.")] = "",
    tag: Annotated[str | None, typer.Option(help="Also name the commit by this tag.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out files, and folders with all that is in them, whose name or path below "
            "SRC matches (`*` matches slashes too); may be given several times.",
        ),
    ] = None,
    sync: Annotated[
        bool,
        typer.Option(
            "--sync",
            help="Make the branch, or PATH, as the folders SRC are: what they do not have is "
            "removed and listed, but nothing that --exclude leaves out or that was skipped.",
        ),
    ] = False,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="Unlink each file below SRC once it was read back from the backends and compared; "
            "of links that leave SRC the link only. Folders that become empty go, SRC stays.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what would be added and removed and whether it fits; do nothing."
        ),
    ] = False,
    no_preflight: Annotated[
        bool,
        typer.Option(
            "--no-preflight",
            help="Begin even where there is not going to be room if everything is new.",
        ),
    ] = False,
    reread: Annotated[
        bool,
        typer.Option(
            "--reread", help="Read every file, also those that are as an earlier add read them."
        ),
    ] = False,
    low_priority: Annotated[
        bool | None,
        typer.Option(
            "--low-priority/--normal-priority",
            help="Leave processor and disks to whoever else wants them (nice 19, I/O class idle).",
            show_default=False,
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            metavar="fast|balanced|small",
            help="What to spend on making new chunks smaller: fast stores them as they are but "
            "for runs of one value, small takes longer; balanced by default.",
            show_default=False,
        ),
    ] = None,
    erasure: Annotated[
        str | None,
        typer.Option(
            metavar="K+M",
            help="The scheme of the repository's new packs, from now on; the store's unless an add "
            "has said otherwise.",
            show_default=False,
        ),
    ] = None,
    min_shards: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="A pack counts as stored when N of its shards are durable, K at least; K+1 by "
            "default. Those that are missing are made later.",
            show_default=False,
        ),
    ] = None,
    sha256: Annotated[
        bool | None,
        typer.Option(
            "--sha256/--no-sha256",
            help="Keep each file's SHA-256, which Hugging Face needs; by default where there are "
            "four cores or more.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where SRC can be had again, should it be lost here: https://… of the file, or of "
            "the folder, or hf://models/ORG/NAME@COMMIT/PATH.",
            show_default=False,
        ),
    ] = None,
    from_hf_cache: Annotated[
        bool,
        typer.Option(
            "--from-hf-cache",
            help="Import every model of the Hugging Face cache in the folder SRC, by default the "
            "one that huggingface_hub uses, as ORG/NAME@COMMIT; there is no VENDOR/NAME then.",
        ),
    ] = False,
) -> int:
    """Add files and folders to a repository."""
    if settings.switch("low_priority", low_priority):
        from .priority import lower_priority

        lower_priority()
    keep_freed_memory()
    given = [*(sources or ()), *([] if target is None else [target])]
    if from_hf_cache:
        from ..cas.codecs.effort import Effort
        from ..hub.importing import Adding
        from .hfcache import import_hf_cache

        plain = not any((message, tag, exclude, sync, move, reread, sha256 is not None, source))
        adding = Adding(
            settings.text("author"),
            Effort.named(settings.text("effort", effort)),
            not no_preflight,
            _scheme(erasure),
            _min_shards(settings, min_shards),
        )
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
        settings.text("author"),
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
    return show_plan(settings, request) if dry_run else _carry_out(settings, request)


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


def _carry_out(settings: Settings, request: "AddRequest") -> int:
    """Add, and tell what came of it; the exit status."""

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
