"""`modelfloat verify`: read every shard, tell what is damaged, repair it if asked."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from .options import command
from .output import human_rate, human_seconds, human_size, one_line, plural, reason, say, say_json
from .progress import progress_of
from .session import in_store
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.reports import ShardProblem, VerifyReport
    from ..cas.store import Store

FILES_SHOWN = 20
"""Lines about lost files, unless --verbose."""


@command
def verify(
    settings: Settings,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write damaged and lost shards anew.")
    ] = False,
) -> int:
    """Check every shard against its hashes.

    Exit status: 0 all is well, 3 damage was found (and repaired, if asked), 4 data is lost.
    """

    async def work(store: "Store") -> "VerifyReport":
        with progress_of(settings, "verify") as progress:
            return await store.verify(repair=repair, progress=progress)

    report = in_store(settings, work)
    if settings.json:
        say_json(document(report))
    else:
        say("\n".join(lines(report, repair=repair, all_files=settings.verbose)))
    return report.exit_status


def document(report: "VerifyReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    import dataclasses

    return {**dataclasses.asdict(report), "exit_status": report.exit_status}


def lines(report: "VerifyReport", *, repair: bool, all_files: bool) -> list[str]:
    """The report for people: what was read, what is wrong by backend, what is to be done."""
    checked = f"{plural(report.packs, 'pack')}, {plural(report.shards, 'shard')}"
    rate = human_rate(report.bytes_read, report.seconds)
    time = human_seconds(report.seconds)
    found = [f"{checked}, {human_size(report.bytes_read)} read in {time} ({rate})"]
    found += [f"{name}: down ({reason(name, why)})" for name, why in report.down.items()]
    found += [f"{name}: was lost, and was made anew" for name in report.replaced]
    found += _problems(report)
    found += [f"pack {pack}: more shards are gone than parity replaces" for pack in report.lost]
    shown = report.lost_files if all_files else report.lost_files[:FILES_SHOWN]
    found += [f"lost: {one_line(name)}" for name in shown]
    if len(report.lost_files) > len(shown):
        found.append(f"lost: {len(report.lost_files) - len(shown)} more; --verbose names them")
    return [*found, _verdict(report, repair=repair)]


def _problems(report: "VerifyReport") -> list[str]:
    """One line for each backend and kind of problem."""
    counts = Counter(map(_kind, report.problems))
    repaired = Counter(_kind(problem) for problem in report.problems if problem.repaired)
    found = []
    for kind, count in counts.items():
        backend, thing, problem = kind
        done = repaired[kind]
        tail = ", all repaired" if done == count else f", {done:,} repaired" if done else ""
        found.append(
            f"{backend or 'no backend'}: {plural(count, thing)}: {one_line(problem)}{tail}"
        )
    return found


def _kind(problem: "ShardProblem") -> tuple[str, str, str]:
    """What problems are counted by: the backend, what it is a problem of, and the problem."""
    thing = "journal record" if problem.pack.startswith("journal record") else "shard"
    return problem.backend, thing, problem.problem


def _verdict(report: "VerifyReport", *, repair: bool) -> str:
    status = report.exit_status
    if status == 4:
        return "DATA IS LOST: add the files named above again, or bring the lost backends back"
    if status == 0:
        return "no damage found"
    open_problems = sum(not problem.repaired for problem in report.problems)
    if not repair:
        return "damage found; `modelfloat verify --repair` writes it anew"
    if open_problems:
        return f"repaired in part: {open_problems:,} could not be written anew"
    return "damage found and repaired"
