"""Keys: the one place that checks them, and the ones that the engine uses.

A key matches `[a-z0-9/._-]{1,200}`, has no empty component and none that is `.` or `..`, and its
first component is not `tmp`, which directories use for uploads under way (`docs/format.md`, Keys).

Keys are made by this program, never typed by a user, so a bad one is a ValueError: a mistake in
the program, not an answer of a backend. What a listing finds and does not match is no key.
"""

import re
from typing import Final

from ..ids import Key, PackId, SiteId, WriterId

MARKER_KEY: Final = Key("modelfloat.json")
"""Every backend's marker, see `marker`."""

RESERVE_KEY: Final = Key("reserve")
"""Nothing but room, for whoever makes room on a full backend; see `cas.ballast`."""

RESERVED: Final = "tmp"
"""First component that no key has."""

_REPLACED: Final = (MARKER_KEY, RESERVE_KEY, "lease/", "news/", "sessions/", "sites/")
_KEY: Final = re.compile(r"(?!tmp(?:/|$))(?!.*(?:^|/)\.\.?(?:/|$))[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_PREFIX: Final = re.compile(r"(?!.*(?:^|/)\.\.?/)(?:[a-z0-9._-]+/)*[a-z0-9._-]*")
_LONGEST: Final = 200

_HEX: Final = "[0-9a-f]"
_NUMBER: Final = "(?:0|[1-9][0-9]{0,2})"
_SHARD: Final = re.compile(
    rf"packs/({_HEX}{{2}})/({_HEX}{{32}})/({_NUMBER})-({_NUMBER})-({_NUMBER})"
)
_CONDEMNED: Final = re.compile(rf"condemned/({_HEX}{{32}})")
_JOURNAL: Final = re.compile(rf"journal/({_HEX}{{32}})/({_HEX}{{16}})-({_NUMBER})")

_LEASE: Final = re.compile(rf"lease/([a-z]+)/({_HEX}{{16}})")
_SESSION: Final = re.compile(rf"sessions/({_HEX}{{32}})")
_SITE: Final = re.compile(rf"sites/({_HEX}{{32}})")
_KEYRING: Final = re.compile(rf"keys/({_HEX}{{16}})")


def is_key(text: str) -> bool:
    """Whether `text` may be a key."""
    return len(text) <= _LONGEST and _KEY.fullmatch(text) is not None


def check_key(text: str) -> Key:
    """`text` as a key; ValueError when it cannot be one."""
    if not is_key(text):
        raise ValueError(f"{text!r} cannot be a key: see the grammar in docs/format.md")
    return Key(text)


def check_prefix(text: str) -> str:
    """`text` if keys can begin with it ("" begins them all), else ValueError."""
    if len(text) > _LONGEST or _PREFIX.fullmatch(text) is None:
        raise ValueError(f"no key begins with {text!r}: see the grammar in docs/format.md")
    return text


def is_replaced(text: str) -> bool:
    """Whether the values of a key, or of all keys with that prefix, are replaced by others.

    All other keys are written once, or again with the same bytes.
    """
    return text.startswith(_REPLACED)


def shard_key(pack: PackId, index: int, k: int, m: int) -> Key:
    """Where shard `index` of a pack of the scheme k+m lies on its backend."""
    text = pack.hex()
    return Key(f"packs/{text[:2]}/{text}/{index}-{k}-{m}")


def parse_shard_key(key: str) -> tuple[PackId, int, int, int] | None:
    """Pack id, shard index, k and m of a shard's key; None when it is no shard's key."""
    match = _SHARD.fullmatch(key)
    if match is None or not match[2].startswith(match[1]):
        return None
    index, k, m = int(match[3]), int(match[4]), int(match[5])
    if k < 1 or index >= k + m:
        return None
    return PackId(bytes.fromhex(match[2])), index, k, m


def condemned_key(pack: PackId) -> Key:
    """Where the record lies that a pack is to be deleted."""
    return Key(f"condemned/{pack.hex()}")


def parse_condemned_key(key: str) -> PackId | None:
    """The pack that a record's key condemns; None when it is no such key."""
    match = _CONDEMNED.fullmatch(key)
    return None if match is None else PackId(bytes.fromhex(match[1]))


def journal_key(writer: WriterId, seq: int, copy: int) -> Key:
    """Where copy `copy` of a writer's record `seq` lies (records count from 1, copies from 0)."""
    return Key(f"journal/{writer.hex()}/{seq:016x}-{copy}")


def parse_journal_key(key: str) -> tuple[WriterId, int, int] | None:
    """Writer, sequence number and copy of a record's key; None when it is no record's key."""
    match = _JOURNAL.fullmatch(key)
    if match is None:
        return None
    return WriterId(bytes.fromhex(match[1])), int(match[2], 16), int(match[3])


def lease_key(name: str, number: int) -> Key:
    """Where holding `number` of the lease of that name lies (they count from 1)."""
    return Key(f"lease/{name}/{number:016x}")


def parse_lease_key(key: str) -> tuple[str, int] | None:
    """Name and number of a lease's key; None when it is no such key."""
    match = _LEASE.fullmatch(key)
    return None if match is None else (match[1], int(match[2], 16))


def session_key(writer: WriterId) -> Key:
    """Where it lies that a writer is at work."""
    return Key(f"sessions/{writer.hex()}")


def parse_session_key(key: str) -> WriterId | None:
    """The writer that a key says is at work; None when it is no such key."""
    match = _SESSION.fullmatch(key)
    return None if match is None else WriterId(bytes.fromhex(match[1]))


def site_key(site: SiteId) -> Key:
    """Where it lies that a site writes to the store."""
    return Key(f"sites/{site.hex()}")


def parse_site_key(key: str) -> SiteId | None:
    """The site of a site record's key; None when it is no such key."""
    match = _SITE.fullmatch(key)
    return None if match is None else SiteId(bytes.fromhex(match[1]))


def news_key(site: SiteId) -> Key:
    """Where it lies what a site has recorded last."""
    return Key(f"news/{site.hex()}")


def keyring_key(number: int) -> Key:
    """Where the keyring of that number of an encrypted store lies (they count from 1)."""
    return Key(f"keys/{number:016x}")


def parse_keyring_key(key: str) -> int | None:
    """The number of a keyring's key; None when it is no such key."""
    match = _KEYRING.fullmatch(key)
    return None if match is None else int(match[1], 16)
