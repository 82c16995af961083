"""Somebody's package with a pytest-benchmark suite of its own, and a worker for one tree of it."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from suite.gate.pytest_benchmark.comparison import SuiteComparison
from suite.gate.pytest_benchmark.project import ProjectRevisions
from suite.gate.rules.tolerances import Tolerances
from suite.gate.verdict import Outcome

SETTINGS = """\
[tool.pytest.ini_options]
testpaths = ["benchmarks"]
addopts = "--benchmark-skip --strict-markers"
"""
PACKAGE = """\
TURNS = {turns}


def work(turns=TURNS):
    total = 0
    for number in range(turns):
        total += number * number
    return total


def fast(n):
    return sum(range(n))
"""
CONFTEST = """\
import pytest


@pytest.fixture(scope="module")
def numbers():
    yield list(range({size}))
    print("the numbers are gone", flush=True)
"""
BENCHMARKS = """\
import contextlib
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import fastpkg
import pytest

CALLS = []


def test_work(benchmark):
    assert benchmark(fastpkg.work) > 0


@pytest.mark.parametrize("n", [10])
def test_parameters(benchmark, n):
    benchmark.extra_info["n"] = n
    assert benchmark(fastpkg.fast, n) == sum(range(n))
    assert 0 < benchmark.stats.stats.mean < 1


class TestClass:
    def test_pedantic(self, benchmark):
        def setup():
            time.sleep(0.001)
            CALLS.append(1)
            return (2000,), {{}}

        assert benchmark.pedantic(fastpkg.fast, setup=setup, rounds=3) == 1_999_000
        assert len(CALLS) > 3

    def test_fixture(self, benchmark, numbers):
        assert benchmark.pedantic(fastpkg.fast, args=[len(numbers)], iterations=3) >= 0


def test_threads(benchmark):
    with ThreadPoolExecutor(1) as pool:

        def work():
            fastpkg.fast(10)
            return pool.submit(lambda: sha256(bytes(400_000)).digest()).result()

        benchmark(work)


def test_children(benchmark):
    count = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done"
    benchmark(lambda: (fastpkg.fast(10), subprocess.run(["sh", "-c", count], check=True)))


def test_waits(benchmark):
    benchmark(lambda: (fastpkg.fast(10), time.sleep(0.001)))


def test_asserts(benchmark):
    assert benchmark(fastpkg.fast, 10) == {sum}


def test_raises(benchmark):
    benchmark(fastpkg.gone, 10)


@pytest.mark.skip(reason="not today")
def test_skipped(benchmark):
    benchmark(fastpkg.fast, 10)


def test_never(benchmark):
    pass


async def test_async(benchmark):
    benchmark(fastpkg.fast, 10)


def test_coroutine(benchmark):
    async def work():
        pass

    benchmark(work)


def test_once(benchmark):
    turns = iter([1])
    benchmark.pedantic(lambda: next(turns), rounds=1)


def test_weaves(benchmark):
    benchmark.weave("fastpkg.fast")


@pytest.mark.xfail(reason="known", strict=True)
def test_known(benchmark):
    assert benchmark(fastpkg.fast, 10) == 0


def test_itself(benchmark):
    benchmark(fastpkg.fast, {n})


def test_{name}(benchmark):
    benchmark(fastpkg.fast, 10)


def test_plain():
    raise AssertionError("no benchmark, so nobody runs it")
"""


def tree(*, is_old):
    """The files of a revision. The newer one is slower in `work` and is otherwise changed in its tests."""
    facts = {"sum": 45 if is_old else 46, "n": 10 if is_old else 11, "name": "gone" if is_old else "new"}
    package = PACKAGE.format(turns=500 if is_old else 10_000) + ("gone = fast\n" if is_old else "")
    return {
        "pyproject.toml": SETTINGS,
        "src/fastpkg/__init__.py": package,
        "benchmarks/conftest.py": CONFTEST.format(size=100 if is_old else 101),
        "benchmarks/test_fast.py": BENCHMARKS.format(**facts),
        "benchmarks/test_broken.py": "import nowhere_at_all  # and a benchmark",
        "benchmarks/test_other.py": "import nowhere_at_all",
    }


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@contextmanager
def worker_for(tree, logs, *paths, checkout=None):
    """A worker that has collected, and its collection."""
    logs.mkdir(exist_ok=True)
    revisions = ProjectRevisions(
        trees=(tree, tree),
        logs=logs,
        python=sys.executable,
        folder=".",
        checkout=checkout or Path(os.devnull),
        paths=paths,
    )
    with revisions.start(0) as worker:
        worker.greet()
        yield worker, worker.ask("collect")


def revisions_of(folder, base, candidate):
    """Two trees. `candidate`: files that differ from `base`."""
    trees = (write(folder / "older", base), write(folder / "newer", {**base, **candidate}))
    logs = folder / "logs"
    logs.mkdir()
    return ProjectRevisions(trees=trees, logs=logs, python=sys.executable, folder=".", checkout=Path(os.devnull))


def examined(folder, base, candidate, *, trusts=False):
    """The comparison of two trees before any timing."""
    revisions = revisions_of(folder, base, candidate)
    sides = dict.fromkeys(("before", "after", "python", "seconds"))
    comparison = SuiteComparison(**sides, revisions=revisions, tolerances=Tolerances(), trusts_candidate=trusts)
    comparison.examine(lambda text: None)
    return comparison


def reasons(comparison):
    """Why each benchmark is incomparable, by the name of its test."""
    return {
        verdict.case.rpartition("::")[2]: verdict.reason
        for verdict in comparison.verdicts
        if verdict.outcome is Outcome.INCOMPARABLE
    }
