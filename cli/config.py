"""`modelfloat config`: every setting, its value and where that came from; and how to change one."""

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import typer

from ..errors import FormatError, NotFoundError, UsageError
from .options import command
from .output import columns, one_line, say, say_json
from .settings import Found, Settings
from .settingtable import BY_KEY, SETTINGS, Setting
from .settingvalues import Value, duration, memory, size

WRONG = 2


@command
def config(
    settings: Settings,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="One setting; all when left out.", show_default=False),
    ] = None,
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="VALUE",
            help="What the store's config.toml is to say from now on.",
            show_default=False,
        ),
    ] = None,
    unset: Annotated[
        bool, typer.Option("--unset", help="Take KEY out of the store's config.toml.")
    ] = False,
) -> int:
    """Show settings and where they come from, or set one.

    A setting comes from its option, else from $MODELFLOAT_KEY, else from the store's config.toml,
    else it has its default.
    """
    if value is not None or unset:
        _change(settings, key, value, unset=unset)
        return 0
    if key is not None and key not in BY_KEY:
        raise _no_setting(key)
    chosen = SETTINGS if key is None else (BY_KEY[key],)
    rows = [_look(settings, setting) for setting in chosen]
    if settings.json:
        say_json(rows)
    elif key is not None:
        say(_text(rows[0]["value"], key))
    else:
        _print(settings, rows)
    return WRONG if any(row["problem"] for row in rows) else 0


def _no_setting(key: str) -> UsageError:
    return UsageError(f"there is no setting {key}; `modelfloat config` lists what there is")


def _look(settings: Settings, setting: Setting) -> dict[str, Value]:
    """One setting as `--json` prints it."""
    problem = ""
    try:
        found = settings.find(setting.key, _flag(settings, setting))
    except (UsageError, FormatError) as error:
        found, problem = Found("", ""), str(error)
    return {
        "setting": setting.key,
        "value": found.value,
        "from": found.origin,
        "variable": setting.variable,
        "about": setting.doc,
        "problem": problem,
    }


def _flag(settings: Settings, setting: Setting) -> Value | None:
    """What a global option said; the options of other commands are not known here."""
    flag: Value | None = getattr(settings.flags, setting.key, None)
    return flag


def _print(settings: Settings, rows: list[dict[str, Value]]) -> None:
    table = [["setting", "value", "from", "what it is"]]
    for row in rows:
        value = "?" if row["problem"] else _text(row["value"], str(row["setting"]))
        table.append([str(row["setting"]), value, one_line(str(row["from"])), str(row["about"])])
    say(columns(table, "<<<<"))
    for row in rows:
        if row["problem"]:
            say(f"{row['setting']}: {one_line(str(row['problem']))}")
    for key in settings.unknown():
        say(f"{one_line(key)}: {settings.store}/config.toml sets it, but it is no setting")


_SIZES: Final = (("GiB", 1 << 30), ("GB", 10**9), ("MiB", 1 << 20), ("MB", 10**6), ("kB", 1000))
_UNITS: Final[Mapping[Callable[[str], Value], tuple[tuple[str, int], ...]]] = {
    duration: (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)),
    size: _SIZES,
    memory: _SIZES,
}
"""Units of settings, the largest first, by what reads them."""


def _text(value: Value, key: str) -> str:
    """A value as it can be typed: `14d`, `256MiB`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        for unit, length in _UNITS.get(BY_KEY[key].read, ()):
            if value and value % length == 0:
                return f"{value // length:.0f}{unit}"
    return one_line(f"{value:g}" if isinstance(value, float) else str(value)) or "–"


def _change(settings: Settings, key: str | None, value: str | None, *, unset: bool) -> None:
    import trio

    from ..opening import change_setting

    if key is None or (value is not None and unset):
        raise UsageError("write `config KEY VALUE`, or `config --unset KEY`")
    if value is None:
        if key not in settings.stored:
            raise NotFoundError(f"{settings.store}/config.toml does not set {one_line(key)}")
        trio.run(change_setting, settings.store, key, None, settings.wait)
    else:
        trio.run(change_setting, settings.store, key, _checked(key, value), settings.wait)
    if settings.json:
        say_json({"setting": key, "value": value})


def _checked(key: str, text: str) -> Value:
    """The value as config.toml keeps it; UsageError where it cannot be."""
    setting = BY_KEY.get(key)
    if setting is None:
        raise _no_setting(key)
    if not setting.stored:
        raise UsageError(
            f"{key} says where the store is: use {setting.flag} or ${setting.variable}"
        )
    try:
        value = setting.read(text)
    except ValueError as error:
        raise UsageError(f"{key}: {text!r} cannot be: {error}") from None
    # Sizes and durations stay as they were typed; a path must mean the same from everywhere.
    return value if isinstance(value, bool) or os.path.isabs(str(value)) else text
