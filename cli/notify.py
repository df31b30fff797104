"""Telling systemd how a service of Type=notify is; the protocol is that of sd_notify(3)."""

import contextlib
import socket


def notify(address: str, state: str) -> None:
    """Send `state` (`READY=1`) to the socket `address`; nothing where there is none.

    A path, or the name of an abstract socket after `@`. Whoever does not listen misses it: a mount
    does not fail because its manager went away.
    """
    if not address:
        return
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(name)
        client.sendall(state.encode())
