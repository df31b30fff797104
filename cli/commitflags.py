"""The options of every command that makes a commit, as typer reads them."""

from typing import Annotated

import typer

Message = Annotated[
    str, typer.Option("-m", "--message", help="What the commit is for.", show_default=False)
]
Author = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Who the commit is by; else $MODELFLOAT_AUTHOR, the store's setting, git's identity.",
        show_default=False,
    ),
]
