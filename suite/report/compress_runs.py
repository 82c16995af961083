"""Runs of workload=compress as the section needs them: one model reading one set of windows, under every method.

What is paired is a window with itself: runs stand in one study where everything but the method and its settings agrees.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.records.derived import started_at
from suite.report.alike import Pairs, case_key, differing, grouped, named_in
from suite.report.blocks import joined
from suite.report.compress_run import CALIBRATION, METHODS, NONE, RANK, CompressRun, read_compress_run
from suite.report.model.results import CurrentRecord, Results
from suite.report.quality_runs import WITHOUT_EFFECT, without_names
from suite.report.timings import axis

WORKLOAD = "compress"
OF_A_METHOD = ("method", RANK, CALIBRATION)


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One method, from its widest cache to its narrowest."""

    method: str
    calibration: str
    """Named where a study has the method with several."""
    runs: Sequence[CompressRun]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    setting: Pairs
    title: str
    reference: CompressRun | None
    """The model as it is."""
    lines: Sequence[Line]
    """All other methods."""

    @property
    def runs(self) -> list[CompressRun]:
        return [*([self.reference] if self.reference else []), *(run for line in self.lines for run in line.runs)]

    @property
    def label(self) -> str:
        return self.runs[0].current.label

    @property
    def facets(self) -> dict[str, str]:
        dtype = axis(self.runs[0].record, "dtype")
        return {"label": self.label} | ({"dtype": dtype} if dtype else {})

    @property
    def full_bytes(self) -> float | None:
        """A token's cache in the model as it is."""
        return self.reference.cache_bytes if self.reference else None

    @property
    def low_rank(self) -> list[Line]:
        return [line for line in self.lines if line.runs[0].is_low_rank]

    def is_full(self, run: CompressRun) -> bool:
        """Whether it is a latent that keeps as much as keys and values themselves, so that nothing is cut."""
        kept, full = run.cache_bytes, self.full_bytes
        return run.is_low_rank and kept is not None and full is not None and kept >= full


@functools.lru_cache(maxsize=1)
def compress_studies(results: Results) -> Sequence[Study]:
    """Those with the most runs first, label by label."""
    records = [one for one in results.records if one.record.case.workload == WORKLOAD]
    named = named_in((one.record for one in records), ignored=WITHOUT_EFFECT)
    newest: dict[tuple[Pairs, Pairs], CompressRun] = {}
    for current in records:
        run = read_compress_run(current)
        if run is None:
            continue
        key = _study_key(current, named), _method_key(run)
        if key not in newest or started_at(run.record) > started_at(newest[key].record):
            newest[key] = run
    by_study = grouped(newest.items(), lambda item: item[0][0])
    titles = _titles(list(by_study), has_labels=results.several)
    made = [_study(key, titles[key], [run for _, run in items]) for key, items in by_study.items()]
    labels = list(results.labels)
    return sorted(made, key=lambda one: (labels.index(one.label), -len(one.runs), one.title))


def method_rank(method: str) -> tuple[int, str]:
    return (METHODS.index(method) if method in METHODS else len(METHODS), method)


def _study(key: Pairs, title: str, runs: Sequence[CompressRun]) -> Study:
    by_line = grouped((run for run in runs if run.method != NONE), lambda run: _method_key(run)[::2])
    lines = []
    for (method, calibration), of_line in by_line.items():
        alike = [other for other in by_line if other[0] == method]
        lines.append(
            Line(
                method=method[1],
                calibration=calibration[1] if len(alike) > 1 else "",
                runs=sorted(of_line, key=lambda run: -(run.rank or 0)),
            )
        )
    return Study(
        setting=key,
        title=title,
        reference=next((run for run in runs if run.method == NONE), None),
        lines=sorted(lines, key=lambda line: (method_rank(line.method), line.calibration)),
    )


def _study_key(current: CurrentRecord, named: Iterable[str]) -> Pairs:
    said = without_names(case_key(current.record, named), OF_A_METHOD)
    return (*said, ("label", current.label))


def _method_key(run: CompressRun) -> Pairs:
    return (("method", run.method), (RANK, str(run.rank or "")), (CALIBRATION, run.calibration))


def _titles(keys: Sequence[Pairs], *, has_labels: bool) -> dict[Pairs, str]:
    """Each by what tells it from the others."""
    differ = differing(keys)
    return {
        key: joined(
            " · ",
            (
                value if name in ("checkpoint", "label") else f"{name}={value}"
                for name, value in key
                if name in differ and value and (name != "label" or has_labels)
            ),
        )
        for key in keys
    }
