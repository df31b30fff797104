"""What a command runs with, and the only reader of the environment.

A setting comes from its flag, then from `MODELFLOAT_…`, then from the table [settings] of the
store's `config.toml`, then from its default; `settingtable.py` lists them all.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..errors import FormatError, UsageError
from .settingtable import BY_KEY, PREFIX
from .settingvalues import Value

DEFAULT: Final = "default"
"""The origin of a value that nothing was said about."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options as they were typed, before or after the command."""

    store: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    wait: bool | None = None
    key_file: str | None = None
    passphrase_file: str | None = None
    sign_key: str | None = None
    require_signature: bool | None = None

    def merged(self, inner: "Flags") -> "Flags":
        """These, overridden by those that stood closer to the command's end."""
        return Flags(
            inner.store if inner.store is not None else self.store,
            self.json or inner.json,
            self.quiet or inner.quiet,
            self.verbose or inner.verbose,
            inner.wait if inner.wait is not None else self.wait,
            inner.key_file if inner.key_file is not None else self.key_file,
            inner.passphrase_file if inner.passphrase_file is not None else self.passphrase_file,
            inner.sign_key if inner.sign_key is not None else self.sign_key,
            self.require_signature if inner.require_signature is None else inner.require_signature,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A setting's value and where it came from: a flag, a variable, a file or `default`."""

    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """`store` is the absolute path of the store; `json`, `quiet` and `verbose` shape the output.

    Every other setting is looked up when it is asked for, so one that cannot be fails only the
    commands that need it. `stored` is the table [settings] of the store's configuration.
    """

    store: str
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    flags: Flags = field(default_factory=Flags)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    stored: Mapping[str, Value] = field(default_factory=dict)

    @property
    def wait(self) -> bool:
        """Whether to wait for a lock that another process holds."""
        return self.switch("wait", self.flags.wait)

    @property
    def require_signature(self) -> bool:
        """Whether only refs are shown that a trusted key signed."""
        return self.switch("require_signature", self.flags.require_signature)

    @property
    def sign_key(self) -> str:
        """The file of the key that changes of refs are signed by, "" where they are not."""
        if self.flags.sign_key == "":
            return ""  # for once, whatever the settings say
        return self.text("sign_key", self.flags.sign_key)

    @property
    def notify_socket(self) -> str:
        """Where systemd listens for how a service is, "" when it started us for no such service."""
        return self.environment.get("NOTIFY_SOCKET", "")

    def find(self, key: str, flag: Value | None = None) -> Found:
        """Value and origin of a setting; UsageError or FormatError names what cannot be read."""
        setting = BY_KEY[key]
        text = self.environment.get(setting.variable)
        if flag not in (None, ""):
            return Found(_read(key, flag, setting.flag), setting.flag)
        if text:
            return Found(_read(key, text, f"${setting.variable}"), f"${setting.variable}")
        if setting.stored and key in self.stored:
            file = os.path.join(self.store, "config.toml")
            try:
                return Found(_read(key, self.stored[key], f"{key} in {file}"), file)
            except UsageError as error:
                raise FormatError(str(error)) from None
        return Found(setting.default(self.environment), DEFAULT)

    def switch(self, key: str, flag: bool | None = None) -> bool:
        """The value of a setting that is on or off."""
        return bool(self.find(key, flag).value)

    def text(self, key: str, flag: str | None = None) -> str:
        """The value of a setting that is text, or an absolute path."""
        return str(self.find(key, flag).value)

    def number(self, key: str, flag: str | float | None = None) -> float:
        """The value of a setting that is a number: bytes of a size, seconds of a duration."""
        return float(self.find(key, flag).value)

    def unknown(self) -> list[str]:
        """Keys in the store's [settings] that no setting has."""
        return sorted(key for key in self.stored if key not in BY_KEY or not BY_KEY[key].stored)

    def refuse_unknown(self) -> None:
        """FormatError where the store's configuration has settings that this release lacks."""
        if names := ", ".join(self.unknown()):
            raise FormatError(
                f"{self.store}/config.toml sets {names}, which is no setting; correct it or take "
                "it out (`modelfloat config` lists what there is)"
            )


def resolve(flags: Flags, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that follow from the global options, the environment and the store."""
    given = Settings("", flags.json, flags.quiet, flags.verbose, flags, environment)
    store = given.text("store", flags.store)
    return Settings(
        store, flags.json, flags.quiet, flags.verbose, flags, environment, _stored(store)
    )


def foreign_variables(environment: Mapping[str, str], backends: Iterable[str] = ()) -> list[str]:
    """Variables that look like settings or credentials of `backends` and are none: misspelt."""
    from ..backends.credentials import variables_of

    known = variables_of(backends).union(setting.variable for setting in BY_KEY.values())
    known |= {f"{PREFIX}PASSPHRASE"}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _stored(store: str) -> Mapping[str, Value]:
    """What the store's configuration sets; nothing where it cannot be read, as opening it says."""
    path = os.path.join(store, "config.toml")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    if b"[settings]" not in data:
        return {}
    import tomllib

    try:
        table = tomllib.loads(data.decode()).get("settings")
    except ValueError:
        return {}
    return table if isinstance(table, dict) else {}


def _read(key: str, given: Value, where: str) -> Value:
    text = ("no", "yes")[given] if isinstance(given, bool) else str(given)
    try:
        return BY_KEY[key].read(text)
    except ValueError as error:
        raise UsageError(f"{where}: {text!r} cannot be: {error}") from None


def hf_cache(flag: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The folder of the Hugging Face cache: as huggingface_hub finds it, unless one was given."""
    home = environment.get("HF_HOME") or os.path.join(
        environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"
    )
    path = (
        flag
        or environment.get("HF_HUB_CACHE")
        or environment.get("HUGGINGFACE_HUB_CACHE")
        or os.path.join(home, "hub")
    )
    return os.path.abspath(os.path.expanduser(path))
