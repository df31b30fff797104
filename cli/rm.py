"""`modelfloat rm`: remove a repository, a branch or tag of it, or what lies at a path."""

import shlex
import time
from typing import TYPE_CHECKING, Annotated

from .commitflags import Author, Message
from .completion import named
from .options import command
from .output import human_size, iso_time, one_line, plural, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.gc.collected import RemoveReport
    from ..cas.refnames import RefHead
    from ..ids import ObjectId


@command
def rm(
    settings: Settings,
    target: Annotated[
        str,
        named(
            "VENDOR/NAME[@BRANCH|@TAG][/PATH]",
            "What to remove: a repository with all its branches and tags, one of them, or a "
            "file or folder of a branch.",
        ),
    ],
    message: Message = "",
    author: Author = None,
) -> None:
    """Remove a repository, a branch or a tag; of a path, a file or a folder, by a commit.

    Nothing is deleted yet: gc does that, once what was removed is older than its grace period. What
    lay at a path is in the branch's history, and `restore` brings it back.
    """
    from ..cas.refnames import parse_address

    address = parse_address(target)
    grace = settings.number("grace")
    by = settings.text("author", author) if address.path else ""
    report = in_store(
        settings, lambda store: store.remove(address, grace=grace, author=by, message=message)
    )
    say_json(document(report)) if settings.json else say(text(report))


def document(report: "RemoveReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    if report.commit is not None and report.before is not None:
        return {
            "repository": str(report.repo),
            "branch": report.branch,
            "path": report.path,
            "commit": report.commit.hex(),
            "before": report.before.hex(),
            "files": report.files,
            "size": report.size,
        }
    return {
        "repository": str(report.repo),
        "removed": [
            {"kind": head.kind.name.lower(), "name": head.ref, "commit": head.commit.hex()}
            for head in report.refs
        ],
        "frees": report.frees,
        "frees_after": iso_time(_due(report)),
    }


def text(report: "RemoveReport") -> str:
    """What was removed, name by name, and what that frees when."""
    if report.commit is not None and report.before is not None:
        return _commit_text(report, report.commit, report.before)
    lines = [f"removed {_named(report, head)}" for head in report.refs]
    if not report.frees:
        return "\n".join([*lines, "frees nothing: all of it is still needed elsewhere"])
    size = human_size(report.frees)
    if not report.grace:
        return "\n".join([*lines, f"frees {size}; `modelfloat gc` frees it now"])
    date = time.strftime("%Y-%m-%d", time.localtime(_due(report) // 1_000_000_000))
    lines.append(f"frees {size} at gc after {date}; `modelfloat gc --grace 0` frees it now")
    return "\n".join(lines)


def _commit_text(report: "RemoveReport", commit: "ObjectId", before: "ObjectId") -> str:
    """What went from a branch, and how it comes back."""
    extent = f"{plural(report.files, 'file')}, {human_size(report.size)}"
    name, where = one_line(report.path), one_line(f"{report.repo}@{report.branch}")
    back = shlex.quote(one_line(f"{report.repo}@{before.hex()[:12]}/{report.path}"))
    return (
        f"{where}: removed {name} ({extent}), commit {commit.hex()[:12]}\n"
        f"its history has it: `modelfloat restore {back} {report.branch}` brings it back"
    )


def _named(report: "RemoveReport", head: "RefHead") -> str:
    name = one_line(f"{report.repo}@{head.ref}")
    return f"{name} ({head.kind.name.lower()}, commit {head.commit.hex()[:12]})"


def _due(report: "RemoveReport") -> int:
    return report.removed_ns + int(report.grace * 1_000_000_000)
