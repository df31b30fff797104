"""The global options, on every command and before it, and what surrounds a command's work.

A command is a function whose first parameter is `settings`. `@command` puts the global options in
that parameter's place, so they are parsed, shown in the help and completed after the command too.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer
from typer.core import TyperCommand

from ..version import __version__
from .failures import guarded
from .settings import Flags, Settings, resolve

_P = ParamSpec("_P")
_TYPE: Final = re.compile(r" <(?:str|list\[str\]|int)>")
_BRACED: Final = re.compile(r"\{([^{}]*)\}|\[(\[[^ ]*\])\]")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelfloat {__version__}")
        raise typer.Exit


def global_options(
    context: typer.Context,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the store is; else $MODELFLOAT_STORE, else /var/lib/modelfloat as root and "
            "~/.local/share/modelfloat otherwise.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Say more; show the traceback of a failure.")
    ] = False,
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait",
            help="Wait for a lock that another process holds, or fail at once; --wait by default.",
            show_default=False,
        ),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Open an encrypted store with a key file, or with its recovery sheet.",
            show_default=False,
        ),
    ] = None,
    passphrase_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Open it with the passphrase in the first line of a file; else it is asked for.",
            show_default=False,
        ),
    ] = None,
    sign_key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Sign changes of branches and tags by the key in a file (`key sign new`).",
            show_default=False,
        ),
    ] = None,
    require_signature: Annotated[
        bool | None,
        typer.Option(
            "--require-signature/--no-require-signature",
            help="Show only what a key signed that the store trusts (`key sign trust`), and "
            "nothing older than was seen.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Remember the global options that stand before a command or between it and its group."""
    flags = Flags(
        store,
        json,
        quiet,
        verbose,
        wait,
        key_file,
        passphrase_file,
        sign_key,
        require_signature,
    )
    _remember(context, flags)


_GLOBAL: Final = inspect.signature(global_options).parameters


class PlainCommand(TyperCommand):
    """A command whose help names arguments as we do, without typer's types and braces."""

    def get_help(self, ctx: Any) -> str:
        """The help as typer writes it, made plain: `SRC...` for `{SRC}...`."""
        head, arguments, rest = super().get_help(ctx).partition("\nArguments:\n")
        listed, options, tail = rest.partition("\nOptions:\n")
        usage, _, text = head.partition("\n")
        usage = _BRACED.sub(lambda match: match[1] or match[2], usage)
        # Padded, so the columns stay where typer put them.
        listed = _TYPE.sub(lambda match: " " * len(match[0]), listed)
        tail = _TYPE.sub(lambda match: " TEXT".ljust(len(match[0])), tail)
        return "".join([f"{usage}\n{text}", arguments, listed, options, tail])


def command(
    function: Callable[Concatenate[Settings, _P], int | None],
) -> Callable[..., int]:
    """Make `function` a command with the global options; it returns its exit status, None for 0."""
    signature = inspect.signature(function)
    own = list(signature.parameters.values())[1:]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *_GLOBAL.values()]]

    @functools.wraps(function)
    def run(context: typer.Context, **given: Any) -> int:
        del given["version"]
        flags = Flags(**{each.name: given.pop(each.name) for each in dataclasses.fields(Flags)})
        settings = resolve(_remember(context, flags))
        return guarded(settings, functools.partial(function, settings, **given))

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _remember(context: typer.Context, inner: Flags) -> Flags:
    outer = context.obj if isinstance(context.obj, Flags) else Flags()
    merged = outer.merged(inner)
    context.obj = merged
    return merged
