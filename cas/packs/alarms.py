"""Alarms: functions called when a read has taken too long, for next to nothing while none does.

A task of its own sleeps until the first alarm that is set; who sets an earlier one shortens its
sleep, and an alarm that is taken back just is not there when it wakes. So a read that is in time
costs two operations on a dictionary, and no task.

Concurrency: used in the event loop. What rings must not wait; what takes longer is `spawn`ed.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio


@dataclass(slots=True, eq=False)
class Alarm:
    """When to call what; on the event loop's clock, seconds."""

    when: float
    ring: Callable[[], None]


class Alarms:
    """Alarms of one pool. While `run` does not run none rings."""

    def __init__(self) -> None:
        self._set: dict[Alarm, None] = {}
        self._sleep = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def running(self) -> bool:
        """Whether alarms ring."""
        return self._nursery is not None

    def at(self, when: float, ring: Callable[[], None]) -> Alarm:
        """Have `ring` called at `when`, or soon after."""
        alarm = Alarm(when, ring)
        self._set[alarm] = None
        if when < self._sleep.deadline:
            self._sleep.deadline = when
        return alarm

    def forget(self, alarm: Alarm) -> None:
        """Take an alarm back; nothing happens where it has rung."""
        self._set.pop(alarm, None)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Start a task beside the alarms, which ends with them; False where they do not run."""
        if self._nursery is None:
            return False
        self._nursery.start_soon(work)
        return True

    async def run(self) -> None:
        """Let alarms ring, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                while True:
                    await self._until_the_next()
        finally:
            self._nursery = None

    async def _until_the_next(self) -> None:
        first = min((alarm.when for alarm in self._set), default=math.inf)
        with trio.CancelScope(deadline=first) as self._sleep:
            await trio.sleep_forever()
        # What came in this very moment was not late: it is told first.
        await trio.lowlevel.checkpoint()
        now = trio.current_time()
        for alarm in [alarm for alarm in self._set if alarm.when <= now]:
            if alarm in self._set:  # one that rang before may have taken it back
                self.forget(alarm)
                alarm.ring()
