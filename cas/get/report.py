"""What `get` did: plain values, in bytes and seconds."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GetFailure:
    """One file, link or folder that could not be had, and why."""

    path: str
    message: str


@dataclass(slots=True)
class GetReport:
    """What `get` did. `bytes` were written; `unchanged` files and links were there already.

    `failed` counts what could not be had, `failures` names the first of it. `refused` tells of refs
    that are not shown where signatures are required. `exit_status` is 0, or that of the worst
    failure: 3 damage, 4 data lost, 1 anything else.
    """

    files: int = 0
    links: int = 0
    folders: int = 0
    bytes: int = 0
    unchanged: int = 0
    verified: int = 0
    seconds: float = 0.0
    failed: int = 0
    failures: list[GetFailure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    exit_status: int = 0
