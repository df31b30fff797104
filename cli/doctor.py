"""`modelfloat doctor`: what is wrong with this machine and this store, and how to mend it."""

from typing import TYPE_CHECKING, Final

from .checks import Finding, Level
from .options import command
from .output import human_time, iso_time, one_line, plural, say, say_json
from .settings import Settings

if TYPE_CHECKING:
    from ..fuse.control import MountState
    from ..fuse.mountstate import ReadError

    Failed = tuple[str, ReadError]
    """A read that failed, and the folder of its mount."""

DAMAGED: Final = 3
FAILED: Final = 1
_MORE: Final = ", `modelfloat doctor` says more"
"""What messages say to those who do not read them here."""


@command
def doctor(settings: Settings) -> int:
    """Check this machine, the store and its backends; say how to mend what is wrong.

    Nothing that is stored is changed. Exit status: 0 where nothing is a problem, 1 where
    something is, 3 where damage to stored bytes is known.
    """
    machine, store, errors = _examine(settings)
    status = exit_status([*machine, *store])
    if settings.json:
        groups = {"machine": machine, "store": store}
        findings = [_document(g, finding) for g, found in groups.items() for finding in found]
        say_json(
            {
                "findings": findings,
                "read_errors": [_read_error(*each) for each in errors],
                "exit_status": status,
            }
        )
    else:
        say("\n".join(lines(settings.store, machine, store, errors)))
    return status


def _examine(settings: Settings) -> "tuple[list[Finding], list[Finding], list[Failed]]":
    import logging

    from .checks_backends import examine_backends
    from .checks_cache import examine_cache
    from .checks_machine import examine_machine
    from .checks_store import examine_store, is_store
    from .checks_use import examine_use, read_errors

    # What the engine would warn of is what is found; it should not be told twice.
    logging.getLogger("modelfloat").setLevel(logging.CRITICAL)
    states: list[MountState] = []
    store = examine_store(settings.store)
    if is_store(settings.store):
        store += examine_backends(settings.store)
        store += examine_cache(settings)
    store += examine_use(settings.store, states)
    return examine_machine(settings), store, read_errors(states)


def exit_status(findings: list[Finding]) -> int:
    """The command's exit status: 0, 1 for a problem, 3 for damage."""
    worst = max(finding.level for finding in findings)
    return {Level.PROBLEM: FAILED, Level.DAMAGE: DAMAGED}.get(worst, 0)


def lines(
    store: str,
    machine: list[Finding],
    found: list[Finding],
    errors: "list[Failed]",
) -> list[str]:
    """The report for people: findings by group, failed reads, and how many are bad."""
    width = max(len(finding.check) for finding in [*machine, *found])
    text = ["machine", *_rows(machine, width), "", f"store {one_line(store)}", *_rows(found, width)]
    if errors:
        text += ["", "last failed reads of its mounts"]
        text += [
            f"  {human_time(error.time_ns)}  {one_line(error.file)}, pid {error.pid}: "
            f"{one_line(error.cause.replace(_MORE, ''))}"
            for _, error in errors
        ]
    return [*text, "", _verdict([*machine, *found])]


def _rows(findings: list[Finding], width: int) -> list[str]:
    rows = []
    for finding in findings:
        level = "problem" if finding.level is Level.DAMAGE else finding.level.name.lower()
        rows.append(f"  {level:<7}  {finding.check:<{width}}  {one_line(finding.text)}")
        if finding.remedy:
            rows.append(f"  {'':<7}  {'':<{width}}  → {one_line(finding.remedy)}")
    return rows


def _verdict(findings: list[Finding]) -> str:
    problems = sum(finding.level >= Level.PROBLEM for finding in findings)
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    if not problems and not warnings:
        return "all is well"
    return f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}"


def _document(group: str, finding: Finding) -> dict[str, object]:
    """A finding as `--json` prints it."""
    return {
        "group": group,
        "check": finding.check,
        "level": finding.level.name.lower(),
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _read_error(mountpoint: str, error: "ReadError") -> dict[str, object]:
    """A failed read as `--json` prints it."""
    return {
        "time": iso_time(error.time_ns),
        "mount": mountpoint,
        "file": error.file,
        "pid": error.pid,
        "cause": error.cause,
    }
