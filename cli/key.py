"""`modelfloat key`: who may open an encrypted store; `key sign` is in `sign`."""

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import KEY_NEEDED, KeyNeededError
from . import sign
from .keysource import new_secret, secret_of
from .options import PlainCommand, PlainGroup, command, global_options
from .output import columns, human_time, one_line, say, say_json, tell
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.encryption.keyring import Entry
    from ..cas.encryption.secrets import Secret
    from ..keychanges import KeyChange

app = typer.Typer(
    cls=PlainGroup,
    callback=global_options,
    help="Passphrases and key files that open an encrypted store; keys that sign (`key sign`).",
)

OPTIONS = "--new-key-file and --new-passphrase-file"

NewKeyFile = Annotated[
    str | None,
    typer.Option(
        "--new-key-file",
        metavar="FILE",
        help="A key file in place of a passphrase; made with random bytes if it is not there.",
        show_default=False,
    ),
]
NewPassphraseFile = Annotated[
    str | None,
    typer.Option(
        "--new-passphrase-file",
        metavar="FILE",
        help="The new passphrase is the first line of this file; else it is asked for.",
        show_default=False,
    ),
]


@command
def key_ls(settings: Settings) -> None:
    """List what opens the store: passphrases and key files, with their labels."""
    import trio

    from ..keychanges import list_keys

    entries = trio.run(list_keys, settings.store, _secret(settings))
    if settings.json:
        say_json([document(entry) for entry in entries])
        return
    rows = ([e.name, kind(e), human_time(e.created_ns), one_line(e.label)] for e in entries)
    say(columns([["key", "kind", "made", "label"], *rows], "<<<<"))


@command
def key_add(
    settings: Settings,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="What it is called in lists.", show_default=False)
    ] = "",
    new_key_file: NewKeyFile = None,
    new_passphrase_file: NewPassphraseFile = None,
) -> None:
    """Have another passphrase, or a key file, open the store too."""
    import functools

    import trio

    from ..keychanges import add_key

    secret = _secret(settings)
    new = new_secret(new_key_file, new_passphrase_file, OPTIONS)
    work = functools.partial(add_key, label=label, wait=settings.wait)
    _tell(settings, trio.run(work, settings.store, secret, new), "added")


@command
def key_change(
    settings: Settings,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]",
            help="Its id or label; else the one that the store is opened with.",
            show_default=False,
        ),
    ] = None,
    new_key_file: NewKeyFile = None,
    new_passphrase_file: NewPassphraseFile = None,
) -> None:
    """Put another passphrase or key file in the place of one."""
    import functools

    import trio

    from ..keychanges import change_key

    secret = _secret(settings)
    new = new_secret(new_key_file, new_passphrase_file, OPTIONS)
    work = functools.partial(change_key, wait=settings.wait)
    _tell(settings, trio.run(work, settings.store, secret, new, key), "changed")
    _warn(settings)


@command
def key_rm(
    settings: Settings,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id or label.", show_default=False)],
) -> None:
    """Have a passphrase or key file open the store no more; the last one stays."""
    import functools

    import trio

    from ..keychanges import remove_key

    work = functools.partial(remove_key, wait=settings.wait)
    _tell(settings, trio.run(work, settings.store, _secret(settings), key), "removed")
    _warn(settings)


@command
def key_recovery(
    settings: Settings,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="Where; it must not be there.", show_default=False),
    ],
) -> None:
    """Write the store's recovery sheet, to be printed: whoever has it can read everything."""
    import os

    import trio

    from ..keychanges import new_sheet

    path = os.path.abspath(file)
    trio.run(new_sheet, settings.store, _secret(settings), path)
    if settings.json:
        say_json({"recovery": path})
    elif not settings.quiet:
        say(f"recovery sheet written to {path}: print it, keep it elsewhere, delete the file")


def document(entry: "Entry") -> dict[str, object]:
    """One key as `--json` prints it."""
    return {
        "key": entry.slot.id.hex(),
        "kind": kind(entry),
        "created_ns": entry.created_ns,
        "label": entry.label,
    }


def kind(entry: "Entry") -> str:
    """What opens a slot, in words."""
    return entry.slot.kind.name.lower().replace("_", " ")


def _secret(settings: Settings) -> "Secret":
    """What opens the store now; KeyNeededError where nothing is given and nobody can be asked."""
    from ..config import read_config
    from ..unlocking import require_encrypted

    require_encrypted(settings.store, read_config(settings.store))
    found = secret_of(settings)
    if found is None:
        raise KeyNeededError(KEY_NEEDED)
    return found


def _tell(settings: Settings, change: "KeyChange", done: str) -> None:
    entry = change.entry
    if settings.json:
        say_json({**document(entry), "done": done, "without": list(change.without)})
    elif not settings.quiet:
        label = f" ({one_line(entry.label)})" if entry.label else ""
        say(f"key {entry.name}{label} {done}")
    if change.without:
        tell(
            f"not on {', '.join(change.without)}, where the keys of before still open the store: "
            "`modelfloat verify --repair` when it can be written to"
        )


def _warn(settings: Settings) -> None:
    """What removing cannot do."""
    if not settings.quiet:
        tell(
            "whoever has a copy of an earlier keyring, as every backend had, can still open the "
            "store with the old one; if that has leaked, move everything into a new store"
        )


app.add_typer(sign.app, name="sign")
app.command("ls", cls=PlainCommand)(key_ls)
app.command("add", cls=PlainCommand)(key_add)
app.command("change", cls=PlainCommand)(key_change)
app.command("rm", cls=PlainCommand)(key_rm)
app.command("recovery", cls=PlainCommand)(key_recovery)
