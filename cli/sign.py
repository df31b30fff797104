"""`modelfloat key sign`: keys that sign branches and tags, and whose signatures are trusted."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .completion import named
from .options import PlainCommand, PlainGroup, command, global_options
from .output import columns, human_time, one_line, plural, say, say_json
from .session import in_store
from .settings import Settings
from .signkeys import public_key_of

if TYPE_CHECKING:
    from ..cas.formats.journal import RefChanged
    from ..cas.history.vouching import RefState
    from ..cas.store import Store

app = typer.Typer(
    cls=PlainGroup,
    callback=global_options,
    help="Keys that sign branches and tags, and whose are trusted.",
)

Which = Annotated[
    str | None,
    named(
        "[VENDOR/NAME[@REF]]",
        "A branch or tag; all of a repository without REF, all of the store when left out.",
    ),
]


@command
def sign_new(
    settings: Settings,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Where; it must not be there.", show_default=False)
    ],
) -> None:
    """Make a key to sign by, in a file that only you can read, and show its public key."""
    from ..cas.signing.keyfiles import make_signing_key

    path = os.path.abspath(file)
    key = make_signing_key(path).key.hex()
    if settings.json:
        say_json({"key": key, "file": path})
    else:
        say(key)


@command
def sign_show(
    settings: Settings,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="The key's file; else that of --sign-key.", show_default=False
        ),
    ] = None,
) -> None:
    """Show the public key of a key: what others trust."""
    from ..cas.signing.keyfiles import read_signing_key

    path = os.path.abspath(file) if file else settings.sign_key
    if not path:
        raise UsageError("name the key's file, or set `sign_key`")
    key = read_signing_key(path).key.hex()
    if settings.json:
        say_json({"key": key, "file": path})
    else:
        say(key)


@command
def sign_trust(
    settings: Settings,
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="A public key, 64 digits, or the file of your own key.",
            show_default=False,
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME]", help="What to call it; else its first digits.", show_default=False
        ),
    ] = "",
) -> None:
    """Trust what a key signs, in this store's folder."""
    import trio

    from ..trusting import trust_key

    public = public_key_of(key)

    async def work() -> str:
        return await trust_key(settings.store, public, name, wait=settings.wait)

    called = trio.run(work)
    if settings.json:
        say_json({"key": public.hex(), "name": called})
    elif not settings.quiet:
        say(f"{public.hex()} is trusted as {called}")


@command
def sign_untrust(
    settings: Settings,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="Its name or digits.", show_default=False)
    ],
) -> None:
    """Trust a key no more: what it signed is not shown where signatures are required."""
    import trio

    from ..trusting import distrust_key

    async def work() -> str:
        return (await distrust_key(settings.store, key, wait=settings.wait)).hex()

    gone = trio.run(work)
    if settings.json:
        say_json({"key": gone})
    elif not settings.quiet:
        say(f"{gone} is not trusted any more")


@command
def sign_ls(settings: Settings) -> None:
    """List the keys that this store's folder trusts."""
    import trio

    from ..trusting import trusted_keys

    found = trio.run(trusted_keys, settings.store)
    if settings.json:
        say_json([{"key": key.hex(), "name": name} for key, name in found.items()])
    elif found:
        say(columns([["name", "key"], *([name, key.hex()] for key, name in found.items())], "<<"))


@command
def sign_refs(settings: Settings, which: Which = None) -> None:
    """Sign branches and tags as they are now, with the key of --sign-key.

    For what was added before there was a key, or was signed by another one; what this key has
    signed already is left as it is. Look at it first.
    """
    from ..cas.history.vouching import sign_refs as sign
    from ..cas.refnames import parse_address

    address = None if which is None else parse_address(which)

    async def work(store: "Store") -> "list[RefChanged]":
        store.members.cipher.require()
        return await sign(store.access, address)

    _tell_signed(settings, in_store(settings, work, signed=False))


@command
def sign_check(settings: Settings, which: Which = None) -> int:
    """Tell who signed each branch and tag, and whether it is shown where signatures are required.

    Exit status 1 where any is not.
    """
    from ..cas.history.vouching import states
    from ..cas.refnames import parse_address

    address = None if which is None else parse_address(which)

    async def work(store: "Store") -> "list[RefState]":
        import trio

        from ..trusting import trusted_keys

        keys = await trusted_keys(settings.store)
        return await trio.to_thread.run_sync(states, store.index, store.path, keys, address)

    found = in_store(settings, work, ask=False, signed=False)
    if settings.json:
        say_json([_document(state) for state in found])
    elif found:
        head = ["ref", "commit", "when", "signed by", "shown"]
        say(columns([head, *map(_row, found)], "<<<<<"))
    return 1 if any(state.problem for state in found) else 0


def _document(state: "RefState") -> dict[str, object]:
    head = state.head
    return {
        "repository": str(head.repo),
        "kind": head.kind.name.lower(),
        "ref": head.ref,
        "commit": head.commit.hex(),
        "time_ns": head.time_ns,
        "key": None if state.key is None else state.key.hex(),
        "problem": state.problem or None,
    }


def _row(state: "RefState") -> list[str]:
    head = state.head
    key = "nobody" if state.key is None else state.key.hex()[:16]
    name, commit = one_line(f"{head.repo}@{head.ref}"), head.commit.hex()[:12]
    # The line has both already, and --json has all of it.
    why = one_line(state.problem).removeprefix(f"{name}, commit {commit}, ")
    return [name, commit, human_time(head.time_ns), key, why or "yes"]


def _tell_signed(settings: Settings, changes: "list[RefChanged]") -> None:
    if settings.json:
        names = ("vendor", "name", "ref")
        say_json(
            [{**{key: getattr(c, key) for key in names}, "commit": c.new.hex()} for c in changes]
        )
    elif not settings.quiet:
        for c in changes:
            say(f"signed {one_line(f'{c.vendor}/{c.name}@{c.ref}')}, commit {c.new.hex()[:12]}")
        say(f"{plural(len(changes), 'ref')} signed")


app.command("new", cls=PlainCommand)(sign_new)
app.command("show", cls=PlainCommand)(sign_show)
app.command("trust", cls=PlainCommand)(sign_trust)
app.command("untrust", cls=PlainCommand)(sign_untrust)
app.command("ls", cls=PlainCommand)(sign_ls)
app.command("refs", cls=PlainCommand)(sign_refs)
app.command("check", cls=PlainCommand)(sign_check)
