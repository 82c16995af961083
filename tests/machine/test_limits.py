import psutil
import pytest

from suite.machine import limits
from suite.machine.limits import (
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


def version_1(*, limit, used, quota_us):
    files = {"memory__memory_dot_limit_in_bytes": limit, "memory__memory_dot_usage_in_bytes": used}
    return files | {"cpu__cpu_dot_cfs_quota_us": quota_us, "cpu__cpu_dot_cfs_period_us": 100_000}


@pytest.mark.parametrize(
    ("files", "limit", "used", "cpus"),
    [
        (
            {"memory_dot_max": 2 << 30, "memory_dot_current": 1 << 30, "cpu_dot_max": "150000 100000"},
            2 << 30,
            1 << 30,
            1.5,
        ),
        ({"memory_dot_max": "max", "memory_dot_current": 7, "cpu_dot_max": "max 100000"}, None, 7, None),
        (version_1(limit=1 << 30, used=1024, quota_us=200_000), 1 << 30, 1024, 2.0),
        (version_1(limit=9223372036854771712, used=1024, quota_us=-1), None, 1024, None),
        ({}, None, None, None),
    ],
)
def test_limits_of_both_versions_are_read_and_none_is_none(tmp_path, files, limit, used, cpus):
    root = cgroup(tmp_path, **files)
    assert (memory_limit_bytes(root), memory_used_bytes(root), cpu_limit(root)) == (limit, used, cpus)


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
