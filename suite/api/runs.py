"""Records in a notebook: every run below a folder as frames of pandas, and arms compared by the one rule of evidence.

>>> import suite
>>> runs = suite.load("results/reference/cpu_rl_feedback")
>>> runs.workloads
['rl']
>>> table = runs.table()
>>> table.attrs["units"]["latency_s"]
's'
>>> comparisons = runs.compare(by="supervision", against="outcome")
>>> sorted(comparisons["metric"].unique())
['heldout_accuracy']
>>> runs.where(supervision="outcome", seed=[0, 1])
<24 runs of rl>
"""

import math
import warnings
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from suite.configuration.files import workload_definition
from suite.console.compare import arm_groups
from suite.console.summary import Cost, Summary, SummaryEntry, latency, summarise_record
from suite.records.case import value_under
from suite.records.derived import by_launch, started_at
from suite.records.metrics import METRICS
from suite.records.record import CorruptRecordError, Record, Status
from suite.records.stores.store import READINGS, read_batches, read_readings
from suite.report.model.by_setting import experiments_by
from suite.report.model.experiment import Experiment
from suite.report.model.outcome import ScoredMetric, outcome_metric
from suite.report.model.results import CurrentRecord, Results, read_results
from suite.report.model.run import SEED, Run
from suite.statistics.intervals import launched_interval

if TYPE_CHECKING:
    import pandas as pd

TIMED = "latency_s"
ENDS_S = (f"{TIMED}_low", f"{TIMED}_high")
OF_A_MACHINE = ("s", "J", "W")
"""Units of what a machine takes for a step, and not of what the step comes to."""
COMPARED = ("pairs", "mean", "mean_of_other", "difference", "low", "high", "p", "adjusted_p", "sign_flip_p", "outcome")
"""Columns of a comparison. The p values are those of Student's t, after Holm's correction, and of all sign flips."""


class Runs:
    """Every run below a folder of results; of several of one case the newest, as the report has it.

    Readings stay on disk until a frame needs them, so that a large folder is loaded at once.
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def __len__(self) -> int:
        return len(self._results.records)

    def __repr__(self) -> str:
        return f"<{len(self)} runs of {', '.join(self.workloads) or 'nothing'}>"

    def __iter__(self) -> Iterator[Record]:
        """The records with their readings, which are read one record at a time."""
        return (current.record for current in self._read(None))

    def where(self, **settings: Any) -> "Runs":
        """The runs whose setting has this value, or one of a list: `where(attention="mla", seq_len=[64, 128])`.

        A name with a dot is written `**{"attention.kv_heads": 2}`; `label`, `workload` and `status` may be named, too.
        Raises ValueError for a name that no run has.
        """
        rows = [(current.record, self._case(current)) for current in self._results.records]
        names = sorted({name for _, row in rows for name in row})
        if unknown := settings.keys() - set(names):
            raise ValueError(f"where takes settings of the runs ({', '.join(names)}); got {', '.join(unknown)}")
        wanted = {name: value if isinstance(value, list | tuple | set) else [value] for name, value in settings.items()}
        fitting = {
            id(record) for record, row in rows if all(row.get(name) in values for name, values in wanted.items())
        }
        return Runs(self._results.narrowed(lambda _, record: id(record) in fitting))  # a record has no hash

    @property
    def workloads(self) -> list[str]:
        return list(dict.fromkeys(current.record.case.workload for current in self._results.records))

    @property
    def labels(self) -> list[str]:
        """The labels of the folders; each machine of a folder has one of its own."""
        return list(self._results.labels)

    def results(self, workload: str | None = None) -> Results:
        """The records with their readings, as the report and `suite.plot` take them."""
        return replace(self._results, records=list(self._read(workload)))

    def cases(self, workload: str | None = None) -> "pd.DataFrame":
        """A row for each run, with or without a result; its folder is the index, `run`.

        Columns: `label`, `workload`, `case_id`, `run_key`, `machine_id`, `status`, `reason`, `evidence`, then one for
        each axis of the case and each further setting that any run names, with the value of each run.
        """
        frame = _frame({"run": _run_name(run.folder), **self._case(run)} for run in self._named(workload))
        return frame.set_index(frame.pop("run").astype(str)) if len(frame) else frame

    def table(self, workload: str | None = None) -> "pd.DataFrame":
        """A row for each case and span: medians of what was timed, and what was noted.

        A timing `latency_s` is a median in seconds. Beside it stand the ends of its interval (`latency_s_low`,
        `latency_s_high`), the level that this reaches, and the readings and launches behind it. Any other metric is the
        number that was noted, of several steps the last. Before these stand the columns of `cases`. `attrs["units"]`
        holds the units of the columns.
        """
        return self._results_frame(workload, _spans)

    def curves(self, workload: str | None = None) -> "pd.DataFrame":
        """A row for each step and span of every run, a column for each metric that changes from step to step."""
        return self._results_frame(workload, _steps)

    def readings(self, workload: str | None = None) -> "pd.DataFrame":
        """Every reading, a row each.

        Columns: `run`, as `cases` has it, `step`, `span`, `metric`, `value`, for timings `wall_s`, `thread_cpu_s` and
        `process_cpu_s` (seconds), `involuntary_switches` (a count) and `launch` (a number from 0, in which `step`
        counts from 0 again; null where all are of one), last `unit`, of `value`. Texts are categories. Settings come
        with `runs.readings().merge(runs.cases(), on="run")`.
        """
        import numpy as np
        import pandas as pd
        import pyarrow as pa

        names, tables = list[str](), [pa.Table.from_batches([], READINGS.schema_as_read)]
        for current in self._named(workload):
            with _damage_said(current):
                batches = read_batches(READINGS, current.folder, current.record)
                names.append(_run_name(current.folder))
                tables.append(pa.Table.from_batches(batches, batches[0].schema if batches else tables[0].schema))
        counts = [table.num_rows for table in tables[1:]]
        # Older files have no launches.
        readings = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
        del tables
        types = {pa.int64(): pd.Int64Dtype()}  # which has a missing value
        frame: pd.DataFrame = readings.to_pandas(types_mapper=types.get, split_blocks=True, self_destruct=True)
        runs = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        frame.insert(0, "run", pd.Series(pd.Categorical.from_codes(runs, pd.Index(names))))
        for name, today in READINGS.renamed.items():
            frame[name] = _categories_as(frame[name], today)
        units = {name: metric.unit for name, metric in METRICS.items()}
        frame["unit"] = _categories_as(frame["metric"], lambda name: units.get(name, ""))
        return frame

    def compare(
        self,
        by: str = "attention",
        *,
        workload: str | None = None,
        metric: str | None = None,
        span: str | None = None,
        against: str | None = None,
    ) -> "pd.DataFrame":
        """Compare arms that differ in one setting and in what belongs to it, each with the first, as `suite compare`.

        The first is so by the order of the options' own files, else by its age; `against` names another value of `by`.
        By default the number is what a workload is run for, which its YAML names under `outcome`; else the last of
        `metric` in `span`. Pairs are of one seed, or of one window of text. A row is a
        `suite.statistics.paired.Comparison`: Student's interval of the mean difference, p values, and the outcome after
        Holm's correction over the rows of its experiment. A workload without an outcome, as attention, is compared by
        the time of its layer or of `span`: `ratio` is a speed over the other arm's, low and high the ends that their
        medians' intervals allow. Raises ValueError where no arms differ in `by`.
        """
        rows: list[dict[str, Any]] = []
        for name in [workload] if workload else self.workloads:
            if metric in (None, TIMED) and not workload_definition(name).get("outcome"):
                rows += self._ratios(name, by, span, against)
            elif outcome := outcome_metric(name, span, metric):
                for experiment in self._experiments(name, by, outcome, against):
                    rows += _rows(experiment, by, outcome)
        if not rows:
            axes = sorted({name for current in self._named(workload) for name in current.record.case.axes} - {SEED})
            raise ValueError(
                f"by must be a setting in which otherwise equal runs differ ({', '.join(axes)}), and against one of "
                f"its values; got {by!r}{'' if against is None else f' and {against!r}'}"
            )
        return _frame(rows)

    def _repr_html_(self) -> str:
        """What a notebook shows: a line for each workload and label."""
        cases = self.cases().reindex(columns=["workload", "label", "status"])  # of no runs, too
        without = cases["status"].ne(Status.OK).groupby([cases["workload"], cases["label"]], sort=False)
        counts = without.agg(["size", "sum"]).set_axis(["cases", "without a result"], axis="columns")
        return str(counts.reset_index().to_html(index=False))

    def _results_frame(
        self, workload: str | None, results: Callable[[Record], Iterable[dict[str, Any]]]
    ) -> "pd.DataFrame":
        """A row for each of the results of each case, behind the columns of the case."""
        import pandas as pd

        runs = list[str]()

        def rows() -> Iterator[Mapping[str, Any]]:
            for current in self._read(workload):
                for row in results(current.record):
                    runs.append(_run_name(current.folder))
                    yield row

        frame = _frame(rows())
        if runs:
            cases = self.cases(workload).loc[runs].reset_index()
            for name in frame.columns.intersection(cases.columns):  # settings that are metrics too, as `updates`
                setting = pd.to_numeric(cases.pop(name).astype(object), errors="coerce")
                frame[name] = frame[name].fillna(setting.astype("float64"))
            frame = pd.concat([cases, frame], axis=1)
        frame.attrs["units"] = _units(frame.columns)
        return frame

    def _case(self, current: CurrentRecord) -> dict[str, Any]:
        """The columns of a case that every row has: label, workload, id, machine, status, evidence and settings."""
        record = current.record
        return {
            "label": current.label,
            "workload": record.case.workload,
            "case_id": record.case.id,
            "run_key": record.run_key,
            "machine_id": record.environment.get("machine_id"),
            "status": str(record.status),
            "reason": record.reason,
            "evidence": str(record.evidence),
            **record.case.axes,
            **self._further_settings(record),
        }

    def _further_settings(self, record: Record) -> dict[str, Any]:
        """The record's value of each setting that any run names beside the axes, without missing ones."""
        values = {name: record.case.extras.get(name, value_under(record.settings, name)) for name in self._extras}
        return {
            name: value for name, value in values.items() if value is not None and not isinstance(value, Mapping | list)
        }

    @cached_property
    def _extras(self) -> list[str]:
        return list(dict.fromkeys(name for run in self._results.records for name in run.record.case.extras))

    def _named(self, workload: str | None) -> list[CurrentRecord]:
        """The records of a workload, or all. Raises ValueError for a workload that was not run."""
        if workload is not None and workload not in self.workloads:
            raise ValueError(f"workload must be one of {', '.join(self.workloads)}; got {workload!r}")
        return [current for current in self._results.records if workload in (None, current.record.case.workload)]

    def _read(self, workload: str | None) -> Iterator[CurrentRecord]:
        """A workload's records with their readings, each read only when it is taken, so that memory need not hold all.

        One with damaged readings is left out with a warning. Raises ValueError for a workload that was not run.
        """
        for current in self._named(workload):
            with _damage_said(current):
                readings = read_readings(current.folder, current.record)
                yield replace(current, record=replace(current.record, readings=readings))

    def _experiments(self, workload: str, by: str, outcome: ScoredMetric, against: str | None) -> list[Experiment[Run]]:
        """Experiments of a workload's runs by a setting, the oldest run first, with the readings to compare alone."""
        # Of all readings those that are compared are kept, and none of a clock where seeds were spread over machines.
        is_timed = outcome.metric in METRICS and METRICS[outcome.metric].unit in OF_A_MACHINE
        currents = [
            replace(current, record=replace(current.record, readings=outcome.readings(current.record)))
            for current in self._read(workload)
            if current.is_of_one_machine or not is_timed
        ]
        currents.sort(key=lambda current: started_at(current.record))
        return experiments_by(currents, workload, by, lambda current, key: Run(current=current, key=key), against)

    def _ratios(self, workload: str, by: str, span: str | None, against: str | None) -> Iterator[dict[str, Any]]:
        """Yield the rows of `compare` for a workload without an outcome: the ratio of each arm's speed, or projected
        peak, to the baseline arm's. `span`: whose times are compared; None for the cost that the record's summary
        names."""
        entries = []
        for current in self._read(workload):
            timed = latency(current.record, span) if span else None
            cost = Cost(number=timed.median, interval=timed) if timed else None
            summary = Summary(cost=cost) if span else summarise_record(current.record)
            entry = SummaryEntry(record=replace(current.record, readings=()), summary=summary, label=current.label)
            entries.append(replace(entry, is_of_one_machine=current.is_of_one_machine))
        entries.sort(key=lambda entry: started_at(entry.record))
        for group in arm_groups(entries, by, against):
            for ratio in group.comparisons():
                named = {"by": by, "arm": ratio.arm, "other": ratio.other, "span": span, "metric": ratio.quantity}
                ends = {"ratio": ratio.estimate, "low": ratio.low, "high": ratio.high, "outcome": ratio.outcome}
                yield named | ends | {"margin": None} | dict(group.experiment.key)


def load(path: str | Path | Iterable[str | Path] = "results") -> Runs:
    """Load every run below a folder of results, or below several, each under a label of its own. A run that lies below
    several counts once, under the first. Damaged ones are left out, and a warning names them.

    Raises ValueError where there is no such folder.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    for place in paths:
        if not Path(place).is_dir():
            raise ValueError(f"path must be a folder of results; got {str(place)!r}")
    results = read_results([Path(place) for place in paths], with_readings=False)
    if results.damaged:
        named = "; ".join(f"{damage.name}: {damage.reason}" for damage in results.damaged)
        warnings.warn(f"left out as damaged: {named}", stacklevel=2)
    first = {current.folder.resolve(): current.record for current in reversed(results.records)}
    repeated = {id(run.record) for run in results.records if first[run.folder.resolve()] is not run.record}
    return Runs(results.narrowed(lambda _, record: id(record) not in repeated))


@contextmanager
def _damage_said(current: CurrentRecord) -> Iterator[None]:
    """Warn of damaged readings, which loading does not read, and go on without the run."""
    try:
        yield
    except CorruptRecordError as error:
        warnings.warn(f"left out as damaged: {current.folder.name}: {error}", stacklevel=5)


def _spans(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the results of a case, a row for each span; a single row where it has none."""
    noted: dict[str, dict[str, Any]] = defaultdict(dict)
    timed: dict[str, dict[str, Any]] = {}
    steps, values = (record.rows.column(name) for name in ("step", "value"))
    for (span, metric), readings in record.by_span.items():
        if metric != TIMED:
            noted[span][metric] = values[max(readings.places, key=steps.__getitem__)]
        elif launches := [finite for launch in by_launch(readings) if (finite := list(filter(math.isfinite, launch)))]:
            interval = launched_interval(launches)
            parts = ("low", "high", "level", "count", "launches")
            timed[span] = {TIMED: interval.median} | {f"{TIMED}_{name}": getattr(interval, name) for name in parts}
    for span in dict.fromkeys(span for span, _ in record.by_span) or {None: None}:
        yield {"span": span} | noted.get(span or "", {}) | timed.get(span or "", {})


def _steps(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the values of a case at each span and step, of metrics that have several steps and are no timings."""
    rows: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for (span, metric), readings in record.by_span.items():
        steps = readings.column("step")
        for step, value in zip(steps, readings.column("value"), strict=True) if len(set(steps)) > 1 else ():
            if metric != TIMED:
                rows[span, step][metric] = value
    for (span, step), metrics in rows.items():
        yield {"span": span, "step": step} | metrics


def _rows(experiment: Experiment[Run], by: str, outcome: ScoredMetric) -> Iterator[dict[str, Any]]:
    """Yield the rows of `compare` for an experiment with scores: each arm minus the baseline; none without one."""
    other = experiment.baseline
    if other is None:
        return
    for pair in outcome.contrasts(experiment.others, other):
        comparison, interval = pair.comparison, pair.comparison.interval
        sign_flip_p = comparison.sign_flip_p if comparison.is_tested else None
        values = (
            *(comparison.pairs, fmean(comparison.ours), fmean(comparison.theirs), comparison.mean),
            *((interval.low, interval.high) if interval else (None, None)),
            *(comparison.p, comparison.adjusted_p, sign_flip_p, str(comparison.outcome)),
        )
        named = {"by": by, "arm": pair.arm.name, "other": other.name, "span": outcome.span, "metric": outcome.metric}
        yield named | dict(zip(COMPARED, values, strict=True)) | {"margin": comparison.margin} | dict(experiment.key)


def _frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    """Rows as a frame: whole numbers stay whole, texts are categories, units stand in `attrs`."""
    import pandas as pd

    columns: dict[str, tuple[array[int], list[Any]]] = defaultdict(lambda: (array("q"), []))
    count = 0
    for row in rows:
        for name, value in row.items():
            places, values = columns[name]
            places.append(count)
            values.append(value)
        count += 1
    frame = pd.DataFrame(index=pd.RangeIndex(count))
    series = [_typed(values, places).reindex(frame.index).rename(name) for name, (places, values) in columns.items()]
    frame = pd.concat([frame, *series], axis=1)
    frame.attrs["units"] = _units(columns)
    return frame


def _units(names: Iterable[str]) -> dict[str, str]:
    """The unit of each column that has one."""
    ends = dict.fromkeys(ENDS_S, METRICS[TIMED].unit)
    units = {name: METRICS[name].unit if name in METRICS else ends.get(name, "") for name in names}
    return {name: unit for name, unit in units.items() if unit}


def _run_name(folder: Path) -> str:
    """The path of a run's folder; pandas' texts are UTF-8, which a path need not be."""
    return str(folder).encode(errors="surrogateescape").decode(errors="backslashreplace")


def _categories_as(column: "pd.Series[Any]", today: Callable[[str], str]) -> "pd.Categorical":
    """A column of categories under other names, which several may share; an empty name is a missing one."""
    import numpy as np
    import pandas as pd

    used = column.cat.remove_unused_categories()
    names = pd.Categorical([today(name) or None for name in used.cat.categories])
    return names.take(np.asarray(used.cat.codes))


def _typed(values: Sequence[Any], rows: Sequence[int]) -> "pd.Series[Any]":
    """Values of these rows as a column whose dtype keeps whole numbers, truth values and missing ones apart; texts for
    the rest, as categories."""
    import pandas as pd

    kinds, index = set(map(type, values)) - {type(None)}, pd.Index(rows)
    if kinds == {int}:
        return pd.Series(values, index, dtype="Int64")  # numpy's int64 has no missing value
    if kinds == {bool}:
        return pd.Series(values, index, dtype="boolean")  # likewise
    if kinds <= {int, float}:
        return pd.Series(values, index, dtype="float64")
    return pd.Series([value if value is None else str(value) for value in values], index, dtype="category")
