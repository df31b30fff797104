"""What settings are where nobody has said anything; each is asked with the environment."""

import os
import pwd
import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from ..errors import UsageError
from .settingvalues import Value

SYSTEM_STORE: Final = "/var/lib/modelfloat"
SYSTEM_MOUNT: Final = "/models"


def always(value: Value) -> Callable[[Mapping[str, str]], Value]:
    """`value`, whatever the environment says."""
    return lambda _: value


def grace(_environment: Mapping[str, str]) -> float:
    """Seconds that gc keeps what was removed."""
    from ..cas.gc.collected import GRACE

    return GRACE


def binding(_environment: Mapping[str, str]) -> str:
    """The first binding that works."""
    from ..fuse.bindings import AUTO

    return AUTO


def month(_environment: Mapping[str, str]) -> float:
    """Seconds of a month."""
    return 30 * 86_400.0


def slow_read(_environment: Mapping[str, str]) -> float:
    """Seconds that a read may take untold."""
    return 2.0


def refresh(_environment: Mapping[str, str]) -> float:
    """Seconds between two looks at what other machines did."""
    from ..cas.journal.stamp import REFRESH

    return REFRESH


def memory(_environment: Mapping[str, str]) -> int:
    """Bytes, by what is free."""
    from ..cas.read.memorylimit import default_limit

    return default_limit()


def reserve(_environment: Mapping[str, str]) -> int:
    """Bytes that are set aside for a full disk."""
    from ..cas.reserve import SIZE

    return SIZE


def cache_size(_environment: Mapping[str, str]) -> int:
    """Bytes that the disk cache may take."""
    from ..cas.cache.options import SIZE

    return SIZE


def cache_free(_environment: Mapping[str, str]) -> int:
    """Bytes that it leaves free."""
    from ..cas.cache.options import KEEP_FREE

    return KEEP_FREE


def store(environment: Mapping[str, str]) -> str:
    """The system's store for root, one of their own for others."""
    if os.geteuid() == 0:
        return SYSTEM_STORE
    data = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = data if os.path.isabs(data) else _in_home(".local/share", "the store with --store")
    return os.path.join(base, "modelfloat")


def mount(_environment: Mapping[str, str]) -> str:
    """The folder that the store is mounted on."""
    if os.geteuid() == 0:
        return SYSTEM_MOUNT
    return _in_home("modelfloat", "the folder to mount on")


def _in_home(name: str, instead: str) -> str:
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise UsageError(f"this user has no home folder ($HOME is not set); name {instead}")
    return os.path.join(home, name)


def is_root(_environment: Mapping[str, str]) -> bool:
    """Whether root asks."""
    return os.geteuid() == 0


def author(environment: Mapping[str, str]) -> str:
    """What git would say of who a commit is by (git-commit(1)), or the login name."""
    known = _git_identity()
    name, email = (
        environment.get(f"GIT_AUTHOR_{part.upper()}")
        or known.get(f"author.{part}")
        or known.get(f"user.{part}")
        or ""
        for part in ("name", "email")
    )
    if name and email:
        return f"{name} <{email}>"
    return name or email or _login_name()


def _git_identity() -> dict[str, str]:
    """`user.name` and its like as git is configured here; of several values the last counts."""
    try:
        answer = subprocess.run(
            ["git", "config", "--null", "--get-regexp", r"^(user|author)\.(name|email)$"],  # noqa: S607  git is wherever PATH has it
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        return {}
    pairs = (row.partition("\n") for row in answer.stdout.split("\0"))
    return {key: value.strip() for key, _, value in pairs}


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
