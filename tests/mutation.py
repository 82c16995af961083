"""How many wrong lines the tests see: draws changes of one line each, and runs the tests that can see each of them.

    .venv/bin/python -m tests.mutation --seed 1 --count 100 --map /tmp/lines.json --out /tmp/mutants.jsonl

The checkout stays as it is: the changes are made in a scratch copy, and each run of tests is a fork that imports the
copy. A change is seen when a test fails that passes without it, or does not end. First runs the module's own file of
tests, then what passes through the line by --map, then the tests that mirror its package, then, with --whole, all there
are. Where there is no map yet it is made, by one run of all tests under coverage.py (`pip install coverage`). Where a
module has changed since then, tests that passed through any of its lines count. Scripts of the page are tried in
Chromium, as by `make browser`. What --out holds already is not run again.

A change that survives is a hole in the tests, or means the same; say which of the two, and why.
"""

import argparse
import hashlib
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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.mutants import Mutant, changes_of, is_change
from tests.wrong_lines import ROOT, written

PACKAGES = ("statistics", "gate", "report", "theory", "records", "rl", "attention", "report/page/scripts")
ELSEWHERE = ("suite/attention/triton_decode.py",)
"""What runs in Triton alone, whose tests are `make test-kernels`."""
DEAR = ("torch", "torch._dynamo", "hydra", "omegaconf", "pandas", "pyarrow.parquet", "typer", "rich.console", "psutil")
"""Imported once, before the forks; nothing of the suite may be among it."""
OPTIONS = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
NEAREST = 60
"""Tests that run first of those that pass through a line: the fastest."""
PATIENCE, SLACK_S, LONGEST_S = 6.0, 60.0, 3600.0
"""A run may take so many times as long as its tests took when the map was made, and a minute more; where that is not
known, an hour."""
COVERAGE = """
[run]
source_pkgs = suite
relative_files = true
parallel = true
data_file = {folder}/lines
concurrency = multiprocessing,thread
context = ${{PYTEST_CURRENT_TEST-}}
"""
"""Processes that a test starts read this too, and so note their lines under the test's name."""


@dataclass(eq=False)
class Watch:
    """A plugin of pytest that runs the chosen tests alone, and notes what fails and how long each test takes."""

    chosen: Mapping[str, float] | None = None
    failed: list[str] = field(default_factory=list)
    seconds: Counter[str] = field(default_factory=Counter)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        """The files whose chosen tests take least come first; what the map does not know yet is chosen."""
        if self.chosen is not None:
            items[:] = [item for item in items if item.nodeid in self.chosen]
        of_file = Counter[str]()
        for item in items:
            of_file[item.location[0]] += (self.chosen or {}).get(item.nodeid, 0.0)
        items.sort(key=lambda item: (of_file[item.location[0]], item.location[0]))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        if (running := _running_coverage()) is None:
            return (yield)
        running.switch_context(item.nodeid)
        try:
            return (yield)
        finally:
            running.switch_context("")

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        self.failed += [report.nodeid] if report.failed else []

    def pytest_collectreport(self, report):
        self.failed += [report.nodeid] if report.failed else []


def _running_coverage():
    coverage = sys.modules.get("coverage")
    return coverage and coverage.Coverage.current()


@dataclass(kw_only=True)
class Copy:
    """A copy of the checkout as it is, uncommitted files included, in which tests run."""

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

    def run(self, *arguments: str, watch: Watch, limit_s: float = LONGEST_S, prepare: Callable = bool) -> str | None:
        """The first test that fails, "no end" where the tests are not over in time, or None."""
        ours, theirs = os.pipe()
        child = os.fork()
        if not child:
            try:
                failure = self._result(arguments, watch, prepare)
            except BaseException as error:
                failure = f"pytest failed: {error}"
            os.write(theirs, failure.encode())
            os._exit(0)
        os.close(theirs)
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
        with os.fdopen(ours, encoding="utf-8", errors="replace") as pipe:
            return (pipe.read() or None) if is_over else "no end"

    def _result(self, arguments, watch, prepare) -> str:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()
        os.chdir(self.folder)
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("suite", "tests")]:
            del sys.modules[name]
        sys.path[:] = [str(self.folder), *(path for path in sys.path if path and Path(path).resolve() != self.root)]
        os.environ["PYTHONPATH"] = str(self.folder)
        finish = prepare()
        code = pytest.main([*OPTIONS, *arguments], plugins=[watch])
        if finish:
            finish()
        return watch.failed[0] if watch.failed else "" if code in (0, 5) else f"pytest ended with {code}"

    def sees(self, mutant: Mutant, *paths: str, watch: Watch, limit_s: float = LONGEST_S) -> str | None:
        """The first test that fails with the change and passes without it."""
        path = self.folder / mutant.file
        while True:
            avoided = [f"--{'deselect' if '::' in name else 'ignore'}={name}" for name in self.broken]
            with written(path, mutant.applied(path.read_text(encoding="utf-8"))):
                failed = self.run("-x", *paths, *avoided, watch=watch, limit_s=limit_s)
            if failed is None or not failed.startswith("tests/") or failed in self.sound:
                return failed
            if self.run(failed, watch=Watch()) is None:
                self.sound.add(failed)
                return failed
            self.broken.add(failed)


@dataclass(frozen=True, kw_only=True)
class Map:
    """The tests that pass through each line, with their seconds."""

    tests: Mapping[str, float]
    digests: Mapping[str, str]
    """Of each module as it was."""
    lines: Mapping[str, Mapping[str, Sequence[str]]]
    """Tests by the module's path, and by the number of the line."""

    def tests_of(self, mutant: Mutant, text: str) -> dict[str, float]:
        """Tests that pass through the statement; through the module, where it lies outside of functions or the module
        has changed since."""
        lines = self.lines.get(mutant.file, {})
        names = lines.get(str(mutant.statement), ()) if self.digests.get(mutant.file) == _digest(text) else ()
        return {name: self.tests[name] for name in names or {name for of_line in lines.values() for name in of_line}}


def make_map(copy: Copy, file: Path) -> None:
    """Run all tests once, and note which line each passes through, in the processes that it starts as well."""
    import coverage

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rc").write_text(COVERAGE.format(folder=folder))
        (folder / "sitecustomize.py").write_text("import coverage\ncoverage.process_startup()\n")
        watch = Watch()

        def prepare():
            os.environ["COVERAGE_PROCESS_START"] = str(folder / "rc")
            os.environ["PYTHONPATH"] += f"{os.pathsep}{folder}"
            running = coverage.Coverage(config_file=str(folder / "rc"))
            running.start()

            def finish():
                running.stop()
                running.save()
                (folder / "seconds.json").write_text(json.dumps(watch.seconds))

            return finish

        copy.run(watch=watch, limit_s=4 * 3600, prepare=prepare)
        tests, lines, digests = json.loads((folder / "seconds.json").read_text()), {}, {}
        combined = coverage.Coverage(config_file=str(folder / "rc"))
        combined.combine([name])
        data = combined.get_data()
        for path in data.measured_files():
            module = f"suite/{path.partition('/suite/')[2]}"
            digests[module] = _digest((copy.folder / module).read_text(encoding="utf-8"))
            for line, contexts in data.contexts_by_lineno(path).items():
                names = {re.sub(r" \(\w+\)$", "", context.rpartition("|")[2]) for context in contexts} & tests.keys()
                lines.setdefault(module, {})[line] = sorted(names, key=tests.get)
    file.write_text(json.dumps({"tests": tests, "digests": digests, "lines": lines}), encoding="utf-8")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def draw(root: Path, seed: int, count: int, only: Sequence[str] = ()) -> list[Mutant]:
    """So many changes, of as many lines, each line as likely as another."""
    by_line = defaultdict(list)
    texts = {}
    for package in PACKAGES:
        pattern = "*.js" if package.endswith("scripts") else "**/*.py"
        for path in sorted((root / "suite" / package).glob(pattern)):
            name = path.relative_to(root).as_posix()
            if name not in ELSEWHERE and (not only or name.startswith(tuple(only))):
                texts[name] = path.read_text(encoding="utf-8")
                for mutant in changes_of(name, texts[name]):
                    by_line[name, mutant.line].append(mutant)
    chance, drawn = random.Random(seed), []
    for place in chance.sample(sorted(by_line), len(by_line)):
        mutant = chance.choice(by_line[place])
        if len(drawn) < count and is_change(mutant, texts[mutant.file]):
            drawn.append(mutant)
    return drawn


def seen_by(copy: Copy, mutant: Mutant, known: Map | None, *, whole: bool) -> str | None:
    """The first test that fails with a change and not without it, from the nearest tests on; None for none."""
    path = Path(mutant.file)
    of_page = path.suffix == ".js"
    mirror = Path("tests/browser" if of_page else path.parent.as_posix().replace("suite", "tests", 1))
    stages: list[tuple[list[str], Mapping[str, float] | None]] = [([f"{mirror}/test_{path.stem}.py"], None)]
    if known is not None and not of_page:
        text = (copy.root / path).read_text(encoding="utf-8")
        tests = sorted(known.tests_of(mutant, text).items(), key=lambda pair: pair[1])
        for part in map(dict, filter(None, (tests[:NEAREST], tests[NEAREST:]))):
            stages.append((sorted({name.partition("::")[0] for name in part}), part))
    elif mirror.parts[2:]:
        stages.append(([str(mirror)], None))
    stages += [([str(Path(*mirror.parts[:2]))], None), *([([], None)] if whole else [])]
    for paths, chosen in stages:
        present = [name for name in paths if (copy.folder / name).exists()]
        limit_s = LONGEST_S
        if known is not None and not of_page:
            usual_s = [took_s for name, took_s in known.tests.items() if name.startswith(tuple(paths) or "tests")]
            limit_s = SLACK_S + PATIENCE * sum(usual_s if chosen is None else chosen.values())
        if (present or not paths) and (
            failed := copy.sees(mutant, *present, watch=Watch(chosen=chosen), limit_s=limit_s)
        ):
            return failed
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=[], help="folders or files of suite/ to draw from")
    parser.add_argument("--map", type=Path, help="the file of the tests by line, made where it is not there")
    parser.add_argument("--out", type=Path, help="JSON lines; what they hold already is not run again")
    parser.add_argument("--whole", action="store_true", help="run all tests where the mirrors see nothing")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that neither copy nor fork stays
    drawn = draw(ROOT, asked.seed, asked.count, asked.only)
    lines = asked.out.read_text(encoding="utf-8").splitlines() if asked.out and asked.out.exists() else []
    ends = {(one["file"], one["begin"], one["before"], one["after"]): one["seen_by"] for one in map(json.loads, lines)}
    for name in DEAR:
        with suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(folder=Path(folder) / "checkout")
        if asked.map and not asked.map.exists():
            make_map(copy, asked.map)
        known = Map(**json.loads(asked.map.read_text(encoding="utf-8"))) if asked.map else None
        table = defaultdict(Counter)
        for number, mutant in enumerate(drawn, 1):
            key, begun = (mutant.file, mutant.begin, mutant.before, mutant.after), time.monotonic()
            if key not in ends:
                ends[key] = seen_by(copy, mutant, known, whole=asked.whole)
                if asked.out:
                    with asked.out.open("a", encoding="utf-8") as file:
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
