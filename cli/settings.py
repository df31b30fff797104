"""What a command runs with, and the only reader of the environment.

A setting comes from its flag, then from `MODELFLOAT_…`, then from a default; what belongs to one
store (its backends, its scheme) stands in that store's `config.toml`.
"""

import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

SYSTEM_STORE: Final = "/var/lib/modelfloat"
SYSTEM_MOUNT: Final = "/models"


@dataclass(frozen=True, slots=True)
class Flags:
    """The global options as they were typed, before or after the command."""

    store: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False

    def merged(self, inner: "Flags") -> "Flags":
        """These, overridden by those that stood closer to the command's end."""
        return Flags(
            inner.store if inner.store is not None else self.store,
            self.json or inner.json,
            self.quiet or inner.quiet,
            self.verbose or inner.verbose,
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """`store` is the absolute path of the store; `json`, `quiet` and `verbose` shape the output."""

    store: str
    json: bool = False
    quiet: bool = False
    verbose: bool = False


def resolve(flags: Flags, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that follow from the global options and the environment."""
    store = flags.store or environment.get("MODELFLOAT_STORE") or _default_store(environment)
    path = os.path.abspath(os.path.expanduser(store))
    return Settings(path, flags.json, flags.quiet, flags.verbose)


def _default_store(environment: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return SYSTEM_STORE
    data = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = data if os.path.isabs(data) else os.path.expanduser("~/.local/share")
    return os.path.join(base, "modelfloat")


def mount_point(flag: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The absolute path of the folder to mount on."""
    default = SYSTEM_MOUNT if os.geteuid() == 0 else "~/modelfloat"
    path = flag or environment.get("MODELFLOAT_MOUNT") or default
    return os.path.abspath(os.path.expanduser(path))


def author(environment: Mapping[str, str] = os.environ) -> str:
    """Who a commit is by: `$MODELFLOAT_AUTHOR`, what git would say, or the login name."""
    given = environment.get("MODELFLOAT_AUTHOR")
    if given:
        return given
    name, email = _git_config("user.name"), _git_config("user.email")
    if name and email:
        return f"{name} <{email}>"
    return name or email or _login_name()


def _git_config(key: str) -> str:
    try:
        answer = subprocess.run(  # noqa: S603  a fixed command, no shell
            ["git", "config", "--get", key],  # noqa: S607  git is wherever PATH has it
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return ""
    return answer.stdout.strip()


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
