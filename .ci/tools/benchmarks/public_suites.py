"""What `suite gate pytest` says of public suites that were not written for it: two released versions of each.

    .ci/tool benchmarks.public_suites --python python3.12 --out FOLDER [NAME...]
    .ci/tool benchmarks.public_suites --python python3.12 --out FOLDER --identical 20 [NAME...]

Sources come from the package index as they were released, each version a commit of a repository. Its environment, made
by the Python that is named, has the newer one installed editable, as a contributor has it. What the gate printed is
FOLDER/NAME.txt, after the command and the versions. With --identical the newer version is judged against itself so many
times, and what is printed counts the exit codes and the outcomes: whatever is not 0, or incomparable, is a false alarm.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Project:
    """Two released versions, the benchmarks that are judged, and what they need beside pytest-benchmark."""

    before: str
    after: str
    paths: Sequence[str]
    needs: Sequence[str] = ()


PROJECTS: Mapping[str, Project] = {
    "pluggy": Project(before="1.6.0", after="1.7.0", paths=["testing/benchmark.py"]),
    "cattrs": Project(
        before="25.1.1", after="26.2.1", paths=["bench"], needs=["orjson", "msgspec", "hypothesis", "pytest-typing"]
    ),
    "attrs": Project(before="25.4.0", after="26.1.0", paths=["bench"]),  # written for pytest-codspeed
    "pint": Project(
        before="0.25",
        after="0.25.2",
        paths=["pint/testsuite/benchmarks/test_01_eval.py"],  # all 450 of its benchmarks take over ten minutes
        needs=["pytest-subtests", "numpy", "pyyaml"],
    ),
    "psygnal": Project(
        before="0.15.0",
        after="0.15.1",
        paths=["tests/test_bench.py"],
        needs=["pytest-asyncio", "numpy", "pydantic", "wrapt", "msgspec", "attrs"],
    ),
    "python-statemachine": Project(
        before="3.1.2", after="3.2.2", paths=["tests/test_profiling.py"], needs=["pytest-asyncio", "pdbr"]
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="makes the projects' environments")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--identical", type=int, default=0, metavar="RUNS")
    parser.add_argument("names", nargs="*", default=list(PROJECTS), metavar="NAME", help=", ".join(PROJECTS))
    options = parser.parse_args()
    for name in options.names:
        folder = options.out.resolve() / name
        make(folder, name, PROJECTS[name], options.python)
        codes, outcomes = Counter(), Counter()
        for _ in range(options.identical):
            codes[judge(folder, name, PROJECTS[name], "HEAD")] += 1
            (newest,) = sorted((folder / "results/gate").iterdir())[-1:]
            outcomes.update(json.loads((newest / "judgement.json").read_text())["counts"])
            print(f"{name}: exit codes {dict(codes)}, outcomes {dict(outcomes)}", flush=True)
        if not options.identical:
            print(f"{name}: exit code {judge(folder, name, PROJECTS[name], 'HEAD~1')}", flush=True)
    return 0


def make(checkout: Path, name: str, project: Project, python: str) -> None:
    """Make the repository and its environment anew."""
    shutil.rmtree(checkout, ignore_errors=True)
    checkout.mkdir(parents=True)
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for version in (project.before, project.after):
        for old in checkout.iterdir():
            if old.name != ".git":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        unpack(name, version, checkout)
        subprocess.run([*git, "add", "--all", "--force"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", version], check=True)
    (checkout / ".git/info/exclude").write_text(".venv/\nresults/\n*.egg-info/\n", encoding="utf-8")
    subprocess.run([python, "-m", "venv", str(checkout / ".venv")], check=True)
    pip = [str(checkout / ".venv/bin/python"), "-m", "pip", "install", "--quiet"]
    pretended = {**os.environ, "SETUPTOOLS_SCM_PRETEND_VERSION": project.after}
    needs = ["pytest", "pytest-benchmark", *project.needs, "--editable", str(checkout)]
    subprocess.run([*pip, *needs], check=True, env=pretended)


def unpack(name: str, version: str, checkout: Path) -> None:
    """Put a release's files into a checkout."""
    folder = checkout.parent / "sources"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest"]
    subprocess.run([*fetch, str(folder), f"{name}=={version}"], check=True)
    (archive,) = folder.glob(f"{name.replace('-', '_')}-{version}.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    shutil.copytree(folder / archive.name.removesuffix(".tar.gz"), checkout, dirs_exist_ok=True)


def judge(checkout: Path, name: str, project: Project, against: str) -> int:
    """Judge the newer version against a revision, as its user would; return the gate's exit code."""
    arguments = ["gate", "pytest", *project.paths, "--against", against]
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment |= {"PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    ended = subprocess.run(
        [sys.executable, "-m", "suite", *arguments],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    other = "itself" if against == "HEAD" else project.before
    head = f"$ suite {' '.join(arguments)}    # {name} {project.after} against {other}\n"
    (checkout.parent / f"{name}.txt").write_text(head + ended.stdout, encoding="utf-8")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
