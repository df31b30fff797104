"""Which filesystem a folder lies on, and whether that is one that LMDB cannot be trusted on.

LMDB needs memory maps and file locks that all its users see at once. Filesystems over a network do
not keep that promise: an index there would be damaged by the second machine, or the first outage.
"""

import os
import re
from typing import Final

from ...errors import UnsupportedError

NETWORK: Final = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "kafs",
        "lustre",
        "ncp",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "vmhgfs",
    ]
)
FUSE_NETWORK: Final = frozenset(
    [
        "afpfs",
        "blobfuse",
        "blobfuse2",
        "ceph-fuse",
        "cloudfuse",
        "curlftpfs",
        "gcsfuse",
        "geesefs",
        "glusterfs",
        "goofys",
        "google-drive-ocamlfuse",
        "jmtpfs",
        "juicefs",
        "JuiceFS",
        "mfs",
        "modelfloat",
        "moosefs",
        "mount.davfs",
        "mount-s3",
        "mountpoint-s3",
        "rclone",
        "s3backer",
        "s3fs",
        "seaweedfs",
        "sshfs",
        "vmhgfs-fuse",
        "weedfs",
    ]
)
"""After `fuse.`; what else is mounted with FUSE is local as far as anybody knows."""

_MOUNT: Final = re.compile(r"\S+ \S+ \S+ \S+ (\S+) .*? - (\S+) ")


def filesystem_type(path: str, mountinfo: str = "/proc/self/mountinfo") -> str:
    """The type of the filesystem that `path` lies on, "" where the kernel does not tell.

    `path` need not be there: then it is the one that it would be made on.
    """
    path = os.path.realpath(path)
    found, longest = "", -1
    try:
        with open(mountinfo, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            mounts = [match.groups() for line in file if (match := _MOUNT.match(line))]
    except OSError:
        return ""
    for escaped, type_ in mounts:
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
        # Of two mounts at one place the later one hides the other.
        if os.path.join(path, "").startswith(os.path.join(point, "")) and len(point) >= longest:
            found, longest = type_, len(point)
    return found


def refuse_network(path: str) -> None:
    """UnsupportedError where an index at `path` would lie on a network filesystem."""
    type_ = filesystem_type(path)
    if is_network(type_):
        raise UnsupportedError(
            f"the index at {path} would lie on a network filesystem ({type_}), where it cannot be "
            "kept safe; put the store on a local disk (`--store`), its backends may lie anywhere"
        )


def is_network(type_: str) -> bool:
    """Whether that is the type of a network filesystem."""
    return type_ in NETWORK or type_.removeprefix("fuse.") in FUSE_NETWORK
