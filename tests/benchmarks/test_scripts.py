"""Each script that a person runs by hand, in its short form. The longer ones run where EVERY_SCRIPT is set, as .ci/run
does, and those of minutes where it is `minutes`, as every night.
"""

import os
import re

import pytest

from tests.benchmarks.scripts import MINUTES, QUICK, ROOT, SLOW, run

SCRIPTS = ROOT / ".ci/tools/benchmarks"
TOPS = (".ci", ".cluster", ".github", "conf", "results", "suite")
PROSE = {".md", ".py", ".yaml", ".yml", ""}
NAMED = re.compile(r"\.ci/tools/benchmarks/(\w+)\.py|\.ci/tool benchmarks\.(\w+)|\btools\.benchmarks\.(\w+)")


@pytest.mark.parametrize("name", QUICK)
def test_a_script_of_seconds_runs(name, tmp_path):
    assert run(name, QUICK[name], tmp_path)


@pytest.mark.skipif("EVERY_SCRIPT" not in os.environ, reason="takes longer: set EVERY_SCRIPT")
@pytest.mark.parametrize("name", SLOW)
def test_a_script_that_takes_longer_runs(name, tmp_path):
    assert run(name, SLOW[name], tmp_path)


@pytest.mark.skipif(os.environ.get("EVERY_SCRIPT") != "minutes", reason="takes minutes: set EVERY_SCRIPT=minutes")
@pytest.mark.parametrize("name", MINUTES)
def test_a_script_of_minutes_runs(name, tmp_path):
    assert run(name, MINUTES[name], tmp_path)


def test_no_script_is_named_that_is_not_there():
    paths = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "tests/README.md"]
    paths += [path for top in TOPS for path in (ROOT / top).rglob("*") if path.suffix in PROSE and path.is_file()]
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for found in NAMED.finditer(path.read_text(encoding="utf-8", errors="replace"))
        if (name := next(filter(None, found.groups()), "")) and not (SCRIPTS / f"{name}.py").exists()
    }
    assert missing == set()
