"""`modelfloat add --dry-run`: what an add would do; and what every add tells on stderr."""

from typing import TYPE_CHECKING

from .output import complain, human_size, one_line, plural, say, say_json
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.add.report import AddPlan
    from ..cas.add.request import AddRequest

SHOWN = 10
"""Lines of one kind, unless --verbose."""


def tell_lines(what: str, lines: list[str], settings: Settings) -> None:
    """Lines on stderr: they are no result."""
    if settings.quiet:
        return
    shown = lines if settings.verbose else lines[:SHOWN]
    for line in shown:
        complain(f"{what}{line}")
    if len(lines) > len(shown):
        complain(f"{what}{len(lines) - len(shown)} more; --verbose names them")


def show_plan(settings: Settings, request: "AddRequest") -> int:
    """Print what the request would do; 1 where it would not fit."""
    plan = in_store(settings, lambda store: store.plan(request))
    tell_lines("skipped ", [*plan.skipped, *plan.left_out], settings)
    tell_lines("warning: ", plan.warnings, settings)
    say_json(document(plan)) if settings.json else say(summary(plan))
    if plan.problem:
        complain(plan.problem)
    return int(bool(plan.problem))


def document(plan: "AddPlan") -> dict[str, object]:
    """The plan as `--json` prints it."""
    return {
        "repository": str(plan.repo),
        "branch": plan.branch,
        "files": plan.files,
        "logical": plan.logical,
        "unchanged": plan.unchanged,
        "unchanged_files": plan.unchanged_files,
        "needed": plan.needed,
        "free": plan.free,
        "index_needed": plan.index_needed,
        "index_free": plan.index_free,
        "fits": not plan.problem,
        "problem": plan.problem,
        "removed": plan.removed,
        "removed_files": plan.removed_files,
        "skipped": plan.skipped,
        "left_out": plan.left_out,
        "warnings": plan.warnings,
    }


def summary(plan: "AddPlan") -> str:
    """What would be done, a line each."""
    lines = [f"would remove {one_line(path)}" for path in plan.removed]
    added = f"would add {plural(plan.files, 'file')}, {human_size(plan.logical)}"
    lines.append(f"{added}, to {plan.repo}@{plan.branch}")
    if plan.unchanged_files:
        files = plural(plan.unchanged_files, "file")
        lines.append(f"{files}, {human_size(plan.unchanged)}, unchanged and stored already")
    free = "" if plan.free is None else f"; {human_size(plan.free)} are free"
    lines.append(f"needs at most about {human_size(plan.needed)} with parity{free}")
    return "\n".join(lines)
