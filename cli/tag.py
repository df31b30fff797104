"""`modelfloat tag`: tags made, or listed."""

from typing import Annotated

import typer

from .options import command
from .refmoves import Repository, Rev, say_heads, say_moves
from .session import in_catalog, in_store
from .settings import Settings


@command
def tag(
    settings: Settings,
    address: Repository,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[TAG]", help="The new tag; none lists them.", show_default=False),
    ] = None,
    rev: Rev = None,
) -> None:
    """Make a tag of a commit, or list the tags of a repository."""
    from ..cas.formats.journal import RefKind
    from ..cas.refnames import parse_repository

    repo = parse_repository(address, "tag")
    if name is None:
        in_catalog(settings, lambda store: say_heads(store, settings, repo, RefKind.TAG))
        return
    wanted = name
    say_moves(settings, in_store(settings, lambda store: store.tag(repo, wanted, rev)))
