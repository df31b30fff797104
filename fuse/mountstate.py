"""What a mount says of itself: the values, and the JSON document that carries them.

A command and a daemon may be of different releases. Keys that are not known are ignored, and keys
that are missing have defaults; only a document of a newer `FORMAT` is not read.
"""

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from ..errors import FormatError
from .readstate import ReadState, decode_reads, encode_reads

FORMAT: Final = 1
"""The version of the document. It rises only when older readers would misunderstand it."""
SILENT: Final = "it does not answer"
"""The problem of a mount that hangs."""
_DEVICE: Final = re.compile(r"[0-9]{1,9}:[0-9]{1,9}", re.ASCII)
_NONSENSE: Final = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class OpenFileState:
    """An open file: its manifest's id in hex, its path in the mount, the processes that opened it.

    A process that inherited the file, or whose number the kernel cannot tell, is not among `pids`.
    """

    manifest: str
    name: str
    pids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadError:
    """A request that failed: when (ns since the epoch), in which file, for which process, why.

    `pid` is 0 where the kernel cannot tell it.
    """

    time_ns: int
    file: str
    pid: int
    cause: str


@dataclass(frozen=True, slots=True)
class MountState:
    """One mount: its daemon's pid and release, where, since when (ns since the epoch).

    `errors` are the last ones, oldest first. `index_replaced`: rebuild-index has put another index
    in the place of the one that it serves from. `problem` says why nothing but `pid` is known, ""
    where all is known: a daemon that hangs or is of a newer release may have files open. `device`
    is the mount's, as `major:minor`: it stays when the mount is hidden or shows elsewhere too.
    `binding` is how it speaks with the kernel, `reads` what reading has come to; older releases do
    not say. `metrics` is the URL where Prometheus may ask, "" where it may not. `note` is what else
    there is to tell of the binding. `hidden`: it is not at `mountpoint` any more, and ends with
    its last user.
    """

    pid: int
    version: str
    mountpoint: str
    started_ns: int
    open: tuple[OpenFileState, ...] = ()
    errors: tuple[ReadError, ...] = ()
    index_replaced: bool = False
    problem: str = ""
    device: str = ""
    binding: str = ""
    reads: ReadState | None = None
    metrics: str = ""
    note: str = ""
    hidden: bool = False


def encode_state(state: MountState) -> bytes:
    """The document."""
    document = {"format": FORMAT, **asdict(replace(state, reads=None))}
    del document["problem"]
    document["reads"] = None if state.reads is None else encode_reads(state.reads)
    return json.dumps(document).encode()


def decode_state(data: bytes) -> MountState:
    """What a document says; FormatError if it is of a newer format or makes no sense."""
    try:
        document = json.loads(data)
        if document["format"] > FORMAT:
            raise FormatError(
                f"it runs release {document.get('version', '?')}, newer than this one; "
                "upgrade this one"
            )
        return _state(document)
    except _NONSENSE as error:
        raise FormatError("its answer cannot be read; unmount and mount it again") from error


def _state(document: dict[str, Any]) -> MountState:
    return MountState(
        int(document["pid"]),
        str(document.get("version", "")),
        str(document.get("mountpoint", "")),
        int(document.get("started_ns", 0)),
        tuple(_open_file(each) for each in document.get("open", ())),
        tuple(_error(each) for each in document.get("errors", ())),
        document.get("index_replaced", False) is True,
        device=_device(document.get("device", "")),
        binding=str(document.get("binding", "")),
        note=str(document.get("note", "")),
        reads=decode_reads(reads) if (reads := document.get("reads")) is not None else None,
        metrics=str(document.get("metrics", "")),
        hidden=document.get("hidden", False) is True,
    )


def _device(text: str) -> str:
    if text and not _DEVICE.fullmatch(text):
        raise ValueError(text)
    return text


def _open_file(item: dict[str, Any]) -> OpenFileState:
    pids = tuple(int(pid) for pid in item.get("pids", ()))
    return OpenFileState(str(item["manifest"]), str(item.get("name", "")), pids)


def _error(item: dict[str, Any]) -> ReadError:
    return ReadError(
        int(item.get("time_ns", 0)),
        str(item.get("file", "")),
        int(item.get("pid", 0)),
        str(item.get("cause", "")),
    )
