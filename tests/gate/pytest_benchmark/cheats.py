"""Somebody's project whose candidate is slower, and the ways to let a benchmark of it look as fast as before.

Each cheat changes one thing beside the package, so that the benchmark does less work, or does it where no clock looks.
"""

WORK = """\
import functools
import os
import subprocess
import sys
import threading

LATER = []


def work(turns):
    total = 0
    for _ in range({times}):
        for number in range(turns):
            total += number * number
    return total
"""
BASE = {
    "pyproject.toml": """\
[project]
name = "fast-pkg"

[tool.pytest.ini_options]
testpaths = ["benchmarks"]
pythonpath = ["."]
addopts = "-p plain_plugin"
""",
    "src/fastpkg/__init__.py": WORK.format(times=1),
    "plain_plugin.py": "",
    "entry_plugin.py": "",
    "quick_plugin.py": "import fastpkg\n\nslow = fastpkg.work\nfastpkg.work = lambda turns: slow(turns // 100)\n",
    "sizes.py": "SIZE = 2000\n",
    "extra.dist-info/METADATA": "Metadata-Version: 2.1\nName: extra\nVersion: 1\n",
    "extra.dist-info/entry_points.txt": "[pytest11]\nextra = entry_plugin\n",
    ".benchrc": "2000",
    "benchmarks/sizes.json": "2000",
    "benchmarks/test_other.py": "",
    "benchmarks/helper.py": "SIZE = 2000\n",
    "benchmarks/conftest.py": """\
import pathlib

import pytest

SIZE = int(pathlib.Path(__file__).parent.with_name(".benchrc").read_text())


@pytest.fixture
def size():
    return SIZE
""",
    "benchmarks/test_work.py": """\
import json
import pathlib

import fastpkg
import helper
import sizes

LENGTH = 2000


def test_conftest(benchmark, size):
    benchmark(fastpkg.work, size)


def test_helper(benchmark):
    benchmark(fastpkg.work, helper.SIZE)


def test_module(benchmark):
    benchmark(fastpkg.work, sizes.SIZE)


def test_data(benchmark):
    benchmark(fastpkg.work, json.loads(pathlib.Path(__file__).with_name("sizes.json").read_text()))


def test_length(benchmark):
    benchmark(lambda: fastpkg.work(LENGTH))
""",
}
SLOWER = {"src/fastpkg/__init__.py": WORK.format(times=18)}
PATCHED = """

import fastpkg

slow = fastpkg.work
fastpkg.work = lambda turns: slow(turns // 100)
"""
WORKLOADS = {
    "a helper module": ("benchmarks/helper.py", "SIZE = 20\n"),
    "a module beside the package": ("sizes.py", "SIZE = 20\n"),
    "a data file": ("benchmarks/sizes.json", "20"),
    "a file that conftest.py reads": (".benchrc", "20"),
    "a plugin that pytest's settings name": (
        "pyproject.toml",
        BASE["pyproject.toml"].replace("plain_plugin", "quick_plugin"),
    ),
    "an entry point in the tree": ("extra.dist-info/entry_points.txt", "[pytest11]\nextra = quick_plugin\n"),
    "a patch in conftest.py": ("benchmarks/conftest.py", BASE["benchmarks/conftest.py"] + PATCHED),
    "a hook in conftest.py": (
        "benchmarks/conftest.py",
        BASE["benchmarks/conftest.py"] + "\n\ndef pytest_runtest_setup(item):\n    item.module.LENGTH = 20\n",
    ),
    "a number of the test's file": (
        "benchmarks/test_work.py",
        BASE["benchmarks/test_work.py"].replace("LENGTH = 2000", "LENGTH = 20"),
    ),
    "a test that is no benchmark": ("benchmarks/test_other.py", PATCHED),
}
"""Files other than the package, each with the content that makes a benchmark smaller."""
DEFERRED = {
    "a thread": "threading.Thread(target=slow, args=(turns,)).start()",
    "a process": """\
subprocess.Popen([sys.executable, "-c", f"import fastpkg; fastpkg.slow({turns})"])""",
    "a fork": "os.fork() or (slow(turns), os._exit(0))",
    "a kept result": "kept(turns)",
    "a look at the runner": "slow(20 if 'worker' in sys.modules['__main__'].__file__ else turns)",
}
"""Bodies of the package's function that let its work be done elsewhere than in the call that is timed."""


def deferring(body):
    """The candidate's package where `work` is this, and the slow function is `slow`."""
    slow = WORK.format(times=150).replace("def work", "def slow")
    kept = "\n\nkept = functools.lru_cache(slow)\n"
    return {"src/fastpkg/__init__.py": f"{slow}{kept}\n\ndef work(turns):\n    return {body}\n"}


TESTS = {"a data file": "test_data", "a file that conftest.py reads": "test_conftest"}
CHEATS = {
    **{
        what: (TESTS.get(what, "test_length"), {**SLOWER, path: text})
        for what, (path, text) in WORKLOADS.items()
        if path != "benchmarks/test_other.py"  # nobody imports it, so nothing of it counts
    },
    **{f"work left to {what}": ("test_length", deferring(body)) for what, body in DEFERRED.items()},
}
"""A benchmark and the files of a candidate that lets it look faster than it is."""
