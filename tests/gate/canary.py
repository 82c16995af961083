"""A small repository of a stranger, whose last commit slows its code, or changes nothing that runs.

The weekly workflow lets the action judge both; it runs this file with a Python of the stranger's, so nothing here needs
more than Python 3.9 and git.
"""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = {
    "pyproject.toml": '[project]\nname = "canary"\nversion = "1"\n',
    "src/canary/__init__.py": "",
    "tests/test_speed.py": """\
from canary.work import checksum


def test_checksum(benchmark):
    assert benchmark(checksum, 20_000) == 199_990_000
""",
    ".gitignore": "__pycache__/\n.pytest_cache/\n",
    "conftest.py": "",
}
WORK = """\
def checksum(count):
    total = 0
    for number in range(count):
        total += number
    return total
"""
SLOWED = WORK.replace("range(count)", "range(count + count // 2)").replace(
    "total += number", "total += number * (number < count)"
)
"""Half as many rounds more, and more to do in each: no runner is so noisy that a gate may miss it."""
CHANGES = {"slowed": {"src/canary/work.py": SLOWED}, "same": {"README.md": "Nothing that runs has changed.\n"}}
WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "a", "EMAIL": "a@b.example"}.items()
}


def make(change, folder):
    """Make the repository in a new folder, with a commit before the change and one that has it."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, {**PROJECT, "src/canary/work.py": WORK}, "the project")
    commit(folder, CHANGES[change], change)


def commit(folder, files, message):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, env={**os.environ, **WHO})


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]))
