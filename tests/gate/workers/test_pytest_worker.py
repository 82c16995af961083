"""The worker by its pipe, and its source by the oldest Python that it must run on."""

import ast
import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite.gate.side_by_side.worker_client import UnsupportedHereError
from suite.gate.workers import pytest_worker as worker
from suite.gate.workers import worker_loop as loop
from tests.gate.pytest_benchmark import projects
from tests.gate.pytest_benchmark.projects import worker_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="waits for a pipe as Windows cannot")
FILES = ("pytest_worker.py", "worker_loop.py", "worker_trees.py")
FLAT = {
    "flatpkg/__init__.py": "def fast(n):\n    return sum(range(n))\n",
    "test_flat.py": """
import time

import flatpkg
import pytest

time.perf_counter = time.thread_time = time.process_time = lambda: 0.0
TURNS = []


@pytest.fixture(scope="session")
def told():
    yield
    open("../ended", "w").close()


def test_it(benchmark, told):
    print("none of this is an answer")
    assert benchmark(flatpkg.fast, 1000) == 499500


def test_again(benchmark):
    TURNS.append(1)
    benchmark(flatpkg.fast, len(TURNS))


def test_late(benchmark):
    benchmark(lambda: TURNS.append(1) or 1 / max(0, 40 - len(TURNS)))
""",
}


CODSPEED = {
    "pytest.ini": "[pytest]\naddopts = --strict-markers\n",
    "flatpkg/__init__.py": FLAT["flatpkg/__init__.py"],
    "test_flat.py": """
import flatpkg
import pytest


@pytest.fixture
def size():
    return 1000


@pytest.mark.benchmark
def test_whole(size):
    assert flatpkg.fast(size) == 499500


@pytest.mark.codspeed_benchmark
@pytest.mark.parametrize("times", [2])
def test_own_marker(times):
    flatpkg.fast(1000 * times)


@pytest.mark.benchmark(group="sums")
def test_fixture(benchmark):
    assert benchmark(flatpkg.fast, 10) == 45


def test_other():
    raise AssertionError
""",
}


@pytest.fixture
def flat(tmp_path):
    return projects.write(tmp_path / "flat", FLAT)


def opened(client, name, following=None):
    facts = client.ask("open", id=f"test_flat.py::{name}", following=following, examine=True)
    return {**facts, **client.ask("code")}


def test_a_benchmark_is_sampled_within_its_test(flat, tmp_path):
    with worker_for(flat, tmp_path / "logs") as (client, collected):
        assert [benchmark["id"] for benchmark in collected["benchmarks"]] == [
            f"test_flat.py::{name}" for name in ("test_it", "test_again", "test_late")
        ]
        facts, package = opened(client, "test_it"), {"flatpkg": "flatpkg/__init__.py"}
        assert facts["code"] == {"ran": package, "imported": package, "elsewhere": {}, "once": {}}
        if sys.platform == "linux":
            one = {min(os.sched_getaffinity(0))}
            client.stay_on(one)
            assert os.sched_getaffinity(client._process.pid) == one
        samples = [client.ask("sample", id="any", span="") for _ in range(3)]
        # By clocks that the test has not replaced.
        assert all(0 < sample["thread_cpu_s"] <= 1.1 * sample["process_cpu_s"] for sample in samples)
        assert all(0 < sample["wall_s"] * sample["calls"] < 10 for sample in samples)
        assert client.ask("close") == {}
        for _ in range(2):  # a test can be opened again
            assert opened(client, "test_again")["first_s"] > 0
            assert client.ask("close") == {}
        assert not list(flat.rglob("__pycache__"))
        assert {path.name for path in flat.iterdir()} == {"flatpkg", "test_flat.py"}


def test_tests_that_pytest_codspeed_marks_are_timed_whole(tmp_path):
    names = ("test_whole", "test_own_marker[2]", "test_fixture")
    with worker_for(projects.write(tmp_path / "flat", CODSPEED), tmp_path / "logs") as (client, collected):
        assert [benchmark["id"] for benchmark in collected["benchmarks"]] == [f"test_flat.py::{name}" for name in names]
        for name in names:
            assert opened(client, name)["code"]["ran"]["flatpkg"] == "flatpkg/__init__.py"
            assert client.ask("sample", id="any", span="")["wall_s"] > 0
            assert client.ask("close") == {}


@pytest.fixture
def timed_call(monkeypatch):
    """A call of the worker by clocks that the work moves: each call takes the next of these seconds, a half of which a
    child process is busy for."""
    if sys.platform == "win32":
        pytest.skip("the worker reads clocks that Windows has not")

    def make(*calls_s):
        ahead, now_s = iter(calls_s), 0.0

        def work():
            nonlocal now_s
            now_s += next(ahead)

        for clock in ("perf_counter", "thread_time", "process_time"):
            monkeypatch.setattr(loop, clock, lambda: now_s)
        monkeypatch.setattr(worker, "perf_counter", lambda: now_s)
        monkeypatch.setattr(loop, "children_s", lambda: now_s / 2)
        monkeypatch.setattr(loop, "check_clocks", lambda: None)
        return worker.Call(work, lambda: ((), {}))

    return make


@pytest.mark.parametrize(("before_s", "counted_s"), [([0.01, 0.01, 0.01], 0.01), ([0.06], 0.09)])
def test_the_call_after_a_switch_counts_if_it_is_long(timed_call, before_s, counted_s):
    """It finds the other side's data in the caches, which is much of a short call. One call fills each sample here."""
    call = timed_call(*before_s, before_s[0] + 0.03, before_s[0])
    call.make()
    assert call.calibrate(before_s[0]) == pytest.approx(before_s[0])
    sample = call.sample(SimpleNamespace(update=lambda seconds: None))
    assert (sample["wall_s"], sample["calls"]) == (pytest.approx(counted_s), 1)


def test_every_clock_says_the_seconds_of_one_call(timed_call):
    call = timed_call(*[1e-4] * 100)
    call.calibrate(1e-4)
    sample = call.sample(SimpleNamespace(update=lambda seconds: None))
    assert sample["calls"] > 10
    clocks = {"wall_s": 1e-4, "thread_cpu_s": 1e-4, "process_cpu_s": 1e-4, "children_s": 5e-5}
    assert {clock: sample[clock] for clock in clocks} == pytest.approx(clocks)
    assert call.probe()["children_s"] == pytest.approx(5e-5)


@pytest.mark.usefixtures("warm_workers")
def test_a_late_failure_is_an_answer(flat, tmp_path):
    chosen = ("test_flat.py::test_late", "test_flat.py::test_it")
    with worker_for(flat, tmp_path / "logs", *chosen) as (client, collected):
        assert len(collected["benchmarks"]) == len(chosen)
        with pytest.raises(UnsupportedHereError, match=r"cannot be repeated.*ZeroDivisionError: division by zero"):
            opened(client, "test_late")
        assert opened(client, "test_it")["call_s"] > 0


@pytest.mark.usefixtures("warm_workers")
def test_fixtures_end_when_the_judge_hangs_up(flat, tmp_path):
    with worker_for(flat, tmp_path / "logs") as (client, _):
        opened(client, "test_it", following="test_flat.py::test_again")
    assert (tmp_path / "ended").exists()


@pytest.mark.usefixtures("warm_workers")
def test_compiled_parts_of_the_installed_copy_are_missed(flat, tmp_path, monkeypatch):
    compiled = f"flatpkg/_core{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    installed = projects.write(tmp_path / "installed", {**FLAT, compiled: "machine code"})
    monkeypatch.setenv("PYTHONPATH", str(installed))
    with worker_for(flat, tmp_path / "logs") as (client, _):
        elsewhere = opened(client, "test_it")["code"]["elsewhere"]
    assert elsewhere == {"flatpkg._core": "is compiled and exists only in the installed copy"}


@pytest.mark.usefixtures("warm_workers")
def test_modules_of_the_checkout_are_seen(flat, tmp_path, monkeypatch):
    checkout = projects.write(tmp_path / "checkout", {"tools/helper.py": "HELP = 1\n"})
    lines = f"import sys\nsys.path.append({str(checkout)!r} + '/tools')\nimport helper\n"
    projects.write(flat, {"test_flat.py": lines + FLAT["test_flat.py"]})
    with worker_for(flat, tmp_path / "logs", checkout=checkout) as (client, _):
        elsewhere = opened(client, "test_it")["code"]["elsewhere"]
    assert elsewhere == {"helper": "was imported from the checkout"}


@pytest.mark.usefixtures("warm_workers")
def test_folders_of_the_checkout_on_the_path_become_the_trees(flat, tmp_path, monkeypatch):
    checkout = projects.write(tmp_path / "checkout", {"lib/other.py": "raise RuntimeError\n"})
    projects.write(flat, {"lib/other.py": "", "test_flat.py": "import other\n" + FLAT["test_flat.py"]})
    monkeypatch.setenv("PYTHONPATH", str(checkout / "lib"))
    with worker_for(flat, tmp_path / "logs", checkout=checkout) as (client, _):
        code = opened(client, "test_it")["code"]
    assert code["imported"] == {"flatpkg": "flatpkg/__init__.py", "other": "lib/other.py"}
    assert not code["elsewhere"]


@pytest.mark.parametrize("name", FILES)
def test_the_worker_is_made_for_python_3_9(name):
    tree = ast.parse(Path(worker.__file__).with_name(name).read_text(encoding="utf-8"), feature_version=(3, 9))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name.partition(".")[0] for node in imports for alias in node.names}
    names |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    # `suite` for the judge alone, which reads constants
    own = {Path(file).stem for file in FILES} | {"suite"}
    assert names <= sys.stdlib_module_names | {"pytest", "pytest_benchmark"} | own


def test_python_3_9_compiles_and_imports_the_worker():
    python = shutil.which("python3.9")
    if python is None or subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode:
        pytest.skip("no python3.9 on PATH that runs")
    code = "import runpy, sys; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[1] + '/pytest_worker.py')"
    command = [python, "-W", "error", "-c", code, str(Path(worker.__file__).parent)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""}, check=False)
    assert ended.returncode == 0, ended.stderr
