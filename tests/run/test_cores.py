"""Cores that one worker holds alone, and what others did there meanwhile."""

import os
import sys

import pytest

from suite.run.launchers.cores import hardware_threads, in_order, own_cores

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which pins and counts")
STAT = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 20 30 4000 50 6 7 8 9 9\ncpu1 10 0 0 0 0 0 0 0 0 0\nintr 5\n"


@needs_linux
def test_two_workers_hold_no_core_in_common(tmp_path):
    allowed = os.sched_getaffinity(0)
    with own_cores(1, parent=tmp_path) as first:
        assert len(first.cpus) == 1
        with own_cores(len(allowed), parent=tmp_path) as too_many:
            assert too_many.cpus == ()
            assert too_many.why == f"fewer than {len(allowed)} of this machine's cores were free for it alone"
        if len(allowed) > 1:
            with own_cores(len(allowed) - 1, parent=tmp_path) as rest:
                assert {*first.cpus, *rest.cpus} == allowed
    with own_cores(len(allowed), parent=tmp_path) as all_again:
        assert {*all_again.cpus} == allowed


@needs_linux
def test_a_folder_that_is_a_link_holds_no_locks(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"suite-cores-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with own_cores(1, parent=tmp_path) as found:
        assert (found.cpus, found.why) == ((), "the folder of the cores' locks is somebody else's")


def test_hardware_threads_of_one_core_are_taken_last(tmp_path):
    for cpu, listed in enumerate(("0,2", "1,3", "0,2", "1-1,3")):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{listed}\n")
    assert in_order({3, 2, 1, 0}, tmp_path) == [0, 1, 2, 3]
    assert in_order({2, 1}, tmp_path) == [1, 2]
    assert hardware_threads(3, tmp_path) == [1, 3]
    for cpu, listed in enumerate(("0-1", "0-1", "2-3", "2-3")):  # a core's threads are neighbours
        (tmp_path / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(f"{listed}\n")
    assert in_order({0, 1, 2, 3}, tmp_path) == [0, 2, 1, 3]
    assert hardware_threads(7, tmp_path) == [7]
