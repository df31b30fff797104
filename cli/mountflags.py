"""Users, groups and permission masks as one types them."""

import grp
import pwd
import re
from typing import Final

from ..errors import UsageError

_LARGEST: Final = (1 << 32) - 2
"""The largest number of a user or group; the next one means "none"."""


def user_id(text: str) -> int:
    """A user's number, from itself or from a name; UsageError if there is none."""
    if text.isdecimal():
        return _number(text, "--uid")
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise UsageError(f"--uid {text}: there is no such user; give a number") from None


def group_id(text: str) -> int:
    """A group's number, from itself or from a name; UsageError if there is none."""
    if text.isdecimal():
        return _number(text, "--gid")
    try:
        return grp.getgrnam(text).gr_gid
    except KeyError:
        raise UsageError(f"--gid {text}: there is no such group; give a number") from None


def permission_mask(text: str) -> int:
    """Permissions that are held back, from octal digits as umask(1) takes them."""
    if not re.fullmatch("0*[0-7]{1,3}", text):
        raise UsageError(f"--umask {text}: write up to three octal digits, as in 022")
    return int(text, 8)


def _number(text: str, option: str) -> int:
    if len(text) > 10 or int(text) > _LARGEST:
        raise UsageError(f"{option} {text}: numbers end at {_LARGEST}")
    return int(text)
