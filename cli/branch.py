"""`modelfloat branch`: branches made, moved, listed, and made one where they have several heads."""

from typing import Annotated

import typer

from .options import command
from .refmoves import Repository, Rev, say_heads, say_moves
from .session import in_catalog, in_store
from .settings import Settings


@command
def branch(
    settings: Settings,
    address: Repository,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[BRANCH]", help="The branch; none lists all.", show_default=False),
    ] = None,
    rev: Rev = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Move it even where it has commits that REV has not."),
    ] = False,
) -> None:
    """Make a branch at a commit, move one, or list those of a repository.

    A branch moves on to commits that follow its own; with --force to any: what it leaves behind
    stays for the grace period of gc, and `undo` brings it back. A branch of several heads becomes
    the one of REV.
    """
    from ..cas.formats.journal import RefKind
    from ..cas.refnames import parse_repository

    repo = parse_repository(address, "branch")
    if name is None:
        in_catalog(settings, lambda store: say_heads(store, settings, repo, RefKind.BRANCH))
        return
    wanted = name
    moved = in_store(settings, lambda store: store.branch(repo, wanted, rev, force=force))
    say_moves(settings, moved)
