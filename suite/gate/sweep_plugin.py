"""The cases of a sweep as items of pytest, timed by pytest-benchmark: `pytest --suite-sweep=gate`.

An item is one span of one case. It is built and checked as the gate's worker does, and handed to the fixture
`benchmark` with the clock that the gate would judge it by, so that the options of pytest-benchmark mean what its users
expect. The module mla_grpo_suite_pytest, which pytest loads, imports this where the option is given.
"""

import importlib.util
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from suite.gate.side_by_side.pairing import Expanded, check_can_be_timed, expanded_from
from suite.gate.workers.case_worker import Built, RevisionWorker
from suite.gate.workers.worker_loop import PlainError, RefusedError
from suite.records.labels import settings_in, short_names, written

# The function that reads each clock of a case on a CPU.
TIMERS = {"thread_cpu": time.thread_time, "process_cpu": time.process_time}
DEVICE = "device"
# The name of pytest-benchmark's plugin, and of its fixture.
NEEDS = "benchmark"
# The setting whose values share a group, in which pytest-benchmark compares.
COMPARED = "attention"
TIMED_BY_DEVICE = "it runs on {}, which only its own events can time: use suite gate --against REV"


class SweepPlugin:
    """Puts a sweep's cases in place of what pytest would find by itself, or beside the tests that are named."""

    def __init__(self, config: pytest.Config) -> None:
        if not config.pluginmanager.hasplugin(NEEDS):
            raise pytest.UsageError("--suite-sweep needs pytest-benchmark, which is not installed or is switched off")
        if lacking := [name for name in ("torch", "hydra") if importlib.util.find_spec(name) is None]:
            raise pytest.UsageError(
                f"--suite-sweep needs {' and '.join(lacking)}, not installed here: its cases run by them"
            )
        self._sweep: str = config.getoption("suite_sweep")
        self._chosen: Sequence[str] = config.getoption("suite_set") or ()
        self._names_tests = config.args_source is pytest.Config.ArgsSource.ARGS

    def pytest_ignore_collect(self) -> bool | None:
        """Ignore every file, unless the command line names tests."""
        return None if self._names_tests else True

    @pytest.hookimpl(tryfirst=True)  # before others select by name, or ask who uses the fixture
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the cases of the sweep to the collected items."""
        collector = Sweep.from_parent(session, name=self._sweep, nodeid=f"sweep={self._sweep}", chosen=self._chosen)
        report = collector.ihook.pytest_make_collect_report(collector=collector)
        collector.ihook.pytest_collectreport(report=report)
        items += report.result or ()


class Sweep(pytest.Collector):
    """Collects the cases of a sweep."""

    def __init__(self, *, chosen: Sequence[str], **more: Any) -> None:
        super().__init__(**more)
        self._chosen = chosen
        self._built: CaseItem | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item for each span of each case, and one for a case that cannot be timed.

        Raises CollectError for a sweep that cannot be composed, or whose cases are judged by seed.
        """
        try:
            with tempfile.TemporaryDirectory() as folder:  # Hydra makes a sweep's folder, which is none of the user's
                where = f"hydra.sweep.dir={folder}"
                answer = RevisionWorker().expand(["-m", f"sweep={self.name}", *self._chosen, where])
            expanded = expanded_from(answer)
            check_can_be_timed(expanded, self.name)
        except (PlainError, ValueError) as error:
            raise self.CollectError(f"sweep={self.name} cannot be timed: {error}") from error
        names = short_names(case.id for case in expanded)
        groups = _groups(expanded)
        for case in expanded:
            for span in self.built(case).spans:
                label, whole = (" · ".join(filter(None, (name, span))) for name in (names[case.id], case.id))
                yield SpanItem.from_parent(
                    self, whole=whole, label=label, case=case, span=span, group=f"{groups[case.id]} · {span}"
                )
        self.teardown()

    def built(self, case: Expanded) -> "CaseItem":
        """The case as built; only one is kept at a time, since each takes as much memory as its case."""
        if self._built is None or self._built.id != case.id:
            self._built = None
            self._built = CaseItem(case)
        return self._built

    def teardown(self) -> None:
        """Drop the built case, and its memory with it."""
        self._built = None


class CaseItem:
    """A built case, or why it cannot be timed."""

    def __init__(self, case: Expanded) -> None:
        """Build the case, or keep why it is skipped (`refusal`) or fails (`error`)."""
        from suite.measure.workload import UnsupportedError

        self.id, self.refusal = case.id, ""
        self.spans: Sequence[str] = ("",)
        self.error: Exception | None = None
        self.built: Built | None = None
        self._readings: Mapping[str, Mapping[str, float]] | None = None
        if "_target_" not in case.settings["workload"]:
            self.refusal = "it is computed from formulas, so nothing runs that could be timed"
            return
        if case.settings.get("device", "cpu") != "cpu":
            self.refusal = TIMED_BY_DEVICE.format(case.settings["device"])
            return
        try:
            built = Built(case.settings, slowed=0.0)
        except (RefusedError, UnsupportedError) as error:
            self.refusal = str(error)
        except Exception as error:  # shown by the item, when it is its turn
            self.error = error
        else:
            self.built, self.spans = built, tuple(built.spans) or ("",)
            if built.clock == DEVICE:
                self.refusal = TIMED_BY_DEVICE.format("this device")
            elif not built.spans:
                self.refusal = "no part of it can be repeated by itself"

    def readings(self) -> Mapping[str, Mapping[str, float]]:
        """The exact quantities of the case. Checks its output the first time, and raises what the check does."""
        if self.error is not None:
            raise self.error
        if self._readings is None:
            assert self.built is not None
            try:
                self._readings = self.built.examine()["readings"]
            except Exception as error:
                self.error = error
                raise
        return self._readings


class SpanItem(pytest.Function):
    """The benchmark of one span."""

    parent: Sweep

    def __init__(self, *, case: Expanded, span: str, whole: str, label: str, group: str, **more: Any) -> None:
        self._case, self._span, self._whole = case, span, whole
        super().__init__(name=whole, callobj=self._run, **more)  # by which it is selected, told and compared
        self.name = label  # in tables; it depends on the cases beside it
        item = self.parent.built(case)
        # The clock that the gate judges the case by, unless the command line names another.
        is_named = any(str(part).startswith("--benchmark-timer") for part in self.config.invocation_params.args)
        timer = TIMERS.get(item.built.clock) if item.built is not None and not is_named else None
        self.add_marker(pytest.mark.benchmark(group=group, **({"timer": timer} if timer else {})))
        if item.refusal:
            self.add_marker(pytest.mark.skip(reason=f"{case.id}: {item.refusal}"))

    def _run(self, benchmark: Any) -> None:
        """Check the output, once a case, then time the span by the fixture `benchmark`. Raises what the check does."""
        item = self.parent.built(self._case)
        readings = item.readings()
        assert item.built is not None
        benchmark.fullname = self._whole
        benchmark.param = self._case.id
        settings = {**self._case.case.axes, **self._case.case.extras}
        benchmark.params = {name: str(value) for name, value in settings.items()}
        benchmark.extra_info |= {
            "case": self._case.id,
            "span": self._span,
            "clock": item.built.clock,
            **readings.get("case", {}),
            **readings.get(self._span, {}),
        }
        benchmark(item.built.work(self._span))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *more: Any) -> Any:
        """What pytest prints of a failure: a sentence for a wrong output, a traceback for all else."""
        from suite.measure.workload import IncorrectError

        if isinstance(excinfo.value, IncorrectError):
            return f"{self.nodeid}: the output is wrong, and nothing was timed: {excinfo.value}"
        return super().repr_failure(excinfo, *more)


def _groups(cases: Sequence[Expanded]) -> dict[str, str]:
    """The benchmark group of each case, by its id: settings that differ between groups, without the compared one."""
    texts = {}
    for case in cases:
        settings = settings_in(case.id)
        texts[case.id] = written({name: value for name, value in settings.items() if name != COMPARED})
    names = short_names(texts.values())
    return {case_id: names[text] for case_id, text in texts.items()}
