"""What `modelfloat verify` found, for programs and for people."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from .output import human_rate, human_seconds, human_size, one_line, plural, printable, reason

if TYPE_CHECKING:
    from ..cas.verify.report import Problem, VerifyReport

FILES_SHOWN: Final = 20
"""Lines about lost files, unless --verbose."""


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
    if report.bytes_written:
        found.append(f"{human_size(report.bytes_written)} written anew")
    if report.unread:
        were, them = ("was", "it") if report.unread == 1 else ("were", "them")
        spares = plural(report.unread, "spare shard")
        found.append(f"{spares} {were} not read; `modelfloat verify` reads {them}")
    if report.locked:
        found.append("the store's key was not given: shards were checked, not what is in them")
    found += [_down(report, name, why) for name, why in report.down.items()]
    found += [f"{name}: was lost, and was made anew" for name in report.replaced]
    found += _problems(report)
    if report.unlisted:
        found.append(
            f"{report.unlisted:,} more problems, {report.unlisted_repaired:,} of them repaired"
        )
    if report.rescued:
        found.append(f"{plural(report.rescued, 'chunk')} of lost packs stored again in new ones")
    if report.refetched:
        chunks = plural(report.refetched, "chunk")
        found.append(f"{chunks} had again from where the files came from, and stored")
    found += sorted(
        f"pack {pack}: more shards are gone than parity replaces" for pack in report.lost
    )
    found += _unneeded(report)
    named = report.lost_files if all_files else report.lost_files[:FILES_SHOWN]
    found += [f"lost: {printable(name)}" for name in named]
    hidden = len(report.lost_files) - len(named)
    if hidden:
        found.append(f"lost: {hidden:,} more; --verbose names them")
    if report.unlisted_files:
        found.append(f"lost: {report.unlisted_files:,} more, too many to be named")
    return [*found, _verdict(report, repair=repair)]


def _unneeded(report: "VerifyReport") -> list[str]:
    count = len(report.unneeded)
    if not count:
        return []
    what, its = ("pack is", "it") if count == 1 else ("packs are", "them")
    return [
        f"{count:,} {what} beyond repair and nothing needs {its}: `modelfloat gc` removes {its}"
    ]


def _problems(report: "VerifyReport") -> list[str]:
    """One line for each backend and kind of problem."""
    counts = Counter(_kind(problem) for problem in report.problems if not _told(report, problem))
    repaired = Counter(_kind(problem) for problem in report.problems if problem.repaired)
    found = []
    for kind, count in counts.items():
        backend, thing, problem = kind
        done = repaired[kind]
        tail = ", all repaired" if done == count else f", {done:,} repaired" if done else ""
        what = thing if thing == "index" else f"{backend or 'no backend'}: {plural(count, thing)}"
        found.append(f"{what}: {one_line(problem)}{tail}")
    return sorted(found)


def _down(report: "VerifyReport", name: str, why: str) -> str:
    """One line for a backend that is down: why, and how much nobody could look at."""
    unseen = (p.kind for p in report.problems if _told(report, p) and p.backend == name)
    counted = [plural(count, kind) for kind, count in Counter(unseen).items()]
    held = f", with {' and '.join(counted)}" if counted else ""
    return f"{name}: down{held} ({reason(name, why)})"


def _told(report: "VerifyReport", problem: "Problem") -> bool:
    """Whether a problem is only that its backend is down, which has a line of its own."""
    return problem.backend in report.down and problem.unseen


def _kind(problem: "Problem") -> tuple[str, str, str]:
    """What problems are counted by: the backend, what it is a problem of, and the problem."""
    return problem.backend, problem.kind, problem.problem


def _verdict(report: "VerifyReport", *, repair: bool) -> str:
    status = report.exit_status
    if status == 4:
        names = ", ".join(sorted(report.down))
        back = f"bring {names} back and run `modelfloat verify --repair`, or " if names else ""
        if report.elsewhere:
            back += "have it again from where it came from (`modelfloat verify --repair`), or "
        return f"DATA IS LOST: {back}add the files named above again with `modelfloat add`"
    if status == 0:
        return "no damage found"
    if report.unseen_only and status != 4:
        return _unseen(report, repair=repair)
    open_problems = sum(not problem.repaired for problem in report.problems)
    open_problems += report.unlisted - report.unlisted_repaired
    if not repair:
        return "damage found; `modelfloat verify --repair` writes it anew"
    if open_problems:
        return f"repaired in part: {open_problems:,} could not be written anew"
    return "damage found and repaired"


def _unseen(report: "VerifyReport", *, repair: bool) -> str:
    """Where nothing is known to be wrong but that some could not be looked at."""
    names = ", ".join(sorted(report.down))
    if report.exit_status == 1:
        return f"no damage found in what could be read: see why {names} refuses us, verify again"
    anew = "" if repair else ", or have it made anew with `modelfloat verify --repair`"
    return f"no damage found in what could be read: bring {names} back and verify again{anew}"
