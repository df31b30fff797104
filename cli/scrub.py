"""`modelfloat verify --scrub`: what is due, at the store's own period and rate, told to monitoring.

What Prometheus's node exporter reads with `--collector.textfile` is a file whose name ends in
`.prom`, replaced as a whole: https://github.com/prometheus/node_exporter#textfile-collector.
"""

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .output import human_size, human_time, plural
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.verify.scrubstatus import ScrubRun, ScrubStatus


def period_of(settings: Settings, *, scrub: bool, period: str | None, part: bool) -> float | None:
    """Seconds in which everything is to be checked, None where that was not asked for.

    `part` says that something else tells what to check: UsageError.
    """
    if not scrub and period is None:
        return None
    if part:
        raise UsageError(
            "--scrub and --period check what is due of everything; leave the address and --sample "
            "out"
        )
    found = settings.number("scrub_period", period)
    if not found:
        raise UsageError("a scrub needs a period of some time, as 30d")
    return found


def rate_of(settings: Settings) -> float | None:
    """Bytes a second that scrubs may read and write, None where they may as many as they can."""
    return settings.number("scrub_limit") or None


def refuse_lost(*files: str | None) -> None:
    """NotFoundError before all the work where what it finds could not be written down."""
    for file in filter(None, files):
        folder = os.path.dirname(os.path.abspath(file))
        if not os.path.isdir(folder):
            from ..cas.missing import no_folder

            raise no_folder(folder)


def write_report(path: str, document: dict[str, Any]) -> None:
    """Put a report where monitoring finds it, as one JSON document."""
    from ..durable import replace_file

    replace_file(path, (json.dumps(document, indent=2) + "\n").encode())


def write_metrics(path: str, store: str, status: "ScrubStatus") -> None:
    """Put figures where Prometheus's node exporter finds them; `store` is the store's id in hex."""
    from ..durable import replace_file

    text = "".join(f"{line}\n" for line in metrics(store, status))
    replace_file(path, text.encode("utf-8", "replace"))


def metrics(store: str, status: "ScrubStatus") -> Iterator[str]:
    """The lines of the text exposition format."""
    from ..cas.exposition import family

    figures: list[tuple[str, str, float]] = [
        ("packs", "Packs of the store.", status.packs),
        ("packs_unchecked", "Those that were never checked.", status.unchecked),
        ("packs_wrong", "Those with shards known missing or damaged.", status.wrong),
        ("oldest_check_timestamp_seconds", "The check longest ago.", status.oldest_ns / 1e9),
    ]
    if status.full is not None:
        full = status.full
        figures += [
            ("full_pass_timestamp_seconds", "When the last full pass ended.", full.ended_ns / 1e9),
            ("full_pass_problems", "What it found.", full.problems),
            ("full_pass_repaired", "What of that was written anew.", full.repaired),
        ]
    if status.run is not None:
        figures += _run(status.run)
    for name, what, value in figures:
        yield from family(f"scrub_{name}", "gauge", what, [({"store": store}, value)])


def _run(run: "ScrubRun") -> list[tuple[str, str, float]]:
    return [
        ("run_timestamp_seconds", "When the last run ended.", run.ended_ns / 1e9),
        ("run_seconds", "How long it took.", (run.ended_ns - run.began_ns) / 1e9),
        ("run_packs", "Packs that it checked.", run.packs),
        ("run_read_bytes", "What it read.", run.bytes_read),
        ("run_problems", "What it found.", run.problems),
        ("run_repaired", "What of that was written anew.", run.repaired),
        ("run_lost_packs", "Packs of which too little is left.", run.lost_packs),
        ("run_lost_files", "Files that cannot be read any more.", run.lost_files),
        ("run_backends_down", "Backends that were down.", len(run.down)),
        ("run_exit_status", "0, 3 damage found, 4 data lost.", run.exit_status),
    ]


def lines(status: "ScrubStatus") -> list[str]:
    """How well the store is checked, for people."""
    if not status.packs:
        return []
    found = []
    if status.full is not None:
        full = status.full
        found.append(
            f"last full pass ended {human_time(full.ended_ns)}: {human_size(full.bytes_read)} "
            f"read, {plural(full.problems, 'problem')}, {full.repaired:,} repaired"
        )
    oldest = f"oldest check {human_time(status.oldest_ns)}" if status.oldest_ns else ""
    never = f"{plural(status.unchecked, 'pack')} never checked" if status.unchecked else ""
    found.append(", ".join(filter(None, (oldest, never))))
    if status.unchecked == status.packs:
        return ["no pack was ever checked: `modelfloat verify` does it"]
    return found
