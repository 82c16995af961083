"""The drawing of wrong lines, and that their tests are run and heard, in a tiny checkout."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.wrong_lines import ROOT
from tools.mutants import changes_of, is_change

MODULE = """\
\"\"\"A module of 3 lines.\"\"\"

MOST = 5


def is_many(count: int, more: int = 0) -> bool:
    if count < 0:
        raise ValueError(f"count must be from 0 on, and at most {MOST + 1}")
    if count == 3:
        count += 1
    return count + more > MOST
"""
TESTS = """\
from suite.statistics.many import is_many


def test_many():
    assert is_many(6) and not is_many(5) and not is_many(3)


def test_four_follows_three():
    assert is_many(3, 2)


def test_broken():
    assert is_many(5, 0)
"""
TRY = """\
import json, sys
from pathlib import Path
from tools.mutation import Copy, draw, seen_by
root, folder = map(Path, sys.argv[1:])
copy = Copy(folder=folder, root=root)
drawn = {}
for seed in range(4):
    for mutant in draw(root, seed, 100):
        changed = mutant.applied((root / mutant.file).read_text()).splitlines()[mutant.line - 1]
        drawn[changed] = mutant
for changed in ("    return count + more < MOST", "    if count <= 0:"):
    print(json.dumps([drawn[changed].line, changed, seen_by(copy, drawn[changed], whole=False)]))
print(json.dumps([len(drawn), sorted(copy.broken), copy.run("tests", limit_s=0.0)]))
"""


def changed(text):
    """The text after each change that there is."""
    return [mutant.applied(text) for mutant in changes_of("a.py", text) if is_change(mutant, text)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a = b <= (1)", "a = b < (1)"),
        ("a = (b) < c", "a = (b) > c"),
        ("a = b is not c", "a = b is c"),
        ("a = not b and c", "a = not b or c"),
        ("a = not b and c", "a = b and c"),
        ("a = max(b, key=c)", "a = min(b, key=c)"),
        ("a = max(b, key=c)", "a = max(b, )"),
        ("a = b[1:c]", "a = b[1:c + 1]"),
        ("a = b * 2.5", "a = b * 5.0"),
        ("def f():\n    return b", "def f():\n    return None"),
        ("for a in b:\n    continue", "for a in b:\n    break"),
        ("a.append(b)", "pass"),
    ],
)
def test_python_is_changed_by_its_syntax(before, after):
    assert after in changed(before)


@pytest.mark.parametrize(
    "text",
    [
        '"""More than 1."""',
        "a: tuple[int, 2]",
        "assert a < 1, 2",
        "raise ValueError(1)",
        "@f(1)\ndef g(a: 1) -> 2:\n    pass",
        "a = f'{b:>10}'",
        "say(b, c=d)",
        "zip(a, b, strict=True)",
        "a = 1e-9",
    ],
)
def test_what_says_nothing_of_behaviour_is_left_alone(text):
    assert [one for one in changed(text) if one != "pass"] == []


@pytest.mark.skipif(not hasattr(os, "fork") or not shutil.which("git"), reason="needs fork and git")
def test_a_known_wrong_line_is_drawn_and_seen(tmp_path):
    """And one that no test looks at is not; a test that fails anyway sees nothing."""
    root = tmp_path / "checkout"
    files = {
        "suite/statistics/many.py": MODULE,
        "tests/statistics/test_many.py": TESTS,
        "tests/statistics/test_b.py": "?",
    }
    for name, text in {**files, "suite/__init__.py": ""}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", root], check=True)
    # In a process of its own: forks of this one would inherit its threads' locks.
    command = [sys.executable, "-c", TRY, root, tmp_path / "copy"]
    bare = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": ".ci",
    }  # plugins take longer than these tests
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=bare)
    *seen, (drawn, broken, without_time) = map(json.loads, ended.stdout.splitlines())
    test = "tests/statistics/test_many.py::test"
    assert seen == [
        [11, "    return count + more < MOST", f"{test}_many"],
        [7, "    if count <= 0:", None],
    ]
    assert drawn > 8
    assert (broken, without_time) == (["tests/statistics/test_b.py", f"{test}_broken"], "no end")
    assert (root / "suite/statistics/many.py").read_text() == MODULE
