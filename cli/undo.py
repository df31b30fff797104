"""`modelfloat undo`: the last change of a repository's refs taken back."""

from typing import Annotated

from .completion import named
from .options import command
from .refmoves import say_moves
from .session import in_store
from .settings import Settings


@command
def undo(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME[@BRANCH]", "The repository, or one branch or tag of it."),
    ],
) -> None:
    """Undo the last change of a repository, or of one branch or tag.

    That may be an add, a move or a removal; all that it changed at once goes back, and that is a
    change itself: undone again, it is as it was before. What gc has deleted does not come back.
    """
    from ..cas.refnames import parse_ref

    where = parse_ref(address, "undo")
    say_moves(settings, in_store(settings, lambda store: store.undo(where.repo, where.rev)))
