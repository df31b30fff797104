"""The table of settings: what each is called, how its text is read, what it is by default.

A setting `some_name` is `$MODELFLOAT_SOME_NAME` in the environment and `some_name` in the table
[settings] of a store's config.toml. A new one is one entry in `SETTINGS`; a command asks for it
with `settings.switch("some_name", flag)` (or `text`, `number`), `flag` being None where the option
was not given.
"""

import os
import pwd
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import UsageError

Value = str | bool | int | float
"""What a setting is; sizes are bytes, durations seconds."""

PREFIX: Final = "MODELFLOAT_"
LONGEST: Final = 36_525 * 86_400.0
"""Seconds, a century: with more, the moment that lies so far ahead would have no date."""
EFFORTS: Final = ("fast", "balanced", "small")
"""As `cas.codecs.effort` has them; a test compares."""
LARGEST: Final = 10**18
"""Bytes: no disk has more."""
SYSTEM_STORE: Final = "/var/lib/modelfloat"
SYSTEM_MOUNT: Final = "/models"

OFF: Final = "off"

_YES: Final = frozenset({"1", "yes", "true", "on"})
_NO: Final = frozenset({"0", "no", "false", "off"})
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtT]?)(i?)B?")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|h|d|w)?")
_SECONDS: Final = {None: 1, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def switch(text: str) -> bool:
    """`yes` or `no`; ValueError says so."""
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError("write yes or no")
    return word in _YES


def words(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise ValueError("it must not be empty")
    return text


def binding(text: str) -> str:
    """The name of a binding; ValueError says which there are."""
    from ..fuse.bindings import CHOICES

    if text.strip() not in CHOICES:
        raise ValueError(f"write {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    return text.strip()


def metrics(text: str) -> str:
    """An address of this machine's loopback and a port, or `off`; ValueError says how to write."""
    from ..fuse.endpoint import parse_endpoint

    if text.strip().lower() in {OFF, "no"}:
        return OFF
    try:
        return str(parse_endpoint(text))
    except ValueError as error:
        raise ValueError(f"{error}; {OFF} tells nothing") from None


def path(text: str) -> str:
    """An absolute path; `~` is a home folder."""
    return os.path.abspath(os.path.expanduser(words(text)))


def size(text: str) -> int:
    """Bytes from `4GB`, `256 MiB` or `1000`; ValueError says how to write it."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a size, for example 400MB or 2GiB")
    base = 1024 if match[3] else 1000
    found = float(match[1]) * base ** " kmgt".index((match[2] or " ").lower())
    if found > LARGEST:
        raise ValueError("write a size of at most 1000000 TB")
    return int(found)


def rate(text: str) -> int:
    """Bytes a second from `50MB/s` or `50MB`; ValueError says how to write it."""
    return size(text.strip().removesuffix("/s"))


def memory(text: str) -> int:
    """Bytes of memory for reading; ValueError below what it takes to read at all."""
    from ..cas.read.memorylimit import LEAST

    found = size(text)
    if found < LEAST:
        raise ValueError("write a size of at least 64MiB")
    return found


def duration(text: str) -> float:
    """Seconds from `14d`, `500 ms` or `30`; ValueError says how to write it.

    A lone `m` is none: `grace` may have meant a month.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a duration, for example 14d, 12h, 5min, 30s or 500ms")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > LONGEST:
        raise ValueError("write a duration of at most 36525d")
    return seconds


def count(text: str) -> int:
    """A whole number from 0 on; ValueError says so."""
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise ValueError("write a whole number")
    return int(text)


def effort(text: str) -> str:
    """The name of an effort; ValueError says which there are."""
    word = text.strip().lower()
    if word not in EFFORTS:
        raise ValueError("write fast, balanced or small")
    return word


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `flag` is the option that comes first, as it is typed; `stored` says whether
    it may stand in a store's configuration. `default` is asked when nothing says anything."""

    key: str
    read: Callable[[str], Value]
    doc: str
    default: Callable[[Mapping[str, str]], Value]
    flag: str = ""
    stored: bool = True

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"{PREFIX}{self.key.upper()}"


def _always(value: Value) -> Callable[[Mapping[str, str]], Value]:
    return lambda _: value


def _grace(_environment: Mapping[str, str]) -> float:
    from ..cas.gc.collected import GRACE

    return GRACE


def _binding(_environment: Mapping[str, str]) -> str:
    from ..fuse.bindings import AUTO

    return AUTO


def _month(_environment: Mapping[str, str]) -> float:
    return 30 * 86_400.0


def _slow(_environment: Mapping[str, str]) -> float:
    return 2.0


def _refresh(_environment: Mapping[str, str]) -> float:
    from ..cas.journal.stamp import REFRESH

    return REFRESH


def _memory(_environment: Mapping[str, str]) -> int:
    from ..cas.read.memorylimit import default_limit

    return default_limit()


def _reserve(_environment: Mapping[str, str]) -> int:
    from ..cas.reserve import SIZE

    return SIZE


def _cache_size(_environment: Mapping[str, str]) -> int:
    from ..cas.cache.options import SIZE

    return SIZE


def _cache_free(_environment: Mapping[str, str]) -> int:
    from ..cas.cache.options import KEEP_FREE

    return KEEP_FREE


def _default_store(environment: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return SYSTEM_STORE
    data = environment.get("XDG_DATA_HOME", "")
    # The XDG base directory specification has relative paths ignored.
    base = data if os.path.isabs(data) else _in_home(".local/share", "the store with --store")
    return os.path.join(base, "modelfloat")


def _default_mount(_environment: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return SYSTEM_MOUNT
    return _in_home("modelfloat", "the folder to mount on")


def _in_home(name: str, instead: str) -> str:
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise UsageError(f"this user has no home folder ($HOME is not set); name {instead}")
    return os.path.join(home, name)


def _is_root(_environment: Mapping[str, str]) -> bool:
    return os.geteuid() == 0


def _default_author(environment: Mapping[str, str]) -> str:
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


SETTINGS: Final = (
    Setting("store", path, "the store's folder", _default_store, "--store", stored=False),
    Setting("mount", path, "where `mount` and `umount` work", _default_mount, "DIR"),
    Setting("allow_other", switch, "let other users read mounts", _is_root, "--allow-other"),
    Setting("binding", binding, "how mounts speak with the kernel", _binding, "--binding"),
    Setting("memory", memory, "what reading keeps in memory, at most", _memory, "--memory"),
    Setting("warm_sets", switch, "load a model's next file ahead", _always(True), "--warm-sets"),
    Setting("read_repair", switch, "mend what reads find damaged", _always(True), "--read-repair"),
    Setting("slow_read", duration, "reads that a mount tells of in its log", _slow, "--slow-read"),
    Setting(
        "refresh", duration, "how often other machines are followed; 0: not", _refresh, "--refresh"
    ),
    Setting("metrics", metrics, "where a mount tells Prometheus", _always(OFF), "--metrics"),
    Setting("cache", path, "where the disk cache is, else in the store", _always(""), "--cache"),
    Setting("cache_size", size, "what the disk cache may take", _cache_size, "--cache-size"),
    Setting(
        "cache_free",
        size,
        "what the disk cache leaves free; unless it is set, at most a tenth of the disk",
        _cache_free,
    ),
    Setting(
        "cache_local",
        switch,
        "whether what local backends hold is cached too",
        _always(False),
        "--cache-local",
    ),
    Setting("use_sources", switch, "get lost chunks from where files came from", _always(True)),
    Setting("key_file", path, "what opens an encrypted store", _always(""), "--key-file"),
    Setting(
        "passphrase_file",
        path,
        "a file with the passphrase of an encrypted store",
        _always(""),
        "--passphrase-file",
    ),
    Setting(
        "sign_key", path, "the key that changes of refs are signed by", _always(""), "--sign-key"
    ),
    Setting(
        "require_signature",
        switch,
        "show only refs that a trusted key signed",
        _always(False),
        "--require-signature",
    ),
    Setting("author", words, "who commits are by", _default_author, "--author"),
    Setting("wait", switch, "wait for locks that others hold", _always(True), "--wait"),
    Setting("grace", duration, "how long gc keeps what was removed", _grace, "--grace"),
    Setting("scrub_period", duration, "in which scrubs check everything", _month, "--period"),
    Setting("scrub_limit", rate, "what scrubs read and write a second, 0: all", _always(0)),
    Setting("scrub_metrics", path, "a file for Prometheus, by scrubs", _always(""), "--metrics"),
    Setting("reserve", size, "what init sets aside, at most 1 % of what is free", _reserve),
    Setting(
        "low_priority",
        switch,
        "`add` leaves processor and disks to others",
        _always(False),
        "--low-priority",
    ),
    Setting(
        "effort",
        effort,
        "what `add` spends on making chunks smaller: fast, balanced, small",
        _always("balanced"),
        "--effort",
    ),
    Setting(
        "min_shards",
        count,
        "durable shards that are enough for `add`; 0: one more than a pack needs",
        _always(0),
        "--min-shards",
    ),
)
"""All settings, in the order in which `config` shows them."""

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
