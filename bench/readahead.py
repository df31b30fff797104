"""How long the requests are that the kernel makes of a mount: its read-ahead, as sysfs has it."""

from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.fuse.mountinfo import mount_at

ORDINARY: Final = 128
"""KiB: what a mount has that nobody raised, an ordinary user's."""


def limit_requests(point: Path, kib: int = ORDINARY) -> None:
    """Have files that are opened from now on read in requests of at most `kib` KiB."""
    mount = mount_at(str(point))
    if mount is None:
        raise BenchError(f"nothing is mounted on {point.name}; look at the mount's log")
    path = Path(f"/sys/class/bdi/{mount.device}/read_ahead_kb")
    try:
        path.write_text(f"{kib}\n", encoding="ascii")
    except OSError as error:
        raise BenchError(f"cannot set the read-ahead ({error}); run this bench as root") from error
