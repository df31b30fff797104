"""Whether a read is late, told once while it is under way."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

import trio

from .alarms import Alarm, Alarms
from .members import Member
from .peers import Peers


class Clock:
    """Times reads; tells of those that are late while its alarms run."""

    def __init__(self, peers: Peers, alarms: Alarms) -> None:
        self.peers = peers
        self.alarms = alarms

    def timing(self, member: Member | None, size: int, tell: Callable[[], None]) -> "Timing":
        """For a `with` round a read of `size` bytes: `tell` is called once, when it is late."""
        return Timing(self, member, size, tell)


class Timing:
    """One read. `late` is set when it was told of."""

    __slots__ = ("_alarm", "_began", "_clock", "_member", "_size", "_tell", "late")

    def __init__(
        self, clock: Clock, member: Member | None, size: int, tell: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._member = member
        self._size = size
        self._tell = tell
        self._alarm: Alarm | None = None
        self.late = False

    def __enter__(self) -> Self:
        if self._member is not None and self._clock.alarms.running:
            self._began = trio.current_time()
            late = self._clock.peers.late(self._member, self._size)
            self._alarm = self._clock.alarms.at(self._began + late, self._ring)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._alarm is not None:
            self._clock.alarms.forget(self._alarm)

    def _ring(self) -> None:
        if self._member is None:
            return
        # By now all may have become slower.
        now = trio.current_time()
        overdue = self._began + self._clock.peers.overdue(self._member, self._size, now)
        if now < overdue:
            self._alarm = self._clock.alarms.at(overdue, self._ring)
            return
        self.late = True
        self._tell()
