"""What `push` and `pull` have in common: who opens the other end, and what they tell."""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import typer

from .keysource import given_secret, has_terminal, hide_memory, passphrase_of, read_secret
from .output import (
    complain,
    human_rate,
    human_seconds,
    human_size,
    one_line,
    plural,
    say,
    say_json,
)
from .progress import progress_of
from .session import in_store
from .settings import Flags, Settings, resolve

if TYPE_CHECKING:
    from ..cas.encryption.secrets import Secret
    from ..cas.progress import Progress
    from ..cas.store import Store
    from ..cas.transfer.report import RefSent, TransferReport, TransferRequest
    from ..otherstore import Other

    Carry = Callable[[Store, Other, TransferRequest, Progress], Awaitable[TransferReport]]


def carry_out(
    settings: Settings,
    words: tuple[str, str, str],
    carry: "Carry",
    other: "Callable[[Store], Other]",
    request: "TransferRequest",
    *,
    signed: bool | None = None,
) -> None:
    """Carry what is asked for, to or from the `other` end, and tell what came of it. `words` are
    the command, what it has done then, and what names where that was written to. `signed` says
    whether this store's own refs must be, None that the settings do."""
    what, done, there = words

    async def work(store: "Store") -> "TransferReport":
        end = other(store)
        with progress_of(settings, what) as progress:
            return await carry(store, end, request, progress)

    report = in_store(settings, work, signed=signed)
    for refusal in report.refused:
        complain(refusal)
    if settings.json:
        say_json(document(report))
    elif not settings.quiet:
        say("\n".join(lines(report, done, there)))
    if report.exit_status:
        raise typer.Exit(report.exit_status)


def their_secret(
    settings: Settings, where: str, key_file: str | None, passphrase_file: str | None
) -> "Secret | None":
    """What opens the other end; None where nothing is given, or none of that is for one in the
    clear.

    Files that are named here, then what its own configuration names, then the terminal.
    """
    from ..errors import UsageError
    from ..otherstore import is_encrypted

    if key_file and passphrase_file:
        raise UsageError(
            "--their-key-file and --their-passphrase-file are both given; give one of them"
        )
    found = None
    if key_file or passphrase_file:
        kind = "key_file" if key_file else "passphrase_file"
        found = read_secret(kind, key_file or str(passphrase_file))
    elif is_encrypted(where):
        found = given_secret(resolve(Flags(store=where), settings.environment))
        if found is None and has_terminal():
            found = passphrase_of(where)
    if found is not None:
        hide_memory()
    return found


def place_of(where: str) -> str:
    """The other end's folder, as an absolute path."""
    return os.path.abspath(os.path.expanduser(where))


def document(report: "TransferReport") -> dict[str, object]:
    """The report as `--json` prints it."""
    return {
        "dry_run": report.dry_run,
        "refs": [_ref(each) for each in report.refs],
        "refused": report.refused,
        "commits": report.commits,
        "files": report.files,
        "logical_bytes": report.logical,
        "chunks": report.chunks,
        "missing_bytes": report.missing,
        "unknown_bytes": report.unknown,
        "sent_bytes": report.sent,
        "stored_bytes": report.stored,
        "objects": report.objects,
        "encoded_anew": report.encoded_anew,
        "seconds": report.seconds,
    }


def _ref(sent: "RefSent") -> dict[str, object]:
    return {
        "repository": str(sent.repo),
        "kind": sent.kind.name.lower(),
        "name": sent.ref,
        "result": sent.fate.value,
        "old": None if sent.old is None else sent.old.hex(),
        "new": None if sent.new is None else sent.new.hex(),
    }


def lines(report: "TransferReport", done: str, there: str) -> list[str]:
    """The report for people: `done` is `pushed` or `pulled`, `there` names what was written to."""
    found = [_told(each, report.dry_run) for each in report.refs]
    return [*found, _amount(report, done, there)]


def _told(sent: "RefSent", dry_run: bool) -> str:
    from ..cas.transfer.report import Fate

    name = one_line(f"{sent.repo}@{sent.ref}")
    old = "" if sent.old is None else sent.old.hex()[:12]
    new = "" if sent.new is None else sent.new.hex()[:12]
    would = "would be " if dry_run else ""
    said = {
        Fate.NEW: f"{would}new{new and f', commit {new}'}",
        Fate.FORWARD: f"{would}moved forward from {old}{new and f' to {new}'}",
        Fate.SAME: f"is the same there, commit {old}",
        Fate.AHEAD: f"is ahead there, at {old}: nothing to do",
        Fate.FORCED: f"{would}moved from {old}{new and f' to {new}'}, which does not follow it",
    }
    return f"{name}: {said[sent.fate]}"


def _amount(report: "TransferReport", done: str, there: str) -> str:
    if not report.commits:
        return f"{there} has all of it"
    of = f"{plural(report.commits, 'commit')}, {human_size(report.missing)} of chunks"
    if report.dry_run:
        unsure = f", {human_size(report.unknown)} of it at most" if report.unknown else ""
        return f"would send {of}{unsure} ({human_size(report.sent)} as stored) to {there}"
    rate = human_rate(report.missing, report.seconds)
    stored = f"{human_size(report.sent)} encoded, {human_size(report.stored)} with parity"
    return f"{done} {of} ({stored}) in {human_seconds(report.seconds)}, {rate}"
