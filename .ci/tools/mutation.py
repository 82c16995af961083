"""How many wrong lines the tests see: draws changes of one line each, and runs the tests that can see each of them.

    .ci/tool mutation --seed 1 --count 100 --map /tmp/lines.json --out /tmp/mutants.jsonl

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
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.wrong_lines import ROOT
from tools.mutants import Mutant, changes_of, is_change
from tools.scratch_copy import LONGEST_S, Copy, Watch

PACKAGES = ("statistics", "gate", "report", "theory", "records", "rl", "attention", "report/page/scripts")
ELSEWHERE = ("suite/attention/triton_decode.py", "suite/attention/backends/triton.py")
"""What runs in Triton alone, whose tests are `make test-kernels`."""
APART = ("browser", "contracts", "kernels", "launchers", "parity", "parity_rliable", "ray", "stores", "trackers")
"""Folders of tests that need more than `make test` installs."""
DEAR = ("torch", "torch._dynamo", "hydra", "omegaconf", "pandas", "pyarrow.parquet", "typer", "rich.console", "psutil")
"""Imported once, before the forks; nothing of the suite may be among it."""
NEAREST = 60
"""Tests that run first of those that pass through a line: the fastest."""
PATIENCE, SLACK_S = 6.0, 60.0
"""A run may take so many times as long as its tests took when the map was made, and a minute more."""
COVERAGE = """
[run]
source_pkgs = suite
parallel = true
data_file = {folder}/lines
concurrency = multiprocessing,thread
context = ${{PYTEST_CURRENT_TEST-}}
"""
"""Processes that a test starts read this too, and so note their lines under the test's name."""


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
            if copy.folder.resolve() not in Path(path).resolve().parents:
                continue  # a test's own copy of the suite
            module = Path(path).resolve().relative_to(copy.folder.resolve()).as_posix()
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


def naming(copy: Copy, path: Path) -> list[str]:
    """Files of tests that name a module, or a script by its own name, but those of other environments."""
    dotted = path.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    package, _, name = dotted.rpartition(".")
    imported = re.compile(rf"{re.escape(dotted)}\b|from {re.escape(package)} import [^\n]*\b{name}\b")
    found = []
    for test in sorted((copy.folder / "tests").glob("**/test_*.py")):
        relative = test.relative_to(copy.folder)
        if path.suffix == ".js":
            is_meant = relative.parts[1] == "browser" and name in relative.stem
        else:
            is_meant = relative.parts[1] not in APART and imported.search(test.read_text(encoding="utf-8"))
        found += [relative.as_posix()] if is_meant else []
    return found


def seen_by(copy: Copy, mutant: Mutant, known: Map | None, *, whole: bool) -> str | None:
    """The first test that fails with a change and not without it, from the nearest tests on; None for none."""
    path = Path(mutant.file)
    of_page = path.suffix == ".js"
    mirror = Path("tests/browser" if of_page else path.parent.as_posix().replace("suite", "tests", 1))
    stages: list[tuple[list[str], Mapping[str, float] | None]] = [([f"{mirror}/test_{path.stem}.py"], None)]
    stages.append(([*naming(copy, path), f"{Path(*mirror.parts[:2])}/test_snapshot.py"], None))
    if known is not None and not of_page:
        text = (copy.root / path).read_text(encoding="utf-8")
        tests = sorted(known.tests_of(mutant, text).items(), key=lambda pair: pair[1])
        for part in map(dict, filter(None, (tests[:NEAREST], tests[NEAREST:]))):
            stages.append((sorted({name.partition("::")[0] for name in part}), part))
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
