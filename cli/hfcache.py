"""`modelfloat add --from-hf-cache`: the models of a Hugging Face cache."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from .addplan import tell_lines
from .output import human_size, plural, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings, hf_cache

if TYPE_CHECKING:
    from ..cas.store import Store
    from ..hub.importing import Adding, ImportReport


def import_hf_cache(
    settings: Settings,
    given: list[str],
    adding: "Adding",
    *,
    plain: bool,
    dry_run: bool,
) -> int:
    """Import the cache in the folder that was given, if one was; the exit status.

    `plain` says that no option was given that is about other adds.
    """
    if dry_run:
        raise UsageError(
            "--from-hf-cache has no --dry-run: what is stored already is neither read nor stored "
            "again, so importing can be interrupted and repeated; leave --dry-run out"
        )
    if len(given) > 1 or not plain:
        raise UsageError(
            "--from-hf-cache takes the folder of one cache, or none, and no VENDOR/NAME or option "
            "about what is added: it adds every model under its own name"
        )
    path = hf_cache(given[0] if given else None)

    async def work(store: "Store") -> "ImportReport":
        from ..hub.importing import import_cache

        with progress_of(settings, "add") as progress:
            return await import_cache(store, path, adding, progress)

    report = in_store(settings, work)
    _tell(report, settings)
    if settings.json:
        say_json(document(report, path))
    elif not settings.quiet:
        _print(report, path)
    return report.exit_status


def document(report: "ImportReport", path: str) -> dict[str, object]:
    """The report as `--json` prints it."""
    from .add import document as of_one

    return {
        "cache": path,
        "added": [of_one(each) for each in report.added],
        "skipped": report.skipped,
        "failed": report.failed,
    }


def _tell(report: "ImportReport", settings: Settings) -> None:
    lines = [line for each in report.added for line in each.skipped]
    tell_lines("skipped ", [*report.skipped, *lines], settings)
    tell_lines("warning: ", [line for each in report.added for line in each.warnings], settings)
    tell_lines("not imported: ", report.failed, replace(settings, quiet=False))


def _print(report: "ImportReport", path: str) -> None:
    for each in report.added:
        if each.commit is not None:
            files = f"{plural(each.files, 'file')}, {human_size(each.logical)}"
            say(f"{each.repo}@{each.branch}: {files}, new {human_size(each.new)}")
    changed = sum(each.commit is not None for each in report.added)
    same = len(report.added) - changed
    was = "was" if same == 1 else "were"
    say(f"{path}: {plural(changed, 'branch')} imported, {same:,} {was} there already")
