"""What only those can do who opened the backends: make one anew that is gone, or mark one anew."""

from collections.abc import Awaitable, Callable

from .member import Member

Recreate = Callable[[Member], Awaitable[Member | None]]
"""Makes a lost backend anew where that is safe, and returns it; None where it is not."""
Remark = Callable[[Member], Awaitable[None]]
"""Writes a backend's marker anew."""


async def no_recreation(_member: Member) -> Member | None:
    """For stores none of whose backends may be made anew."""
    return None


async def no_marking(_member: Member) -> None:
    """For stores none of whose backends may be marked anew: the look after it finds it so."""
