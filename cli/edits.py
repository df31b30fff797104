"""What commands that edit a branch say of it."""

from typing import TYPE_CHECKING

from .output import human_size, one_line, plural, say
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.edit.edits import EditReport


def edit_document(report: "EditReport") -> dict[str, object]:
    """An edit as `--json` prints it; `commit` is null where nothing changed."""
    return {
        "repository": str(report.repo),
        "branch": report.branch,
        "path": report.path,
        "commit": None if report.commit is None else report.commit.hex(),
        "before": report.before.hex(),
        "files": report.files,
        "size": report.size,
    }


def tell_edit(done: str, report: "EditReport", settings: Settings) -> None:
    """Print what was `done` to what, in one line; with --quiet the commit alone, if any."""
    if not settings.quiet:
        say(_text(done, report))
    elif report.commit is not None:
        say(report.commit.hex())


def _text(done: str, report: "EditReport") -> str:
    what = one_line(report.path) or "everything"
    where = one_line(f"{report.repo}@{report.branch}")
    if report.commit is None:
        return f"{where}: {what} is so already; no commit"
    extent = f"{plural(report.files, 'file')}, {human_size(report.size)}"
    return f"{where}: {done} {what} ({extent}), commit {report.commit.hex()[:12]}"
