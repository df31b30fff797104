"""Sessions that outlive a process: MEGA counts logins, and asks work for many of them.

One file an account, `mega-<hash>.json` in the folder where the store keeps accounts, mode 0600: the
session id, and the master key as MEGA sent it, encrypted by the password. So who reads the file
may list and delete what the account holds, and reads none of it. It is a cache: what cannot be
read, is another's, or does not fit the password is passed over.

Blocks: it runs in worker threads. Processes replace the file as a whole; the last one wins.
"""

import contextlib
import json
import logging
import os
import stat
from dataclasses import dataclass, field
from typing import Final

from blake3 import blake3

from ..private import write_file
from .address import Account
from .ciphers import decode, encode, unwrap
from .secrets import PasswordKeys, password_keys

VERSION: Final = 1
_LONGEST: Final = 64 << 10
_CHECK: Final = 16
"""Bytes of a hash of the master key: a wrong password gives another one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gave: the id that requests carry, and the master key."""

    sid: str = field(repr=False)
    master: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it is kept: `wrapped` is the master key under the password's key."""

    sid: str = field(repr=False)
    wrapped: str = field(repr=False)
    version: int
    salt: str = field(repr=False)
    check: str = field(repr=False)

    @classmethod
    def of(cls, session: Session, wrapped: str, version: int, salt: str) -> "Kept":
        """What is kept of a session just begun."""
        return cls(session.sid, wrapped, version, salt, _check(session.master))

    def open(self, account: Account) -> Session | None:
        """The session, by the password; None where it is another account's or password's."""
        try:
            keys = password_keys(self.version, account.email, account.password, decode(self.salt))
            master = opened(keys, self.wrapped)
        except ValueError:
            return None
        return Session(self.sid, master) if _check(master) == self.check else None


def opened(keys: PasswordKeys, wrapped: str) -> bytes:
    """The master key; ValueError where it cannot be one."""
    master = unwrap(keys.key, decode(wrapped))
    if len(master) != 16:
        raise ValueError("a master key has 16 bytes")
    return master


class SessionFile:
    """Where the session of an account is kept; without a folder nowhere."""

    def __init__(self, folder: str | None, endpoint: str, account: Account) -> None:
        name = blake3(f"{endpoint}\n{account.email}".encode()).hexdigest(16)
        self._path = None if folder is None else os.path.join(folder, f"mega-{name}.json")

    def load(self) -> Kept | None:
        """What was kept; None where there is nothing to rely on."""
        if self._path is None:
            return None
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                found = os.fstat(fd)
                if found.st_uid not in self._owners() or stat.S_IMODE(found.st_mode) & 0o077:
                    log.warning("%s is another's, or others can read it: passed over", self._path)
                    return None
                return _decoded(file.read(_LONGEST))
        except (OSError, ValueError):
            return None

    def _owners(self) -> tuple[int, int]:
        """Ourselves, and the owner of the store, to whom root gives what it writes there."""
        return os.geteuid(), os.stat(os.path.dirname(self._path or ".")).st_uid

    def save(self, kept: Kept) -> None:
        """Keep a session, best effort: without it the next process logs in by itself."""
        if self._path is None:
            return
        text = json.dumps(
            {
                "modelfloat": VERSION,
                "sid": kept.sid,
                "master": kept.wrapped,
                "version": kept.version,
                "salt": kept.salt,
                "check": kept.check,
            }
        )
        try:
            write_file(self._path, text.encode())
        except OSError as error:
            log.info("the session with MEGA is not kept (%s)", error.strerror)

    def forget(self, sid: str) -> None:
        """Remove the file where it still has that session."""
        kept = self.load()
        if self._path is not None and kept is not None and kept.sid == sid:
            with contextlib.suppress(OSError):
                os.unlink(self._path)


def _decoded(data: bytes) -> Kept | None:
    found = json.loads(data)
    if not isinstance(found, dict) or found.get("modelfloat") != VERSION:
        return None
    texts = [found.get(name) for name in ("sid", "master", "salt", "check")]
    version = found.get("version")
    if not all(isinstance(text, str) for text in texts) or not isinstance(version, int):
        return None
    sid, wrapped, salt, check = map(str, texts)
    return Kept(sid, wrapped, version, salt, check)


def _check(master: bytes) -> str:
    return encode(blake3(master).digest(_CHECK))
