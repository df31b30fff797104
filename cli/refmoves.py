"""What `tag`, `branch` and `undo` have in common: the repository they take, and what they say."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from .completion import named
from .log import SHOWN, move_document, move_line, subject_of
from .output import human_time, iso_time, one_line, say, say_columns, say_json
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.catalog import Catalog
    from ..cas.formats.journal import RefChanged, RefKind
    from ..cas.refnames import RefHead, RepoName

Repository = Annotated[
    str,
    named("VENDOR/NAME", "The repository."),
]
Rev = Annotated[
    str | None,
    typer.Argument(
        metavar="[REV]",
        help="The commit: a branch, a tag, a commit, or BRANCH~N; else main.",
        show_default=False,
    ),
]


def say_moves(settings: Settings, changes: "Sequence[RefChanged]") -> None:
    """Say what moved, by name."""
    changes = sorted(changes, key=lambda each: (each.vendor, each.name, each.kind, each.ref))
    if settings.json:
        say_json(list(map(move_document, changes)))
        return
    for change in changes:
        say(f"{one_line(f'{change.vendor}/{change.name}')}: {move_line(change)}")
    if not changes:
        say("nothing to move: it points there already")


def say_heads(store: "Catalog", settings: Settings, repo: "RepoName", kind: "RefKind") -> None:
    """List the branches or tags of a repository, with their commits; NotFoundError if it has no
    ref at all."""
    from ..cas.missing import no_repository

    heads = store.refs.heads(repo)
    if not heads:
        raise no_repository(repo)
    mine = [head for head in heads if head.kind is kind]
    if settings.json:
        say_json([_document(store, head) for head in mine])
    else:
        several = {head.ref for head in mine if sum(h.ref == head.ref for h in mine) > 1}
        say_columns((_row(store, head, several) for head in mine), "<<<<")


def _row(store: "Catalog", head: "RefHead", several: set[str]) -> list[str]:
    commit = store.objects.commit(head.commit)
    message = subject_of(commit)
    note = "one of several heads: " * (head.ref in several)
    moved = human_time(head.time_ns)
    return [one_line(head.ref), head.commit.hex()[:SHOWN], moved, note + message]


def _document(store: "Catalog", head: "RefHead") -> dict[str, object]:
    commit = store.objects.commit(head.commit)
    return {
        "name": head.ref,
        "commit": head.commit.hex(),
        "moved": iso_time(head.time_ns),
        "author": commit.author,
        "message": commit.message,
    }
