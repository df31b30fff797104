"""The options of every command, as typer reads them."""

from typing import Annotated

import typer

from ..version import __version__


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelfloat {__version__}")
        raise typer.Exit


StoreFolder = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Where the store is; else $MODELFLOAT_STORE, else /var/lib/modelfloat as root and "
        "~/.local/share/modelfloat otherwise.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Say more; show the traceback of a failure.")
]
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for a lock that another process holds, or fail at once; --wait by default.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Open an encrypted store with a key file, or with its recovery sheet.",
        show_default=False,
    ),
]
PassphraseFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Open it with the passphrase in the first line of a file; else it is asked for.",
        show_default=False,
    ),
]
SignKey = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Sign changes of branches and tags by the key in a file (`key sign new`); an empty "
        "name signs nothing.",
        show_default=False,
    ),
]
RequireSignature = Annotated[
    bool | None,
    typer.Option(
        "--require-signature/--no-require-signature",
        help="Show only what a key signed that the store trusts (`key sign trust`), and "
        "nothing older than was seen.",
        show_default=False,
    ),
]
Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
]
