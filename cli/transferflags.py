"""The options of `modelfloat push` and `modelfloat pull`, as typer reads them."""

from typing import Annotated

import typer

from .completion import named

PushedTo = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Another store's folder, or a directory: made if it is missing or empty.",
        show_default=False,
    ),
]
PulledFrom = Annotated[
    str,
    typer.Argument(
        metavar="STORE",
        help="Another store's folder, or a directory that push has made.",
        show_default=False,
    ),
]
Repositories = Annotated[
    list[str],
    typer.Argument(
        metavar="VENDOR/NAME[@REV]...",
        help="Repositories with all their branches, or one branch or tag of them.",
        show_default=False,
    ),
]
OurRepositories = Annotated[
    list[str],
    named(
        "VENDOR/NAME[@REV]...",
        "Repositories with all their branches, or one branch or tag of them.",
    ),
]
Tags = Annotated[bool, typer.Option("--tags", help="All tags of these repositories too.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Move branches that went another way there, and tags, as well."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, with bytes; change nothing.")
]
Preflight = Annotated[
    bool,
    typer.Option("--preflight/--no-preflight", help="First see whether it is going to fit."),
]
Erasure = Annotated[
    str | None,
    typer.Option(
        "--erasure",
        metavar="K+M",
        help="The scheme of a directory that is made; 8+1 by default.",
        show_default=False,
    ),
]
TheirKeyFile = Annotated[
    str | None,
    typer.Option(
        "--their-key-file",
        metavar="FILE",
        help="Open the other store, if it is encrypted, with a key file or its recovery sheet.",
        show_default=False,
    ),
]
TheirPassphraseFile = Annotated[
    str | None,
    typer.Option(
        "--their-passphrase-file",
        metavar="FILE",
        help="Open it with the passphrase in the first line of a file; else it is asked for.",
        show_default=False,
    ),
]
