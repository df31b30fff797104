"""The options of `modelfloat add`, as typer reads them."""

from typing import Annotated

import typer

from .completion import complete_address, named

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SRC",
        help="Files and folders; of a folder the contents are added, as cp would.",
        show_default=False,
        # The shell cannot know which argument will be the last: offer both kinds for each.
        autocompletion=complete_address,
    ),
]
Target = Annotated[
    str | None,
    named("VENDOR/NAME[@BRANCH][/PATH]", "Where they go."),
]
Tag = Annotated[str | None, typer.Option(help="Also name the commit by this tag.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Leave out files, and folders with all that is in them, whose name or path below "
        "SRC matches (`*` matches slashes too); may be given several times.",
    ),
]
Sync = Annotated[
    bool,
    typer.Option(
        "--sync",
        help="Make the branch, or PATH, as the folders SRC are: what they do not have is "
        "removed and listed, but nothing that --exclude leaves out or that was skipped.",
    ),
]
Move = Annotated[
    bool,
    typer.Option(
        "--move",
        help="Unlink each file below SRC once it was read back from the backends and compared; "
        "of links that leave SRC the link only. Folders that become empty go, SRC stays.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say what would be added and removed and whether it fits; do nothing."
    ),
]
NoPreflight = Annotated[
    bool,
    typer.Option(
        "--no-preflight",
        help="Begin even where there is not going to be room if everything is new.",
    ),
]
Reread = Annotated[
    bool,
    typer.Option(
        "--reread", help="Read every file, also those that are as an earlier add read them."
    ),
]
LowPriority = Annotated[
    bool | None,
    typer.Option(
        "--low-priority/--normal-priority",
        help="Leave processor and disks to whoever else wants them (nice 19, I/O class idle).",
        show_default=False,
    ),
]
EffortName = Annotated[
    str | None,
    typer.Option(
        metavar="fast|balanced|small",
        help="What to spend on making new chunks smaller: fast stores them as they are but "
        "for runs of one value, small takes longer; balanced by default.",
        show_default=False,
    ),
]
Erasure = Annotated[
    str | None,
    typer.Option(
        metavar="K+M",
        help="The scheme of the repository's new packs, from now on; the store's unless an add "
        "has said otherwise.",
        show_default=False,
    ),
]
MinShards = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="A pack counts as stored when N of its shards are durable, K at least; K+1 by "
        "default. Those that are missing are made later.",
        show_default=False,
    ),
]
Sha256 = Annotated[
    bool | None,
    typer.Option(
        "--sha256/--no-sha256",
        help="Keep each file's SHA-256, which Hugging Face needs; by default where there are "
        "four cores or more.",
        show_default=False,
    ),
]
SourceUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where SRC can be had again, should it be lost here: https://… of the file, or of "
        "the folder, or hf://models/ORG/NAME@COMMIT/PATH.",
        show_default=False,
    ),
]
FromHfCache = Annotated[
    bool,
    typer.Option(
        "--from-hf-cache",
        help="Import every model of the Hugging Face cache in the folder SRC, by default the "
        "one that huggingface_hub uses, as ORG/NAME@COMMIT; there is no VENDOR/NAME then.",
    ),
]
