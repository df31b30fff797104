"""The options of `modelfloat init`, as typer reads them."""

from typing import Annotated

import typer

Erasure = Annotated[
    str | None,
    typer.Option(
        metavar="K+M",
        help="Cut packs into K shards and add M of parity, so that any M may be lost. Without "
        "--backend the store gets K+M directories of its own.",
        show_default=False,
    ),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=URL[,domain=…,weight=…,capacity=…,rate=…]",
        help="A place for shards; may be given several times. A plain path is a URL. With "
        "--join the URL alone will do.",
        show_default=False,
    ),
]
Join = Annotated[
    bool,
    typer.Option(
        "--join",
        help="Use the store that is on these backends already, from this machine too, or "
        "again where its folder is lost. One that answers will do; it tells of the others.",
    ),
]
Encrypt = Annotated[
    bool,
    typer.Option(
        "--encrypt",
        help="Encrypt what goes to the backends; asks for a passphrase unless --key-file or "
        "--passphrase-file names one.",
    ),
]
RecoveryFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Write the recovery sheet of an encrypted store, to be printed and kept elsewhere.",
        show_default=False,
    ),
]
