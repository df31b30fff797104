"""What may go wrong with MEGA, as its documentation and other clients' sources tell.

fake.faults.busy = 2          # the next two requests are answered with EAGAIN
fake.faults.work = 255        # requests without a session ask for work (HTTP 402)
"""

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Each is a number of requests that go wrong so, counted down, unless it says otherwise."""

    busy: int = 0
    """EAGAIN (-3) in place of a result."""
    unavailable: int = 0
    """HTTP status 500 of the API."""
    refuse: dict[str, int] = field(default_factory=dict)
    """Command, as "g" or "p" → an error's number, once."""
    work: int | None = None
    """The easiness of the work that logins ask for (0 the hardest, 255 the easiest); None asks for
    none. It goes on until it is None again."""
    used_up: int | None = None
    """Seconds for which downloads are answered with HTTP 509, or with no time where it is 0."""
    quota_in_answer: bool = False
    """The quota is told by the API, as EOVERQUOTA (-17) with a time, not by the storage server."""
    cut_downloads: int = 0
    """Downloads that end in the middle."""
    damage: int = 0
    """Downloads of which one byte is another."""
    cut_uploads: int = 0
    """Pieces of uploads after which the connection ends without an answer."""
    busy_uploads: int = 0
    """Pieces that are answered with -3."""
    failed_uploads: int = 0
    """Pieces that are answered with -5 (EFAILED): the upload is over."""
    lost_answers: int = 0
    """Commands that are done, and whose answers do not come."""

    def strikes(self, name: str) -> bool:
        """Whether it happens now; counted down."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left > 0
