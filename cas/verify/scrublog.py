"""What checks of the store found, pass by pass: the file `scrub.json` in the store's folder.

A pass is over when every pack was checked since it began, in however many runs. The file is
`docs/format.md`'s, for people and for monitoring; when it is lost, the next pass begins.

Synchronous; for worker threads.
"""

import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ...durable import replace_file
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from .report import VerifyReport
from .scrubstatus import ScrubPass, ScrubRun, ScrubStatus

NAME: Final = "scrub.json"
FORMAT: Final = 1
LARGEST: Final = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What the file holds: the pass under way, the last one that is over, the last run."""

    current: ScrubPass
    full: ScrubPass | None = None
    run: ScrubRun | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index tells of all packs."""

    packs: int = 0
    unchecked: int = 0
    wrong: int = 0
    oldest_ns: int = 0


class ScrubLog:
    """The checks of the store in the folder `path`."""

    def __init__(self, path: str, index: Index) -> None:
        self._path = os.path.join(path, NAME)
        self._index = index

    def status(self, packs: Iterable[PackRecord] | None = None) -> ScrubStatus:
        """What is known now, of `packs` where the caller has all of them; else reads them."""
        noted, known = self._read(), _known(self._index.packs() if packs is None else packs)
        return ScrubStatus(
            known.packs, known.unchecked, known.wrong, known.oldest_ns, noted.full, noted.run
        )

    def note(self, report: VerifyReport, began_ns: int, now_ns: int) -> None:
        """Note a run that is over. Where that fails it is told, and no more."""
        noted, known = self._read(), _known(self._index.packs())
        current = _added(noted.current, report)
        if current.began_ns == 0 or began_ns < current.began_ns:
            current = replace(current, began_ns=began_ns)
        run = _run(report, began_ns, now_ns)
        if known.packs and not known.unchecked and known.oldest_ns >= current.began_ns:
            noted = _Noted(ScrubPass(), replace(current, ended_ns=now_ns), run)
        else:
            noted = _Noted(current, noted.full, run)
        try:
            replace_file(self._path, _encode(noted))
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror)

    def _read(self) -> _Noted:
        try:
            with open(self._path, "rb") as file:
                return _decode(file.read(LARGEST))
        except FileNotFoundError:
            return _Noted(ScrubPass())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.info("%s tells nothing: %s", self._path, error)
            return _Noted(ScrubPass())


def _known(packs: Iterable[PackRecord]) -> _Known:
    count = unchecked = wrong = 0
    oldest = time.time_ns()
    for pack in packs:
        count += 1
        unchecked += not pack.checked_ns
        wrong += any(state is not ShardState.GOOD for state in pack.states)
        oldest = min(oldest, pack.checked_ns or oldest)
    return _Known(count, unchecked, wrong, oldest if count > unchecked else 0)


def _added(scrub: ScrubPass, report: VerifyReport) -> ScrubPass:
    repaired = sum(problem.repaired for problem in report.problems) + report.unlisted_repaired
    return replace(
        scrub,
        runs=scrub.runs + 1,
        bytes_read=scrub.bytes_read + report.bytes_read,
        problems=scrub.problems + len(report.problems) + report.unlisted,
        repaired=scrub.repaired + repaired,
        exit_status=max(scrub.exit_status, report.exit_status),
    )


def _run(report: VerifyReport, began_ns: int, now_ns: int) -> ScrubRun:
    own = _added(ScrubPass(), report)
    return ScrubRun(
        began_ns,
        now_ns,
        report.packs,
        report.shards,
        own.bytes_read,
        own.problems,
        own.repaired,
        len(report.lost),
        len(report.lost_files) + report.unlisted_files,
        tuple(sorted(report.down)),
        report.exit_status,
    )


def _encode(noted: _Noted) -> bytes:
    document = {"format": FORMAT, **asdict(noted)}
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _decode(data: bytes) -> _Noted:
    document = json.loads(data)
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']}")
    full, run = document["full"], document["run"]
    return _Noted(
        _pass(document["current"]),
        None if full is None else _pass(full),
        None if run is None else ScrubRun(**{**_numbers(run), "down": tuple(run["down"])}),
    )


def _pass(table: dict[str, Any]) -> ScrubPass:
    return ScrubPass(**_numbers(table))


def _numbers(table: dict[str, Any]) -> dict[str, Any]:
    for key, value in table.items():
        if key != "down" and not (type(value) is int and value >= 0):
            raise ValueError(f"{key} is {value!r}")
    return table
