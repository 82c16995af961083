import psutil
import pytest

from suite.records.machine import limits
from suite.records.machine.limits import (
    available_bytes,
    capacity_bytes,
    cpu_limit,
    memory_limit_bytes,
    memory_used_bytes,
    most_threads,
    oom_kills,
)


def cgroup(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def test_limits_of_cgroup_version_2_are_read(tmp_path):
    root = cgroup(tmp_path, memory_dot_max=2 << 30, memory_dot_current=1 << 30, cpu_dot_max="150000 100000")
    assert (memory_limit_bytes(root), memory_used_bytes(root), cpu_limit(root)) == (2 << 30, 1 << 30, 1.5)


def test_limits_of_cgroup_version_1_are_read(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("1073741824\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("1024\n")
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert (memory_limit_bytes(tmp_path), memory_used_bytes(tmp_path), cpu_limit(tmp_path)) == (1 << 30, 1024, 2.0)


def test_no_limit_is_none_and_never_zero(tmp_path):
    assert (memory_limit_bytes(tmp_path), cpu_limit(tmp_path)) == (None, None)
    root = cgroup(tmp_path, memory_dot_max="max", cpu_dot_max="max 100000")
    assert (memory_limit_bytes(root), cpu_limit(root)) == (None, None)


def test_version_1_writes_no_limit_as_a_huge_number_or_minus_one(tmp_path):
    (tmp_path / "memory").mkdir()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712")
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert (memory_limit_bytes(tmp_path), cpu_limit(tmp_path)) == (None, None)


def test_what_is_available_is_the_lesser_of_machine_and_cgroup(tmp_path):
    root = cgroup(tmp_path, memory_dot_max=1000, memory_dot_current=400)
    assert available_bytes(root) == 600


def test_kills_for_want_of_memory_are_counted(tmp_path):
    before = oom_kills(tmp_path)
    cgroup(tmp_path, memory_dot_events="low 0\noom 1\noom_kill 3")
    assert oom_kills(tmp_path) == before + 3


@pytest.mark.parametrize(("quota_us", "threads"), [(50_000, 1), (100_000, 1), (150_000, 2), (900_000, 4)])
def test_a_part_of_a_cpu_allows_one_thread_more(tmp_path, monkeypatch, quota_us, threads):
    monkeypatch.setattr(limits, "usable_cpus", lambda: 4)
    assert most_threads(cgroup(tmp_path, cpu_dot_max=f"{quota_us} 100000")) == threads


def test_capacity_is_the_machines_or_the_cgroups(tmp_path):
    assert capacity_bytes(tmp_path) == psutil.virtual_memory().total
    assert capacity_bytes(cgroup(tmp_path, memory_dot_max=1 << 20)) == 1 << 20
