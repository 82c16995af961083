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
from suite.records.labels import short_names

TIMERS = {"thread_cpu": time.thread_time, "process_cpu": time.process_time}
"""The function that reads each clock of a case on a CPU."""
DEVICE = "device"
NEEDS = "benchmark"
"""The name of pytest-benchmark's plugin, and of its fixture."""
RUN_CASES = ("torch", "hydra")
COMPARED = "attention"
"""The setting whose values share a group, in which pytest-benchmark compares."""


class SweepPlugin:
    """Puts a sweep's cases in place of what pytest would find by itself, or beside the tests that are named."""

    def __init__(self, config: pytest.Config) -> None:
        if not config.pluginmanager.hasplugin(NEEDS):
            raise pytest.UsageError("--suite-sweep needs pytest-benchmark, which is not installed, or is switched off")
        if lacking := [name for name in RUN_CASES if importlib.util.find_spec(name) is None]:
            raise pytest.UsageError(f"--suite-sweep runs cases, which need {' and '.join(lacking)}, not installed here")
        self._sweep: str = config.getoption("suite_sweep")
        self._chosen: Sequence[str] = config.getoption("suite_set") or ()
        self._names_tests = config.args_source is pytest.Config.ArgsSource.ARGS

    def pytest_ignore_collect(self) -> bool | None:
        return None if self._names_tests else True

    @pytest.hookimpl(tryfirst=True)  # before others select by name, or ask who uses the fixture
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        collector = Sweep.from_parent(session, name=self._sweep, nodeid=f"sweep={self._sweep}", chosen=self._chosen)
        report = collector.ihook.pytest_make_collect_report(collector=collector)
        collector.ihook.pytest_collectreport(report=report)
        items += report.result or ()


class Sweep(pytest.Collector):
    """Collects the cases of a sweep."""

    def __init__(self, *, chosen: Sequence[str], **more: Any) -> None:
        super().__init__(**more)
        self._chosen = chosen
        self._held: CaseItem | None = None

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
            for span in self.held(case).spans:
                label, whole = (" · ".join(filter(None, (name, span))) for name in (names[case.id], case.id))
                yield SpanItem.from_parent(
                    self, whole=whole, label=label, case=case, span=span, group=f"{groups[case.id]} · {span}"
                )
        self._held = None  # as much memory as a case takes

    def held(self, case: Expanded) -> "CaseItem":
        """Return a built case, and drop the one before it."""
        if self._held is None or self._held.id != case.id:
            self._held = None
            self._held = CaseItem(case)
        return self._held

    def teardown(self) -> None:
        self._held = None


class CaseItem:
    """A built case, or why it cannot be timed."""

    def __init__(self, case: Expanded) -> None:
        self.id, self.refusal = case.id, ""
        self.spans: Sequence[str] = ("",)
        self.error: Exception | None = None
        self.built: Built | None = None
        self._readings: Mapping[str, Mapping[str, float]] | None = None
        if "_target_" not in case.settings["workload"]:
            self.refusal = "it is computed, and runs nothing that could be timed"
        elif case.settings.get("device", "cpu") != "cpu":
            self.refusal = _of_device(case.settings["device"])
        else:
            self._build(case)

    def _build(self, case: Expanded) -> None:
        from suite.measure.workload import UnsupportedError

        try:
            built = Built(case.settings, slowed=0.0)
        except (RefusedError, UnsupportedError) as error:
            self.refusal = str(error)
        except Exception as error:  # shown by the item, when it is its turn
            self.error = error
        else:
            self.built, self.spans = built, tuple(built.spans) or ("",)
            if built.clock == DEVICE:
                self.refusal = _of_device("this device")
            elif not built.spans:
                self.refusal = "no part of it can be repeated by itself"

    def readings(self) -> Mapping[str, Mapping[str, float]]:
        """Check the output, once, and return the exact quantities. Raises what the check does."""
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
        held = self.parent.held(case)
        # The clock that the gate judges the case by, unless the command line names another.
        is_named = any(str(part).startswith("--benchmark-timer") for part in self.config.invocation_params.args)
        timer = TIMERS.get(held.built.clock) if held.built is not None and not is_named else None
        self.add_marker(pytest.mark.benchmark(group=group, **({"timer": timer} if timer else {})))
        if held.refusal:
            self.add_marker(pytest.mark.skip(reason=f"{case.id}: {held.refusal}"))

    def _run(self, benchmark: Any) -> None:
        held = self.parent.held(self._case)
        readings = held.readings()
        assert held.built is not None
        # As the gate's own file of pytest-benchmark has it, so that either is compared with the other.
        benchmark.fullname = self._whole
        benchmark.param = self._case.id
        benchmark.params = {name: str(value) for name, value in self._settings.items()}
        benchmark.extra_info |= {
            "case": self._case.id,
            "span": self._span,
            "clock": held.built.clock,
            **readings.get("case", {}),
            **readings.get(self._span, {}),
        }
        benchmark(held.built.work(self._span))

    @property
    def _settings(self) -> Mapping[str, Any]:
        return {**self._case.case.axes, **self._case.case.extras}

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *more: Any) -> Any:
        """Return a sentence for a wrong output, and a traceback for all else."""
        from suite.measure.workload import IncorrectError

        if isinstance(excinfo.value, IncorrectError):
            return f"{self.nodeid}: the output is wrong, and nothing was timed: {excinfo.value}"
        return super().repr_failure(excinfo, *more)


def _groups(cases: Sequence[Expanded]) -> dict[str, str]:
    """For each case the settings that tell it from others, but for the one that is compared."""
    without = {
        case.id: " ".join(f"{name}={value}" for name, value in _axes(case).items() if name != COMPARED)
        for case in cases
    }
    names = short_names(without.values())
    return {case: names[rest] for case, rest in without.items()}


def _axes(case: Expanded) -> Mapping[str, Any]:
    axes = {"workload": case.case.workload, **case.case.axes, **case.case.extras}
    return {name: "null" if value is None else value for name, value in axes.items()}


def _of_device(device: str) -> str:
    return f"it runs on {device}, whose own events time it: suite gate --against REV does, a timer of the host cannot"
