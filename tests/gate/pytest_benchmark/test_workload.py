"""A candidate whose benchmarks do less than before, or elsewhere, by real worker processes and before any timing."""

import contextlib
import sys
import time

import psutil
import pytest

from suite.gate.pytest_benchmark import comparison
from suite.gate.pytest_benchmark.timing import SuiteTiming
from suite.gate.rules.decision import Benchmark
from suite.gate.rules.tolerances import Tolerances
from suite.gate.side_by_side.revisions import BenchmarkCase
from suite.gate.side_by_side.worker_client import WorkerError
from suite.gate.workers.worker_trees import _used_digest
from tests.gate.pytest_benchmark import cheats, projects
from tests.gate.pytest_benchmark.projects import examined, reasons, revisions_of, worker_for

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot"),
    pytest.mark.usefixtures("warm_workers"),
]
ALL = {"test_conftest", "test_helper", "test_module", "test_data", "test_length"}
BESIDE = {
    path: text for path, text in cheats.WORKLOADS.values() if path.endswith(("py", "json", "rc", "entry_points.txt"))
}
for path in ("benchmarks/conftest.py", "benchmarks/test_work.py", "benchmarks/test_other.py"):
    BESIDE.pop(path)
ONE = {
    "benchmarks/test_one.py": """\
import fastpkg


def test_one(benchmark):
    benchmark(lambda: fastpkg.work(2000))
""",
    "src/fastpkg/__init__.py": cheats.WORK.format(times=1),
}
DAEMON = """\
import os
import subprocess
import sys

def test_one(benchmark):
    import fastpkg
    benchmark(fastpkg.work, 10)
    with open("../pids", "a") as pids:
        for first in ("pass", "os.setsid()"):
            code = f"import os, time; {first}; print(os.getpid(), os.getsid(0), flush=True); time.sleep(60)"
            inner = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {code!r}])"
            subprocess.run([sys.executable, "-c", inner], stdout=pids, check=True)
"""


def test_what_runs_or_is_read_beside_judged_code_is_named(tmp_path):
    """Each in the reason of the benchmarks that came after it was read."""
    shown = reasons(examined(tmp_path, cheats.BASE, {**cheats.SLOWER, **BESIDE}))
    assert shown.keys() == ALL
    assert set(shown["test_length"].partition(": ")[2].partition(";")[0].split(", ")) == BESIDE.keys()
    assert "benchmarks/sizes.json" not in shown["test_helper"]


def test_changed_settings_and_acts_of_conftest_are_named(tmp_path):
    names = ("a plugin that pytest's settings name", "a patch in conftest.py")
    shown = reasons(examined(tmp_path, cheats.BASE, {**cheats.SLOWER, **dict(map(cheats.WORKLOADS.get, names))}))
    assert shown.keys() == ALL
    assert all("its setting addopts, benchmarks/conftest.py;" in reason for reason in shown.values())


def test_an_ordinary_change_leaves_benchmarks_comparable(tmp_path):
    """Beside code: its own data, a unit test with what that alone uses, another benchmark, versions, markers."""
    package = "\nimport pathlib\n\nTABLE = (pathlib.Path(__file__).parent / 'table.txt').read_text()\n"
    more = "\n\nimport math\n\nMORE = 3\n\n\ndef test_new(benchmark):\n    benchmark(math.sqrt, MORE)\n"
    version = "version = '2'\n\n[tool"
    base = {
        **ONE,
        "pyproject.toml": cheats.BASE["pyproject.toml"],
        "plain_plugin.py": "",
        "src/fastpkg/__init__.py": ONE["src/fastpkg/__init__.py"] + package,
        "src/fastpkg/table.txt": "1",
        "benchmarks/test_unit.py": "import unit_helper\n\n\ndef test_unit():\n    pass\n",
        "benchmarks/unit_helper.py": "",
    }
    candidate = {
        "src/fastpkg/__init__.py": cheats.SLOWER["src/fastpkg/__init__.py"] + package,
        "src/fastpkg/table.txt": "2",
        "benchmarks/test_unit.py": base["benchmarks/test_unit.py"] + cheats.PATCHED,
        "benchmarks/unit_helper.py": "HELP = 1\n",
        "benchmarks/test_one.py": ONE["benchmarks/test_one.py"] + more,
        "pyproject.toml": base["pyproject.toml"].replace("[tool", version, 1) + "markers = ['slow']\n",
        "README.md": "new",
    }
    comparison = examined(tmp_path, base, candidate)
    assert [benchmark.case for benchmark in comparison.benchmarks] == ["benchmarks/test_one.py::test_one"]
    assert not reasons(comparison)
    # The unit test would have patched it.
    assert comparison.revisions.only == ["benchmarks/test_one.py"]
    assert comparison.code == {"benchmarks/test_one.py::test_one": "fastpkg (src/fastpkg/__init__.py)"}


def test_work_done_elsewhere_is_named(tmp_path, monkeypatch):
    """The ways that keep the process busy come last, since that is seen in whatever follows too."""
    monkeypatch.setattr(comparison, "PAUSE_S", 0.15)  # in which a thread gets a CPU of a busy machine too
    expected = {
        "a kept result": "only its first call does the work now",
        "a look at the runner": "now looks at what runs it: modules['__main__",
        "a thread": "threads or processes that its calls leave behind go on working",
        "a process": "threads or processes that its calls leave behind go on working",
    }
    base, candidate, names = {"src/fastpkg/__init__.py": ""}, {}, {way: way.replace(" ", "_") for way in expected}
    # Enough work that a fast machine has not done it before the pause.
    tests = [f"def test_{name}(benchmark):\n    benchmark(fastpkg.{name}.work, 20_000)\n" for name in names.values()]
    imports = "".join(f"import fastpkg.{name}\n" for name in names.values())
    base["benchmarks/test_all.py"] = "\n\n".join([imports, *tests])
    for way, name in names.items():
        base[f"src/fastpkg/{name}.py"] = ONE["src/fastpkg/__init__.py"]
        (cheat,) = cheats.deferring(cheats.DEFERRED[way].replace("fastpkg", f"fastpkg.{name}")).values()
        candidate[f"src/fastpkg/{name}.py"] = cheat
    shown = reasons(examined(tmp_path, base, candidate))
    assert {way: reason in shown[f"test_{names[way]}"] for way, reason in expected.items()} == dict.fromkeys(
        names, True
    )


def test_work_left_to_a_fork_is_seen_in_timing_too(tmp_path):
    """By the CPU time of all its processes, of which the calls tell nothing."""
    case = "benchmarks/test_one.py::test_one"
    revisions = revisions_of(tmp_path, ONE, cheats.deferring(cheats.DEFERRED["a fork"]))
    timing = SuiteTiming(
        revisions=revisions,
        cases=[BenchmarkCase(id=case, settings=({}, {}))],
        benchmarks=[Benchmark(case=case, span="", clock="thread_cpu")],
        tolerances=Tolerances(),
        seconds=12,
    )
    timing.run()
    assert "so work is done outside of the calls" in timing.broken[case]


def test_a_call_that_runs_no_judged_code_any_more_is_named(tmp_path):
    stub = cheats.SLOWER["src/fastpkg/__init__.py"] + "\n\nwork = 'abc'.__contains__\n"
    test = ONE["benchmarks/test_one.py"].replace("2000", "'b'")
    base = {
        **ONE,
        "benchmarks/test_one.py": test,
        "src/fastpkg/__init__.py": "def work(text):\n    return text in 'abc'\n",
    }
    (told,) = reasons(examined(tmp_path, base, {"src/fastpkg/__init__.py": stub})).values()
    assert "its call ran fastpkg before, but runs no code of the revision now" in told


def test_a_file_of_the_older_tree_that_was_written_is_found(tmp_path):
    """Also one that is no code, where the older revision reads it."""
    size = "int(open('size.txt').read())"
    base = {**ONE, "size.txt": "10", "benchmarks/test_one.py": ONE["benchmarks/test_one.py"].replace("2000", size)}
    package = ONE["src/fastpkg/__init__.py"] + f"\nopen({str(tmp_path / 'older/size.txt')!r}, 'w').write('20')\n"
    comparison = examined(tmp_path, base, {"src/fastpkg/__init__.py": package})
    with pytest.raises(WorkerError, match=r"^size\.txt of the older revision was changed while it was measured"):
        comparison.revisions.check_older_files()


@pytest.mark.parametrize("dies", ["worker", "judge", "nobody"])
def test_processes_of_a_benchmark_end_with_its_worker(tmp_path, dies):
    """Those of another session too, unless the worker is killed; where the judge is gone the pipe alone says so."""
    tree = projects.write(tmp_path / "tree", {**ONE, "benchmarks/test_one.py": DAEMON})
    with worker_for(tree, tmp_path / "logs") as (client, _):
        client.ask("open", id="benchmarks/test_one.py::test_one", following=None, examine=False)
        client.ask("close")
        _wait(lambda: len((tmp_path / "pids").read_text().split()) == 4)
        sessions = dict(map(int, line.split()) for line in (tmp_path / "pids").read_text().splitlines())
        assert all(map(_lives, sessions))
        if dies == "judge":
            client._process.stdin.close()
            client._process.wait(timeout=10)
            _wait(lambda: not any(map(_lives, sessions)))
        elif dies == "worker":
            client._process.kill()
            (other,) = (pid for pid, session in sessions.items() if session != client._process.pid)
            psutil.Process(other).kill()
    _wait(lambda: not any(map(_lives, sessions)))


def _wait(until):
    deadline = time.monotonic() + 20
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def digest_with(tmp_path, more, *, of="test_length"):
    path = tmp_path / "test_work.py"
    path.write_text(cheats.BASE["benchmarks/test_work.py"] + more)
    return _used_digest(path, {of}, {"test_helper", "test_data", "test_more"})


@pytest.mark.parametrize(
    "more",
    [
        "\nLENGTH //= 10\n",
        "\nfastpkg.SIZE = 10\n",
        "\n_ = setattr(fastpkg, 'work', print)\n",
        "\ndef pytest_runtest_setup(item):\n    pass\n",
        "\n@fastpkg.patch\ndef helper():\n    pass\n",
        "\nfrom helper import *\n",
        "\nif LENGTH:\n    pass\n",
        "\ndef fastpkg():\n    pass\n",
    ],
)
def test_what_may_change_a_test_changes_its_digest(tmp_path, more):
    assert digest_with(tmp_path, more) != digest_with(tmp_path, "")


@pytest.mark.parametrize(
    "more",
    [
        "\nimport math\n\nMORE = 3\n\n\ndef test_more(benchmark):\n    benchmark(math.sqrt, MORE)\n",
        "\n@pytest.fixture\ndef more():\n    return 1\n",
        "\n# a remark\n",
        "\nMORE = ('a', 'b')\n'''What it is.'''\n\n\nclass More:\n    def one(self):\n        return float(1)\n",
    ],
)
def test_another_test_beside_changes_no_digest(tmp_path, more):
    assert digest_with(tmp_path, more) == digest_with(tmp_path, "")
