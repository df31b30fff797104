"""The memory that reading may take: what is charged, and how much there is."""

from pathlib import Path

from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.memorylimit import LEAST, MOST, SHARE, available, default_limit

GIB = 1 << 30


def test_a_budget_says_no_when_it_is_spent_and_never_to_who_must_have_it() -> None:
    budget = MemoryBudget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert (budget.used, budget.left) == (60, 40)
    budget.charge(70)
    assert (budget.used, budget.left) == (130, 0)
    assert not budget.take(1)
    budget.give(130)
    assert budget.take(100)


def machine(root: Path, *, mounts: str = "", groups: str = "", free: int = 64 * GIB) -> str:
    """A /proc that says so; the root of it."""
    proc = root / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {free >> 10} kB\n")
    (proc / "self/mountinfo").write_text(mounts)
    (proc / "self/cgroup").write_text(groups)
    return str(root)


def limit(root: Path, group: str, name: str, text: str) -> None:
    folder = root / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text + "\n")


V2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"


def test_without_groups_it_is_what_is_free(tmp_path: Path) -> None:
    assert available(machine(tmp_path, free=5 * GIB)) == 5 * GIB


def test_the_lowest_limit_of_all_groups_above_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, mounts=V2, groups="0::/user.slice/a/b\n")
    limit(tmp_path, "sys/fs/cgroup/user.slice", "memory.max", str(3 * GIB))
    limit(tmp_path, "sys/fs/cgroup/user.slice/a", "memory.max", "max")
    limit(tmp_path, "sys/fs/cgroup/user.slice/a/b", "memory.max", str(9 * GIB))
    assert available(root) == 3 * GIB
    limit(tmp_path, "sys/fs/cgroup/user.slice/a", "memory.high", str(2 * GIB))
    assert available(root) == 2 * GIB


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    mounts = V2.replace(" / /sys", " /docker/c1 /sys")
    root = machine(tmp_path, mounts=mounts, groups="0::/docker/c1/inner\n")
    limit(tmp_path, "sys/fs/cgroup", "memory.max", str(4 * GIB))
    limit(tmp_path, "sys/fs/cgroup/inner", "memory.max", str(1 * GIB))
    assert available(root) == GIB
    foreign = machine(tmp_path / "other", mounts=mounts, groups="0::/elsewhere\n")
    limit(tmp_path / "other", "sys/fs/cgroup", "memory.max", str(4 * GIB))
    assert available(foreign) == 4 * GIB


def test_version_1_has_a_hierarchy_for_memory_alone(tmp_path: Path) -> None:
    mounts = (
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    groups = "9:name=systemd:/\n4:memory:/jobs/7\n1:cpu:/small\n0::/\n"
    root = machine(tmp_path, mounts=mounts, groups=groups)
    limit(tmp_path, "sys/fs/cgroup/memory", "memory.limit_in_bytes", "9223372036854771712")
    limit(tmp_path, "sys/fs/cgroup/memory/jobs/7", "memory.limit_in_bytes", str(6 * GIB))
    limit(tmp_path, "sys/fs/cgroup/cpu/small", "memory.limit_in_bytes", "1")
    assert available(root) == 6 * GIB


def test_reading_takes_a_share_by_default_within_bounds(tmp_path: Path) -> None:
    assert default_limit(machine(tmp_path / "a", free=2 * GIB)) == 2 * GIB // SHARE
    assert default_limit(machine(tmp_path / "b", free=GIB // 16)) == LEAST
    assert default_limit(machine(tmp_path / "c", free=900 * GIB)) == MOST
    assert default_limit(str(tmp_path / "nothing")) == MOST
    assert default_limit() >= LEAST
