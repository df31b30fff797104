"""The commands of MEGA's API, as a session's account answers them.

Each is a function of the server, the account and the command; what it returns is the result, a
negative integer an error's number.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelfloat.tests.servers.mega.account import FILE, FOLDER, Account, Json, b64, handle, now

if TYPE_CHECKING:
    from modelfloat.tests.servers.mega.server import FakeMega

EARGS, EAGAIN, ERANGE, EEXPIRED, ENOENT, EACCESS = -2, -3, -7, -8, -9, -11
EOVERQUOTA = -17


@dataclass
class Upload:
    """An upload under way: the ranges that came, and the token once all did."""

    account: Account
    size: int
    pieces: dict[int, bytes]
    token: str = ""

    def whole(self) -> bytes | None:
        """All bytes; None while some are missing."""
        data, at = bytearray(), 0
        while at in self.pieces and at < self.size:
            data += self.pieces[at]
            at += len(self.pieces[at])
        return bytes(data) if at == self.size and (self.size or self.pieces) else None


def nodes(fake: "FakeMega", account: Account, command: Json) -> object:
    """`f`: everything that the account holds."""
    return {
        "f": list(account.nodes.values()),
        "ok": [],
        "s": [],
        "ph": [],
        "u": [{"u": account.user, "c": 2, "m": account.email}],
        "sn": fake.since(account),
    }


def upload(fake: "FakeMega", account: Account, command: Json) -> object:
    """`u`: an address for so many bytes."""
    size = command.get("s")
    if not isinstance(size, int) or size < 0:
        return EARGS
    if account.used + size > account.total:
        return EOVERQUOTA
    name = b64(os.urandom(12))
    fake.uploads[name] = Upload(account, size, {})
    return {"p": f"{fake.storage}/ul/{name}"}


def download(fake: "FakeMega", account: Account, command: Json) -> object:
    """`g`: an address for the bytes of a file."""
    node = account.nodes.get(str(command.get("n")))
    if node is None or node["t"] != FILE:
        return ENOENT
    if fake.faults.used_up is not None and fake.faults.quota_in_answer:
        return {"e": EOVERQUOTA, "tl": fake.faults.used_up}
    name = b64(os.urandom(12))
    fake.addresses[name] = (account, str(node["h"]))
    return {"s": node["s"], "at": node["a"], "msd": 1, "g": f"{fake.storage}/dl/{name}"}


def put(fake: "FakeMega", account: Account, command: Json) -> object:
    """`p`: nodes of what was uploaded, or folders, in a folder."""
    parent, told = account.nodes.get(str(command.get("t"))), command.get("n")
    if not isinstance(told, list) or not told:
        return EARGS
    if parent is None:
        return ENOENT
    if parent["t"] == FILE:
        return EACCESS
    made = [_made(fake, account, each, str(parent["h"])) for each in told]
    wrong = next((each for each in made if isinstance(each, int)), None)
    if wrong is not None:
        return wrong
    account.tell({"a": "t", "t": {"f": made}, "ou": account.user, "i": command.get("i", "")})
    return {"f": made}


def _made(fake: "FakeMega", account: Account, told: Json, parent: str) -> Json | int:
    kind, attributes, key = told.get("t"), told.get("a"), told.get("k")
    if not isinstance(attributes, str) or not isinstance(key, str) or kind not in (FILE, FOLDER):
        return EARGS
    if len(key) != (43 if kind == FILE else 22):  # 32 and 16 bytes, in base64
        return EARGS
    node: Json = {"h": handle(), "p": parent, "u": account.user, "t": kind, "a": attributes}
    node |= {"k": f"{account.user}:{key}", "ts": now()}
    if kind == FILE:
        data = fake.finished.pop(str(told.get("h")), None)
        if data is None:
            return ENOENT
        if account.used + len(data) > account.total:
            return EOVERQUOTA
        node["s"] = len(data)
        account.contents[str(node["h"])] = data
    account.nodes[str(node["h"])] = node
    return node


def delete(fake: "FakeMega", account: Account, command: Json) -> object:
    """`d`: a node and all that lies in it, for good."""
    top = str(command.get("n"))
    node = account.nodes.get(top)
    if node is None:
        return ENOENT
    if node["t"] not in (FILE, FOLDER):
        return EACCESS
    for each in account.below(top):
        del account.nodes[each]
        account.contents.pop(each, None)
    account.tell({"a": "d", "n": top, "i": command.get("i", "")})
    return 0


def move(fake: "FakeMega", account: Account, command: Json) -> object:
    """`m`: a node into another folder."""
    node, target = (account.nodes.get(str(command.get(each))) for each in ("n", "t"))
    if node is None or target is None:
        return ENOENT
    if node["t"] not in (FILE, FOLDER) or target["t"] == FILE:
        return EACCESS
    if str(target["h"]) in account.below(str(node["h"])):
        return -10
    node["p"] = target["h"]
    account.tell({"a": "d", "n": node["h"], "m": 1, "i": command.get("i", "")})
    moved = [account.nodes[each] for each in account.below(str(node["h"]))]
    account.tell({"a": "t", "t": {"f": moved}, "ou": account.user, "i": command.get("i", "")})
    return 0


def attributes(fake: "FakeMega", account: Account, command: Json) -> object:
    """`a`: other attributes, as for another name."""
    node, sealed = account.nodes.get(str(command.get("n"))), command.get("attr")
    if node is None:
        return ENOENT
    if not isinstance(sealed, str):
        return EARGS
    node["a"] = sealed
    event = {"a": "u", "n": node["h"], "u": account.user, "at": sealed, "ts": node["ts"]}
    account.tell({**event, "i": command.get("i", "")})
    return 0


def quota(fake: "FakeMega", account: Account, command: Json) -> object:
    """`uq`: space, in bytes."""
    return {
        "mstrg": account.total,
        "cstrg": account.used,
        "cstrgn": {account.drive: [account.used, len(account.contents), 0]},
        "utype": 0,
        "usl": 0,
        "uslw": 9500,
        "bt": 0,
        "subs": [],
        "plans": [],
        "features": [],
    }


def user(fake: "FakeMega", account: Account, command: Json) -> object:
    """`ug`: who this is."""
    return {"u": account.user, "email": account.email, "s": 1, "c": 1, "name": "Test"}


COMMANDS: dict[str, Callable[["FakeMega", Account, Json], object]] = {
    "f": nodes,
    "u": upload,
    "g": download,
    "p": put,
    "d": delete,
    "m": move,
    "a": attributes,
    "uq": quota,
    "ug": user,
}
