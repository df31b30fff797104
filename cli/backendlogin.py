"""`modelfloat backend login`: who we are on Google Drive."""

import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .options import command
from .output import say, say_json, tell
from .settings import Settings

if TYPE_CHECKING:
    from ..backends.gdrive.address import Place
    from ..backends.gdrive.grant import Grant

_SCHEME: Final = "gdrive://"


@command
def backend_login(
    settings: Settings,
    which: Annotated[
        str,
        typer.Argument(
            metavar="NAME|URL",
            help="A backend of the store, or the gdrive:// URL of one to be.",
            show_default=False,
        ),
    ],
    client: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The client, as Google's console gives it; that of the last login by default.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        bool, typer.Option("--device", help="Type a code in a browser on any machine.")
    ] = False,
    new_folder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make a folder of this name for it.", show_default=False),
    ] = None,
    all_files: Annotated[
        bool,
        typer.Option("--all-files", help="Ask for all files, not only for those made by us."),
    ] = False,
) -> None:
    """Log in to Google Drive, for a backend there; the login is kept in the store's folder."""
    import trio

    place = _place(settings, which, whole=new_folder is None)
    if new_folder is not None and (place.folder or not which.startswith(_SCHEME)):
        from ..errors import UsageError

        raise UsageError(
            f"{which} names a folder, and --new-folder makes another one: write gdrive:// to make "
            "one, or leave --new-folder out"
        )
    name = "NAME" if which.startswith(_SCHEME) else which
    known = _client(settings, which, place, client)
    if device and all_files:
        from ..errors import UsageError

        raise UsageError("--device and --all-files: Google shows a device its own files alone")
    place, grant = trio.run(_log_in, name, place, known, device, all_files, new_folder or "")
    _keep(settings, place, grant)
    if settings.json:
        say_json({"url": place.url, "account": grant.account})
    elif settings.quiet and new_folder is not None:
        say(place.url)
    elif not settings.quiet:
        say(f"logged in; the backend is {place.url}")


def _place(settings: Settings, which: str, *, whole: bool) -> "Place":
    from ..backends.gdrive.address import parse_place
    from ..config import read_config
    from ..errors import UsageError

    if which.startswith(_SCHEME):
        return parse_place("NAME", which, whole=whole)
    url = read_config(settings.store).backend(which).url
    if not url.startswith(_SCHEME):
        raise UsageError(
            f"backend {which} is not on Google Drive: it finds its credentials as docs/backends.md "
            "says"
        )
    return parse_place(which, url)


def _client(settings: Settings, name: str, place: "Place", path: str | None) -> "Grant":
    """The client to log in with."""
    from ..backends.credentials import own_value
    from ..backends.gdrive.grant import ALL, Grant, find_grant
    from ..backends.gdrive.login import read_client
    from ..configured import accounts_of
    from ..errors import UsageError

    if path is not None:
        return read_client(os.path.expanduser(path))
    id_ = own_value(ALL, "CLIENT_ID", settings.environment)
    if id_ is not None:
        secret = own_value(ALL, "CLIENT_SECRET", settings.environment)
        return Grant(id_, secret or "", "")
    found = find_grant(name, place, accounts_of(settings.store), {})
    if found is None:
        raise UsageError(
            "a login needs a client of your own: name its file with --client (docs/backends.md "
            "says how to make one)"
        )
    return found


async def _log_in(
    name: str, place: "Place", client: "Grant", device: bool, all_files: bool, folder: str
) -> "tuple[Place, Grant]":
    from ..backends.gdrive.login import ALL_FILES, OWN_FILES, by_browser, by_code, settled

    if device:
        grant = await by_code(name, place, client, tell)
    else:
        grant = await by_browser(name, place, client, ALL_FILES if all_files else OWN_FILES, tell)
    return await settled(name, place, grant, folder)


def _keep(settings: Settings, place: "Place", grant: "Grant") -> None:
    from ..backends.gdrive.grant import write_grant
    from ..configured import accounts_of

    write_grant(accounts_of(settings.store), place, grant)
