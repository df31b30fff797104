"""`modelfloat backend drain`, `rm` and `rebalance`: shards moved between places."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from .options import command
from .output import human_rate, human_size, plural, say, say_json
from .progress import progress_of
from .settings import Settings
from .verifyflags import parse_rate

if TYPE_CHECKING:
    from ..cas.progress import Progress
    from ..cas.verify.movereport import MovePlan
    from ..draining import Moved, MoveRequest

_T = TypeVar("_T")

SHOWN = 20
"""Shards that stay where they are that are named, unless --verbose."""

Name = Annotated[str, typer.Argument(metavar="NAME", help="Which one.", show_default=False)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be moved, and change nothing.")
]
Force = Annotated[bool, typer.Option("--force", help="Go on although less would survive.")]
Limit = Annotated[
    str | None, typer.Option(metavar="RATE", help="Read and write no faster, as 50MB/s.")
]


@command
def backend_drain(
    settings: Settings,
    name: Name,
    dry_run: DryRun = False,
    force: Force = False,
    limit: Limit = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Let new shards go there again, and move nothing.")
    ] = False,
) -> int:
    """Move all shards off a place, which gets no new ones from now on.

    What was interrupted goes on when it is run again. `backend rm` takes the place off the list.
    """
    from ..draining import drain_backend, stop_draining

    if stop:
        _run(partial(stop_draining, settings.store, name, wait=settings.wait))
        _say(settings, [f"backend {name} gets new shards again"])
        return 0
    request = _request(settings, dry_run=dry_run, force=force, limit=limit)
    moved = _carry_out(settings, "drain", partial(drain_backend, settings.store, name, request))
    done = "" if moved.left else f"nothing is left on {name}: `modelfloat backend rm {name}`"
    return _tell(settings, moved, done, dry_run=dry_run)


@command
def backend_rm(
    settings: Settings,
    name: Name,
    dry_run: DryRun = False,
    force: Force = False,
    limit: Limit = None,
) -> int:
    """Move all shards off a place, and take it off the list.

    What else lies there is not deleted; `backend add` brings it back.
    """
    from ..retiring import remove_backend

    request = _request(settings, dry_run=dry_run, force=force, limit=limit)
    moved = _carry_out(settings, "move", partial(remove_backend, settings.store, name, request))
    return _tell(settings, moved, f"backend {name} is off the list", dry_run=dry_run)


@command
def backend_rebalance(settings: Settings, dry_run: DryRun = False, limit: Limit = None) -> int:
    """Move shards to where they would be laid today, as after `backend add`."""
    from ..draining import rebalance

    request = _request(settings, dry_run=dry_run, force=False, limit=limit)
    moved = _carry_out(settings, "move", partial(rebalance, settings.store, request))
    return _tell(settings, moved, "", dry_run=dry_run)


def _request(settings: Settings, *, dry_run: bool, force: bool, limit: str | None) -> "MoveRequest":
    from ..draining import MoveRequest

    rate = None if limit is None else parse_rate(limit)
    return MoveRequest(force, dry_run, rate, settings.wait, partial(_announce, settings))


def _announce(settings: Settings, plan: "MovePlan") -> None:
    _say(settings, plan_lines(plan))


def _carry_out(
    settings: Settings, verb: str, work: "Callable[[Progress], Awaitable[Moved]]"
) -> "Moved":
    with progress_of(settings, verb) as progress:
        return _run(partial(work, progress))


def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    import trio

    return trio.run(work)


def _tell(settings: Settings, moved: "Moved", done: str, *, dry_run: bool) -> int:
    """Print what came of it; the exit status: 1 where a shard stays that was to move."""
    if settings.json:
        say_json(document(moved))
    elif not dry_run:
        _say(settings, report_lines(moved, done, all_shards=settings.verbose))
    return 1 if moved.report.stayed else 0


def _say(settings: Settings, lines: list[str]) -> None:
    if lines and not settings.quiet and not settings.json:
        say("\n".join(lines))


def document(moved: "Moved") -> dict[str, object]:
    """What was planned and done, as `--json` prints it."""
    import dataclasses

    return dataclasses.asdict(moved)


def plan_lines(plan: "MovePlan") -> list[str]:
    """The plan for people: what goes from where to where, and what survives then."""
    found = [
        f"{move.source} -> {move.target}: {plural(move.shards, 'shard')}, {human_size(move.bytes)}"
        for move in plan.moves
    ]
    if plan.stuck:
        found.append(f"{plural(plan.stuck, 'shard')} without a place")
    if not found:
        return ["nothing is to be moved"]
    total = f"{plural(plan.shards, 'shard')}, {human_size(plan.bytes)} in all"
    return [*found, total, f"now: {plan.survives}", f"then: {plan.will_survive}"]


def report_lines(moved: "Moved", done: str, *, all_shards: bool) -> list[str]:
    """The report for people: what was moved, what stays and why, what survives now."""
    report = moved.report
    found = []
    if report.shards:
        rate = human_rate(report.bytes, report.seconds)
        found.append(f"{plural(report.shards, 'shard')} moved, {human_size(report.bytes)} ({rate})")
    if report.remade:
        found.append(f"{report.remade:,} of them made again from others of their packs")
    shown = report.problems if all_shards else report.problems[:SHOWN]
    found += [
        f"shard {one.index} of pack {one.pack} stays on {one.backend}: {one.problem}"
        for one in shown
    ]
    if report.stayed > len(shown):
        found.append(f"{report.stayed - len(shown):,} more stay; --verbose names them")
    return [*found, *[done] * bool(done), moved.survives]
