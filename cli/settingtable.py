"""The table of settings: what each is called, how its text is read, what it is by default.

A setting `some_name` is `$MODELFLOAT_SOME_NAME` in the environment and `some_name` in the table
[settings] of a store's config.toml. A new one is one entry in `SETTINGS`; a command asks for it
with `settings.switch("some_name", flag)` (or `text`, `number`), `flag` being None where the option
was not given.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from . import settingdefaults as default
from . import settingvalues as value
from .settingvalues import OFF, Value

PREFIX: Final = "MODELFLOAT_"


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


SETTINGS: Final = (
    Setting("store", value.path, "the store's folder", default.store, "--store", stored=False),
    Setting("mount", value.path, "where `mount` and `umount` work", default.mount, "DIR"),
    Setting(
        "allow_other", value.switch, "let other users read mounts", default.is_root, "--allow-other"
    ),
    Setting(
        "binding", value.binding, "how mounts speak with the kernel", default.binding, "--binding"
    ),
    Setting(
        "memory", value.memory, "what reading keeps in memory, at most", default.memory, "--memory"
    ),
    Setting(
        "warm_sets",
        value.switch,
        "load a model's next file ahead",
        default.always(True),
        "--warm-sets",
    ),
    Setting(
        "read_repair",
        value.switch,
        "mend what reads find damaged",
        default.always(True),
        "--read-repair",
    ),
    Setting(
        "slow_read",
        value.duration,
        "reads that a mount tells of in its log",
        default.slow_read,
        "--slow-read",
    ),
    Setting(
        "refresh",
        value.duration,
        "how often other machines are followed; 0: not",
        default.refresh,
        "--refresh",
    ),
    Setting(
        "metrics", value.metrics, "where a mount tells Prometheus", default.always(OFF), "--metrics"
    ),
    Setting(
        "cache",
        value.path,
        "where the disk cache is, else in the store",
        default.always(""),
        "--cache",
    ),
    Setting(
        "cache_size", value.size, "what the disk cache may take", default.cache_size, "--cache-size"
    ),
    Setting(
        "cache_free",
        value.size,
        "what the disk cache leaves free; unless it is set, at most a tenth of the disk",
        default.cache_free,
    ),
    Setting(
        "cache_local",
        value.switch,
        "whether what local backends hold is cached too",
        default.always(False),
        "--cache-local",
    ),
    Setting(
        "use_sources",
        value.switch,
        "get lost chunks from where files came from",
        default.always(True),
    ),
    Setting(
        "key_file", value.path, "what opens an encrypted store", default.always(""), "--key-file"
    ),
    Setting(
        "passphrase_file",
        value.path,
        "a file with the passphrase of an encrypted store",
        default.always(""),
        "--passphrase-file",
    ),
    Setting(
        "sign_key",
        value.path,
        "the key that changes of refs are signed by",
        default.always(""),
        "--sign-key",
    ),
    Setting(
        "require_signature",
        value.switch,
        "show only refs that a trusted key signed",
        default.always(False),
        "--require-signature",
    ),
    Setting("author", value.words, "who commits are by", default.author, "--author"),
    Setting(
        "wait", value.switch, "wait for locks that others hold", default.always(True), "--wait"
    ),
    Setting(
        "grace", value.duration, "how long gc keeps what was removed", default.grace, "--grace"
    ),
    Setting(
        "scrub_period",
        value.duration,
        "in which scrubs check everything",
        default.month,
        "--period",
    ),
    Setting(
        "scrub_limit", value.rate, "what scrubs read and write a second, 0: all", default.always(0)
    ),
    Setting(
        "scrub_metrics",
        value.path,
        "a file for Prometheus, by scrubs",
        default.always(""),
        "--metrics",
    ),
    Setting(
        "reserve", value.size, "what init sets aside, at most 1 % of what is free", default.reserve
    ),
    Setting(
        "low_priority",
        value.switch,
        "`add` leaves processor and disks to others",
        default.always(False),
        "--low-priority",
    ),
    Setting(
        "effort",
        value.effort,
        "what `add` spends on making chunks smaller: fast, balanced, small",
        default.always("balanced"),
        "--effort",
    ),
    Setting(
        "min_shards",
        value.count,
        "durable shards that are enough for `add`; 0: one more than a pack needs",
        default.always(0),
        "--min-shards",
    ),
)
"""All settings, in the order in which `config` shows them."""

BY_KEY: Final = {setting.key: setting for setting in SETTINGS}
