"""The global options, on every command and before it, and what surrounds a command's work.

A command is a function whose first parameter is `settings`. `@command` puts the global options in
that parameter's place, so they are parsed, shown in the help and completed after the command too.
"""

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from .failures import guarded
from .globalflags import (
    Json,
    KeyFile,
    PassphraseFile,
    Quiet,
    RequireSignature,
    SignKey,
    StoreFolder,
    Verbose,
    Version,
    Wait,
)
from .plainparams import take_as_given
from .settings import Flags, Settings, resolve

_P = ParamSpec("_P")
_TYPE: Final = re.compile(r" <(?:str|list\[str\]|int)>")
_BRACED: Final = re.compile(r"\{([^{}]*)\}|\[(\[[^ ]*\])\]")


def global_options(
    context: typer.Context,
    store: StoreFolder = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    wait: Wait = None,
    key_file: KeyFile = None,
    passphrase_file: PassphraseFile = None,
    sign_key: SignKey = None,
    require_signature: RequireSignature = None,
    version: Version = False,
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


class PlainGroup(TyperGroup):
    """Commands, with options that are taken as they are given."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options, that for help and those for completion too."""
        params = super().get_params(ctx)
        take_as_given(params)
        return params


class PlainCommand(TyperCommand):
    """A command whose help names arguments as we do, without typer's types and braces."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options and arguments, taken as they are given."""
        params = super().get_params(ctx)
        take_as_given(params)
        return params

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
