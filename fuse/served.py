"""A mount that is served, and what it tells of itself: in the log, to commands, as figures."""

import logging
import os
from dataclasses import dataclass

from ..cas.index.lmdbfile import file_of
from ..version import __version__
from .binding import Session
from .metrics import metrics_text
from .mountinfo import is_mounted, mount_at
from .mountstate import MountState, OpenFileState
from .operations import Operations
from .tuning import told, tune

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """One mount, at `path`, since `started` (ns since the epoch), by `session` of `binding`.

    `index` is the folder of the store's index, `file` which file that was when the mount was made.
    `device` is the mount's as `major:minor`, `url` where Prometheus may ask; "" where none is.
    """

    path: str
    started: int
    operations: Operations
    binding: str
    session: Session
    index: str
    file: tuple[int, int] | None
    device: str
    url: str

    def state(self) -> MountState:
        """What commands are told, with the files that are open."""
        return self._state(self.operations.open_files())

    def figures(self) -> bytes:
        """What Prometheus is told."""
        return metrics_text(self._state(()), self.operations.open_count())

    def tell(self) -> None:
        """Tune the mount, once it answers, and say in the log what there is. Blocks."""
        said = [f"{self.path} is mounted by the binding {self.binding}", *_tuned(self.path)]
        log.info("%s", "; ".join(filter(None, [*said, self.session.note])))
        if self.url:
            log.info("%s tells its figures at %s", self.path, self.url)

    def _state(self, opened: tuple[OpenFileState, ...]) -> MountState:
        return MountState(
            os.getpid(),
            __version__,
            self.path,
            self.started,
            opened,
            self.operations.last_errors(),
            self.file is not None and file_of(self.index) not in (None, self.file),
            device=self.device,
            binding=self.binding,
            reads=self.operations.reads(),
            metrics=self.url,
            note=self.session.note,
            hidden=bool(self.device) and not is_mounted(self.device),
        )


def _tuned(path: str) -> list[str]:
    """Change what may be changed of a mount; what was, and what would help."""
    mount = mount_at(path)
    if mount is None:
        return []
    done = tune(mount)
    return [f"set {', '.join(done) if done else 'nothing'}", told(mount.device)]
