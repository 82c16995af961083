"""How many wrong lines the tests see: draws changes of one line each, and runs the tests that can see each of them.

    .ci/tool mutation --seed 1 --count 100 --only suite/theory --out /tmp/mutants.jsonl

The checkout stays as it is: the changes are made in a scratch copy, uncommitted files included, and each run of tests
is a fork that imports the copy. A change is seen when a test fails that passes without it, or does not end. First runs
the module's own file of tests, then the files that import it, then those that mirror its package, then, with --whole,
all there are. What --out holds already is not run again.

A change that survives is a hole in the tests, or means the same; say which of the two, and why.
"""

import argparse
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.wrong_lines import ROOT, written
from tools.mutants import Mutant, changes_of, is_change

PACKAGES = ("statistics", "gate", "report", "theory", "records", "rl", "attention")
ELSEWHERE = ("suite/attention/triton_decode.py", "suite/attention/backends/triton.py")
"""A function that runs in Triton alone, whose tests are `make test-kernels`."""
APART = ("browser", "contracts", "kernels", "launchers", "parity", "parity_rliable", "ray", "stores", "trackers")
"""Folders of tests that need more than `make test` installs."""
DEAR = ("torch", "torch._dynamo", "hydra", "omegaconf", "pandas", "pyarrow.parquet", "typer", "rich.console", "psutil")
"""Imported once, before the forks; nothing of the suite may be among it."""
OPTIONS = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
LONGEST_S = 3600.0


@dataclass(eq=False)
class Failures:
    """A plugin of pytest that notes what fails."""

    names: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report):
        self.names += [report.nodeid] if report.failed else []

    pytest_collectreport = pytest_runtest_logreport


@dataclass(kw_only=True)
class Copy:
    """A copy of the checkout as it is, in which tests run on changed files, each time in a fork of its own."""

    folder: Path
    root: Path = ROOT
    broken: set[str] = field(default_factory=set)
    """Tests that fail without any change, and so see none."""
    sound: set[str] = field(default_factory=set)

    def __post_init__(self):
        subprocess.run(["git", "clone", "--quiet", self.root, self.folder], check=True)
        listed = ("git", "ls-files", "-z", "--modified", "--others", "--exclude-standard")
        for name in filter(None, subprocess.check_output(listed, cwd=self.root, text=True).split("\0")):
            source, target = self.root / name, self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target) if source.exists() else target.unlink(missing_ok=True)

    def run(self, *arguments: str, limit_s: float = LONGEST_S) -> str | None:
        """Run pytest in a fork; the first test that fails, "no end" where the tests are not over in time, or None."""
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            try:
                failure = self._result(arguments)
            except BaseException as error:
                failure = f"pytest failed: {error}"
            os.write(writes, failure.encode())
            os._exit(0)
        os.close(writes)
        until, is_over = time.monotonic() + limit_s, False
        try:
            while not is_over and time.monotonic() < until:
                is_over = os.waitpid(child, os.WNOHANG)[0] == child
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # and whatever its tests left running
            if not is_over:
                os.waitpid(child, 0)
        with os.fdopen(reads, encoding="utf-8", errors="replace") as pipe:
            return (pipe.read() or None) if is_over else "no end"

    def _result(self, arguments) -> str:
        """Run pytest on the copy within the fork; the first failure, or empty text."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.chdir(self.folder)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("suite", "tests", "tools")]:
            del sys.modules[name]
        roots = (self.folder, self.folder / ".ci")
        replaced = (self.root, self.root / ".ci")
        sys.path[:] = [*map(str, roots), *(path for path in sys.path if path and Path(path).resolve() not in replaced)]
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, roots))
        # A change within the same second and of as many bytes would find the bytecode of the one before it.
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        failures = Failures()
        code = pytest.main([*OPTIONS, *arguments], plugins=[failures])
        return failures.names[0] if failures.names else "" if code in (0, 5) else f"pytest ended with {code}"

    def sees(self, mutant: Mutant, *paths: str) -> str | None:
        """The first test that fails with the change and passes without it; None if none does."""
        path = self.folder / mutant.file
        while True:
            avoided = [f"--{'deselect' if '::' in name else 'ignore'}={name}" for name in self.broken]
            with written(path, mutant.applied(path.read_text(encoding="utf-8"))):
                failed = self.run("-x", *paths, *avoided)
            if failed is None or not failed.startswith("tests/") or failed in self.sound:
                return failed
            if self.run(failed) is None:
                self.sound.add(failed)
                return failed
            self.broken.add(failed)


def draw(root: Path, seed: int, count: int, only: Sequence[str] = ()) -> list[Mutant]:
    """Draw `count` changes, each on another line; every line is as likely as another."""
    by_line = defaultdict(list)
    texts = {}
    for package in PACKAGES:
        for path in sorted((root / "suite" / package).glob("**/*.py")):
            name = path.relative_to(root).as_posix()
            if name not in ELSEWHERE and (not only or name.startswith(tuple(only))):
                texts[name] = path.read_text(encoding="utf-8")
                for mutant in changes_of(name, texts[name]):
                    by_line[name, mutant.line].append(mutant)
    chance, mutants = random.Random(seed), []
    for place in chance.sample(sorted(by_line), len(by_line)):
        mutant = chance.choice(by_line[place])
        if len(mutants) < count and is_change(mutant, texts[mutant.file]):
            mutants.append(mutant)
    return mutants


def importing_tests(copy: Copy, path: Path) -> list[str]:
    """Files of tests that import a module, but those of other environments."""
    dotted = path.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    imported = re.compile(rf"{re.escape(dotted)}\b|from {re.escape(package)} import [^\n]*\b{name}\b")
    tests = sorted((copy.folder / "tests").glob("**/test_*.py"))
    return [
        str(test.relative_to(copy.folder))
        for test in tests
        if test.relative_to(copy.folder).parts[1] not in APART and imported.search(test.read_text(encoding="utf-8"))
    ]


def seen_by(copy: Copy, mutant: Mutant, *, whole: bool) -> str | None:
    """The first test that fails with a change and not without it, from the nearest tests on; None for none."""
    path = Path(mutant.file)
    mirror = Path(path.parent.as_posix().replace("suite", "tests", 1))
    package = Path(*mirror.parts[:2])
    stages = [[f"{mirror}/test_{path.stem}.py"], [*importing_tests(copy, path), f"{package}/test_snapshot.py"]]
    stages += [[str(package)], *([["tests"]] if whole else [])]
    for paths in stages:
        present = [name for name in paths if (copy.folder / name).exists()]
        if present and (failed := copy.sees(mutant, *present)):
            return failed
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[], help="folders or files of suite/ to draw from")
    parser.add_argument("--out", type=Path, help="JSON lines; what they hold already is not run again")
    parser.add_argument("--whole", action="store_true", help="run all tests where the mirrors see nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that neither copy nor fork stays
    out = options.out
    rows = map(json.loads, out.read_text(encoding="utf-8").splitlines() if out and out.exists() else [])
    ends = {(row["file"], row["begin"], row["before"], row["after"]): row["seen_by"] for row in rows}
    for name in DEAR:
        with suppress(ImportError):
            importlib.import_module(name)
    table = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder=Path(folder) / "checkout")
        for number, mutant in enumerate(draw(ROOT, options.seed, options.count, options.only), 1):
            key, begun = (mutant.file, mutant.begin, mutant.before, mutant.after), time.monotonic()
            if key not in ends:
                ends[key] = seen_by(copy, mutant, whole=options.whole)
                if out:
                    with out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({**asdict(mutant), "seen_by": ends[key]}) + "\n")
            table[mutant.file.split("/")[1]]["seen" if ends[key] else "SURVIVED"] += 1
            changed = mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8")).splitlines()[mutant.line - 1]
            print(f"{number} {mutant.file}:{mutant.line} {mutant.before!r} → {mutant.after!r}: {changed.strip()}")
            print(f"    {ends[key] or 'SURVIVED'} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(f"\n{'package':<12}{'drawn':>6}{'seen':>6}{'survived':>10}")
    for package, counts in sorted(table.items()):
        print(f"{package:<12}{counts.total():>6}{counts['seen']:>6}{counts['SURVIVED']:>10}")


if __name__ == "__main__":
    main()
