"""`modelfloat undo`: the last change of a repository's refs taken back."""

from typing import Annotated

import typer

from .completion import complete_address
from .options import command
from .refmoves import say_moves
from .session import in_store
from .settings import Settings


@command
def undo(
    settings: Settings,
    address: Annotated[
        str,
        typer.Argument(
            metavar="VENDOR/NAME[@BRANCH]",
            help="The repository, or one branch or tag of it.",
            show_default=False,
            autocompletion=complete_address,
        ),
    ],
) -> None:
    """Undo the last change of a repository, or of one branch or tag.

    That may be an add, a move or a removal; all that it changed at once goes back, and that is a
    change itself: undone again, it is as it was before. What gc has deleted does not come back.
    """
    from ..cas.refnames import parse_address
    from ..errors import UsageError

    where = parse_address(address)
    if where.path:
        raise UsageError(f"{address}: undo takes VENDOR/NAME[@BRANCH] without a path")
    say_moves(settings, in_store(settings, lambda store: store.undo(where.repo, where.rev)))
