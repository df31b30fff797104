"""Backends that are really full, all of them or what decides between sites: rm and gc make room."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelfloat.tests.faults.test_full_disk import may_mount

SCRIPT = """
set -e
root=$1 scheme=$2 count=$3 full=$4
mount -t tmpfs -o size=200m tmpfs "$root"
loud() { "$PYTHON" -m modelfloat.cli.main "$@"; }
modelfloat() { loud --quiet "$@"; }
there() { MODELFLOAT_STORE="$root/there" loud "$@"; }
declare -a places specs
for ((i = 0; i < count; i++)); do
  mkdir "$root/d$i"
  mount -t tmpfs -o size=12m tmpfs "$root/d$i"
  specs+=(--backend "d$i=$root/d$i,domain=disk$i") places+=(--backend "$root/d$i")
done
mkdir "$root/s"
mount -t tmpfs -o size=100m tmpfs "$root/s"
export MODELFLOAT_STORE="$root/s" MODELFLOAT_RESERVE=1MiB
modelfloat init --erasure "$scheme" "${specs[@]}"
mkdir "$root/gone"
head -c 3000000 /dev/urandom > "$root/keep"
head -c 4000000 /dev/urandom > "$root/gone/first"
head -c 1000000 /dev/urandom > "$root/gone/second"
modelfloat add "$root/keep" acme/keep > /dev/null
modelfloat add "$root/gone" acme/gone > /dev/null
MODELFLOAT_STORE="$root/there" modelfloat init --join "${places[@]}"
for i in $full; do
  cat /dev/zero 2> /dev/null > "$root/$i/filler" || true
  [ "$(df --output=avail -B1 "$root/$i" | tail -1)" -eq 0 ]
done
loud rm acme/gone/first
there rm acme/gone
loud gc --grace 0
there gc --grace 0
modelfloat verify > /dev/null
there --quiet cat acme/keep/keep | cmp - "$root/keep"
for ((i = 0; i < count; i++)); do [ "$(stat -c %s "$root/d$i/reserve")" -eq 1048576 ]; done
echo done
"""


def run(script: str, root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run it where it may mount what it likes."""
    return subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "bash", str(root), *args],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHON": sys.executable, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


needs_mounts = pytest.mark.skipif(
    not may_mount(), reason="needs user namespaces in which to mount a tmpfs"
)


@needs_mounts
@pytest.mark.parametrize(
    ("scheme", "count", "full"),
    [("4+2", 6, "d0 d1 d2 d3 d4 d5 s"), ("1+1", 2, "d0 d1"), ("4+2", 6, "d0")],
    ids=["all-of-it", "both-of-two", "what-decides"],
)
def test_rm_and_gc_make_room_on_full_backends(
    tmp_path: Path, scheme: str, count: int, full: str
) -> None:
    ran = run(SCRIPT, tmp_path, scheme, str(count), full)
    assert ran.returncode == 0, ran
    *_, here, _, there, _, done = ran.stdout.splitlines()
    # What was removed there may come to be known here only after the first gc has begun.
    nothing, freed = sorted((here, there), key=lambda line: line.startswith("freed "))
    assert nothing == "nothing to free", ran
    assert freed.startswith("freed "), ran
    assert done == "done"
    assert "giving up the reserve there" in ran.stderr
