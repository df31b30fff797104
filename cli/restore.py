"""`modelfloat restore`: a file, a folder or a whole branch as it was."""

from typing import Annotated

import typer

from .commitflags import Author, Message
from .completion import named
from .edits import edit_document, tell_edit
from .options import command
from .output import say_json
from .session import in_store
from .settings import Settings


@command
def restore(
    settings: Settings,
    address: Annotated[
        str,
        named("VENDOR/NAME@REV[/PATH]", "What to have back, and the commit that has it as it was."),
    ],
    branch: Annotated[
        str | None,
        typer.Argument(
            metavar="[BRANCH]",
            help="Where; else the branch that REV counts back from, as dev~2 does, else main.",
            show_default=False,
        ),
    ] = None,
    message: Message = "",
    author: Author = None,
) -> None:
    """Make a path, or everything, on a branch as it was in another commit, by a new commit.

    A folder becomes equal to what it was: what came to it since then goes, and stays in history.
    """
    from ..cas.refnames import parse_address

    where = parse_address(address)
    by = settings.text("author", author)
    report = in_store(
        settings, lambda store: store.restore(where, branch, author=by, message=message)
    )
    if settings.json:
        say_json(edit_document(report))
    else:
        tell_edit("restored", report, settings)
