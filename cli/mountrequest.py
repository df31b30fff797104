"""What a mount is asked for, once flags, environment and configuration have been heard."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .cacheflags import cache_arguments
from .settings import Settings

if TYPE_CHECKING:
    from ..cas.read.options import ReadOptions
    from ..fuse.mountoptions import MountOptions


@dataclass(frozen=True, slots=True)
class MountRequest:
    """Where and how to mount: `slow_read` is seconds, 0 for never; `metrics` an endpoint or off.

    `reading` is how to read; every `refresh` seconds other machines are followed, 0 for never.
    """

    path: str
    options: "MountOptions"
    binding: str
    slow_read: float
    metrics: str
    reading: "ReadOptions | None" = None
    refresh: float = 10.0

    def arguments(self, settings: Settings) -> list[str]:
        """The command line of the daemon: what was found out here holds there."""
        wait = "--wait" if settings.wait else "--no-wait"
        arguments = ["--store", settings.store, wait, "mount", "--foreground"]
        arguments += ["--verbose"] * settings.verbose
        required = settings.require_signature
        arguments.append("--require-signature" if required else "--no-require-signature")
        arguments += [f"--binding={self.binding}", f"--slow-read={self.slow_read:f}"]
        arguments += [f"--metrics={self.metrics}", f"--refresh={self.refresh:f}"]
        if self.reading is not None:
            arguments += _reading_arguments(self.reading)
        options = self.options
        arguments.append("--allow-other" if options.allow_other else "--no-allow-other")
        if options.uid is not None:
            arguments.append(f"--uid={options.uid}")
        if options.gid is not None:
            arguments.append(f"--gid={options.gid}")
        if options.umask is not None:
            arguments.append(f"--umask={options.umask:o}")
        return [*arguments, self.path]


def _reading_arguments(reading: "ReadOptions") -> list[str]:
    arguments = ["--warm-sets" if reading.warm_sets else "--no-warm-sets"]
    arguments.append("--read-repair" if reading.repair else "--no-read-repair")
    if reading.memory is not None:
        arguments.append(f"--memory={reading.memory}")
    return arguments if reading.cache is None else [*arguments, *cache_arguments(reading.cache)]
