"""`modelfloat init --join`: a store that is there, used from this machine too."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..redaction import redact
from .backendspec import parse_place
from .keysource import given_secret, has_terminal, hide_memory, passphrase_of
from .output import columns, one_line, plural, reason, say, say_json
from .progress import progress_of
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.encryption.secrets import Secret
    from ..finding import FoundStore, Place, Told
    from ..joining import JoinReport


def joined(settings: Settings, backends: Sequence[str]) -> int:
    """Make the folder that --store names a site of the store on these backends.

    The exit status is that of the index that was made: 0, 3 what is damaged, 4 data is lost.
    """
    import trio

    from ..joining import check_joinable, join_store

    if not backends:
        raise UsageError("--join needs --backend URL: a place that the store has its shards on")
    check_joinable(settings.store)
    found = _find(settings, [parse_place(text) for text in backends])
    secret = _secret(settings) if found.config.encrypted else None

    async def session() -> "JoinReport":
        with progress_of(settings, "init --join") as progress:
            return await join_store(
                settings.store,
                found,
                secret=secret,
                reserve=int(settings.number("reserve")),
                wait=settings.wait,
                progress=progress,
            )

    report = trio.run(session)
    if settings.json:
        say_json(document(report))
    else:
        say("\n".join(lines(report, everything=settings.verbose)))
    return report.index.exit_status


def _find(settings: Settings, places: "list[Place]") -> "FoundStore":
    """The store on these places, and on those that the terminal is asked for."""
    import trio

    from ..finding import find_store

    while True:
        found = trio.run(find_store, settings.store, places)
        if not found.unknown or not has_terminal():
            return found
        places = [*places, *(_ask(name, url) for name, url in found.unknown.items())]


def _ask(name: str, url: str) -> "Place":
    sys.stderr.write(
        f"where is the backend {one_line(name)}? The others say: {one_line(url)}\nURL: "
    )
    sys.stderr.flush()
    text = sys.stdin.readline().strip()
    if not text:
        raise UsageError(f"nobody said where {name} is; give --backend {name}=URL")
    return parse_place(f"{name}={text}")


def _secret(settings: Settings) -> "Secret | None":
    """What opens the store; its configuration is still to come, so no file is named there."""
    found = given_secret(settings)
    if found is None and has_terminal():
        found = passphrase_of("the store")
    if found is not None:
        hide_memory()
    return found


def document(report: "JoinReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    from .rebuild_index import document as of_index

    return {
        "store": report.path,
        "id": report.id.hex(),
        "erasure": str(report.scheme),
        "backends": list(report.backends),
        "down": report.down,
        "told": {
            name: {"url": redact(told.url), "by": list(told.by)}
            for name, told in report.told.items()
        },
        "survives": report.survives,
        "encrypted": report.encrypted,
        "index": of_index(report.index),
        "reserve": report.reserve,
        "exit_status": report.index.exit_status,
    }


def _told(told: "Mapping[str, Told]") -> list[str]:
    """Where backends are that nobody gave, together those that the same markers tell of."""
    found: list[str] = []
    for by in dict.fromkeys(each.by for each in told.values()):
        places = [
            (one_line(name), one_line(each.url)) for name, each in told.items() if each.by == by
        ]
        found.append(f"told by {one_line(', '.join(by))}, not by you:")
        found += [f"  {line}" for line in columns(places, "<<").splitlines()]
    return found


def lines(report: "JoinReport", *, everything: bool) -> list[str]:
    """The report for people."""
    from .rebuild_index import findings, totals, verdict

    index, count = report.index, plural(len(report.backends), "backend")
    encrypted = ", encrypted" if report.encrypted else ""
    found = [f"joined the store {report.id.hex()} in {report.path}"]
    found += [f"erasure {report.scheme} on {count}{encrypted}; {report.survives}", totals(index)]
    found += _told(report.told)
    found += [f"{name}: down ({reason(name, why)})" for name, why in report.down.items()]
    found += findings(index, everything=everything)
    return [*found, verdict(index)] if index.exit_status else found
