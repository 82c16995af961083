"""The GitHub action for real, without GitHub: `.ci/tool benchmarks.action_by_hand [--python 3.9's PYTHON]`.

A fresh clone of this checkout's HEAD is the action, the canary's repository a stranger's, with an environment of its
own. A runner's shallow clone of a pull request is judged by the steps of action.yml: pip installs the judge, and the
gate measures. Slowed code must end with 1 and identical code with 0. Two minutes, with an index of packages at hand.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.action_runner import Runner
from tests.gate.canary import CHANGES, make
from tests.gate.repositories import Repository, repository

ROOT = Path(__file__).resolve().parents[3]
EXPECTED = {"slowed": "1", "same": "0"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="the Python of the stranger's environment")
    parser.add_argument("--seconds", default="30", help="the most seconds of measuring, of each change")
    chosen = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["git", "clone", "--quiet", "--depth=1", ROOT.as_uri(), folder / "action"], check=True)
        subprocess.run([chosen.python, "-m", "venv", folder / "project"], check=True)
        project = folder / "project/bin/python"
        subprocess.run([project, "-m", "pip", "--quiet", "install", "pytest", "pytest-benchmark"], check=True)
        (folder / "temp").mkdir()
        for change in CHANGES:
            runner = pull_request_of(change, folder)
            runner.environment["PATH"] = f"{project.parent}:/usr/local/bin:/usr/bin:/bin"
            started_s = time.monotonic()
            _, outputs = runner.run(folder / "action/action.yml", seconds=chosen.seconds)
            print(runner.log)
            print(
                f"== {change}: {outputs}, {time.monotonic() - started_s:.0f} s with whatever was installed; "
                f"reached: {', '.join(runner.uses)}"
            )
            print("\n".join(f"   {path.name}" for path in sorted(Path(outputs["folder"]).iterdir())))
            print(comment(folder / "temp/suite-judge/bin/python", outputs["folder"]))
            failed |= outputs["exit-code"] != EXPECTED[change]
        size = subprocess.run(["du", "-sm", folder / "temp/suite-judge"], capture_output=True, text=True, check=True)
        print(f"== the judge: {size.stdout.split()[0]} MB as installed")
    return int(failed)


def comment(judge: Path, folder: str) -> str:
    """The comment on the pull request, as the judge's own environment writes it."""
    command = [judge, "-I", "-m", "suite.gate.output.comment", folder, "suite-gate", "https://run.example"]
    body: str = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["body"]
    return body


def pull_request_of(change: str, folder: Path) -> Runner:
    """A runner with a clone of the change's head alone, whose base has gone on since."""
    make(change, folder / change / "origin")
    origin = Repository(folder / change / "origin")
    head = origin.git("rev-parse", "HEAD")
    origin.git("branch", "feature")
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    base = origin.commit({"later": ""})
    clone = repository(folder / change / "work")
    clone.git("remote", "add", "origin", origin.folder.as_uri())
    clone.git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", head)
    clone.git("checkout", "--quiet", "--detach", head)
    event = {"pull_request": {"base": {"sha": base}, "head": {"sha": head}}}
    return Runner(folder=folder / "temp", workspace=clone.folder, event=event)


if __name__ == "__main__":
    sys.exit(main())
