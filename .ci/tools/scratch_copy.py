"""A scratch copy of the checkout, in which tests run on changed files, each time in a fork of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.wrong_lines import ROOT, written
from tools.mutants import Mutant

OPTIONS = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
LONGEST_S = 3600.0


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
        for name in [name for name in sys.modules if name.partition(".")[0] in ("suite", "tests", "tools")]:
            del sys.modules[name]
        roots = (self.folder, self.folder / ".ci")
        replaced = (self.root, self.root / ".ci")
        others = [path for path in sys.path if path and Path(path).resolve() not in replaced]
        sys.path[:] = [*map(str, roots), *others]
        os.environ["PYTHONPATH"] = os.pathsep.join(map(str, roots))
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
