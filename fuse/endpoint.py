"""Addresses on this machine's loopback, where a mount may tell its figures."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_SHAPE: Final = re.compile(r"(?:(?P<host>[^\[\]:]+|\[[^\[\]]+\]):)?(?P<port>[0-9]{1,5})", re.ASCII)
_HOME: Final = "127.0.0.1"
_HOW: Final = "write a port, or an address of the loopback and a port, as 127.0.0.1:9100"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An IP address and a port, 0 for any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """An endpoint from `9100`, `127.0.0.1:9100`, `localhost:9100` or `[::1]:9100`.

    ValueError says how to write one: who may ask is not checked, so others than this machine must
    not reach it.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65_535:
        raise ValueError(_HOW)
    host = (match["host"] or _HOME).strip("[]")
    if not is_loopback(host):
        raise ValueError(f"{_HOW}: other machines must not reach it")
    return Endpoint(_HOME if host == "localhost" else host, int(match["port"]))


def is_loopback(host: str) -> bool:
    """Whether a host, without brackets, is this machine's loopback for certain."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
