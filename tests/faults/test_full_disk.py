"""A disk that is really full: rm and gc make room again, with the reserve that init set aside."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
set -e
folder=$1; shift
mount -t tmpfs -o size=48m tmpfs "$folder"
export MODELFLOAT_STORE="$folder/s" MODELFLOAT_RESERVE=256MiB
loud() { "$PYTHON" -m modelfloat.cli.main "$@"; }
modelfloat() { loud --quiet "$@"; }
modelfloat init --erasure 2+1
head -c 6000000 /dev/urandom > "$folder/keep"
modelfloat add "$folder/keep" acme/keep > /dev/null
head -c 9000000 /dev/urandom > "$folder/gone"
modelfloat add "$folder/gone" acme/gone > /dev/null
head -c 8000000 /dev/urandom > "$folder/more"
if modelfloat add "$folder/more" acme/more > /dev/null; then echo it fitted; exit 1; fi
rm "$folder/gone"
stat -c 'reserve %s %b' "$folder/s/reserve"
cat /dev/zero 2> /dev/null > "$folder/filler" || true
df --output=avail -B1 "$folder" | tail -1
loud rm acme/gone
loud gc --grace 0
stat -c 'reserve %s %b' "$folder/s/reserve"
modelfloat verify > /dev/null
modelfloat cat acme/keep/keep | cmp - "$folder/keep"
modelfloat add "$folder/more" acme/more > /dev/null
echo done
"""


def may_mount() -> bool:
    """Whether this user may mount a tmpfs in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="needs user namespaces in which to mount a tmpfs")
def test_rm_and_gc_make_room_on_a_full_disk(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["unshare", "-rm", "bash", "-c", SCRIPT, "bash", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHON": sys.executable, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    assert ran.returncode == 0, ran
    reserve, free, removed, frees, freed, _, again, done = ran.stdout.splitlines()
    _, size, blocks = reserve.split()
    assert 0 < int(size) <= int(blocks) * 512
    assert int(free) < 4096
    assert removed.startswith("removed acme/gone@main (branch, commit ")
    assert frees.startswith("frees 13.5 MB at gc after ")
    assert freed.startswith("freed 13.5 MB: 2 packs deleted")
    assert int(again.split()[1]) > 0
    assert done == "done"
    assert "giving up the reserve" in ran.stderr
