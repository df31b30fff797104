"""What opens an encrypted store, as the user gives it: the one place that reads secrets.

In this order: `--key-file` or `--passphrase-file`; their variables, `$MODELFLOAT_PASSPHRASE`; what
systemd hands a service as a credential; their settings in the store's configuration; the terminal.
A secret never stands on a command line, which everybody on the machine may read.
"""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ..errors import UsageError
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.encryption.secrets import Secret

VARIABLE: Final = "MODELFLOAT_PASSPHRASE"
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
"""Where systemd lays a service's credentials: systemd.exec(5), Credentials."""
OFFERED: Final = {"key_file": "modelfloat-key", "passphrase_file": "modelfloat-passphrase"}
"""Setting → name of the credential that serves in its place."""

_PR_SET_DUMPABLE: Final = 4
_FLAG, _VARIABLE, _STORED = range(3)
SHORTEST: Final = 8
"""Characters of a new passphrase; every one that is there already opens."""


def secret_of(settings: Settings, *, ask: bool = True) -> "Secret | None":
    """What opens the store; None where it is in the clear, or nothing is given.

    With `ask` the terminal is asked last, where there is one.
    """
    if not is_encrypted(settings.store):
        return None
    found = given_secret(settings)
    if found is None and ask and has_terminal():
        found = passphrase_of(settings.store)
    if found is not None:
        hide_memory()
    return found


def passphrase_of(store: str) -> "Secret":
    """The passphrase that is typed at the terminal, for what is called `store` there."""
    from ..cas.encryption.secrets import passphrase

    return passphrase(_ask(f"passphrase of {store}: "))


def is_encrypted(store: str) -> bool:
    """Whether the store in that folder is; False where there is none, as opening it tells."""
    from ..config import read_config
    from ..errors import ModelFloatError

    try:
        return read_config(store).encrypted
    except (ModelFloatError, OSError):
        return False


def given_secret(settings: Settings) -> "Secret | None":
    """What was given by other means than the terminal, None where nothing was.

    UsageError where two flags contradict each other, or a file cannot be read.
    """
    from ..cas.encryption.secrets import passphrase

    if settings.flags.key_file and settings.flags.passphrase_file:
        raise UsageError("--key-file and --passphrase-file are both given; give one of them")
    ranked = sorted(_files(settings), key=lambda each: each[0])
    if ranked and ranked[0][0] <= _VARIABLE:
        return read_secret(*ranked[0][1:])
    # Programs that are started here need not see it.
    text = settings.environment.get(VARIABLE)
    os.environ.pop(VARIABLE, None)
    if text:
        return passphrase(text, f"${VARIABLE}")
    return _credential(settings) or (read_secret(*ranked[0][1:]) if ranked else None)


def _files(settings: Settings) -> Iterator[tuple[int, str, str]]:
    """Files that are named, each with how near to the user: where from, which kind, its path."""
    flags = settings.flags
    for key, flag in (("key_file", flags.key_file), ("passphrase_file", flags.passphrase_file)):
        found = settings.find(key, flag)
        if found.value:
            rank = _FLAG if flag else _VARIABLE if found.origin.startswith("$") else _STORED
            yield rank, key, str(found.value)


def _credential(settings: Settings) -> "Secret | None":
    folder = settings.environment.get(CREDENTIALS)
    for key, name in OFFERED.items():
        path = os.path.join(folder or "", name)
        if folder and os.path.exists(path):
            return read_secret(key, path)
    return None


def read_secret(key: str, path: str) -> "Secret":
    """The secret in the file of a setting, `key_file` or `passphrase_file`."""
    from ..cas.encryption import secretfiles

    if key == "key_file":
        return secretfiles.read_key_file(path)
    return secretfiles.read_passphrase_file(path)


def new_secret(key_file: str | None, passphrase_file: str | None, what: str) -> "Secret":
    """A new secret: from a file, which is made where a key file is named that is not there, else
    from the terminal, twice. `what` says in messages which option names a file."""
    from ..cas.encryption.secretfiles import make_key_file, read_key_file, read_passphrase_file
    from ..cas.encryption.secrets import passphrase

    if key_file and passphrase_file:
        raise UsageError(f"give one of {what}, not both")
    if key_file:
        make_key_file(key_file)
        return strong(read_key_file(key_file))
    if passphrase_file:
        return strong(read_passphrase_file(passphrase_file))
    if not has_terminal():
        raise UsageError(f"there is no terminal to ask for a passphrase on; give one of {what}")
    first = _ask("new passphrase: ")
    if first != _ask("the same again: "):
        raise UsageError("the two passphrases are not the same; run the command again")
    return strong(passphrase(first))


def strong(found: "Secret") -> "Secret":
    """A secret that may open a store from now on; UsageError for others."""
    if found.kind is None:
        raise UsageError(
            f"{found.source} cannot be a key: it is the store's own; name another file"
        )
    if found.kind.name == "PASSPHRASE" and len(found.data.decode(errors="replace")) < SHORTEST:
        raise UsageError(
            f"{found.source} has less than {SHORTEST} characters, and could be guessed; take "
            "several words"
        )
    return found


def has_terminal() -> bool:
    """Whether there is somebody who could be asked."""
    return sys.stderr.isatty()


def confirm(question: str, answer: str) -> bool:
    """Whether somebody at the terminal types `answer`."""
    sys.stderr.write(f"{question}\ntype `{answer}` to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == answer


def _ask(question: str) -> str:
    import getpass

    try:
        return getpass.getpass(question)
    except EOFError:
        raise UsageError("no passphrase was typed; run the command again") from None


def hide_memory() -> None:
    """Keep what this process has in memory out of core dumps, and from debuggers of its user.

    As far as that goes: root sees everything, and what is swapped out lies on the disk. Sources:
    prctl(2), PR_SET_DUMPABLE; core(5).
    """
    import ctypes
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
