"""Numbers of a record by span, metric and step. A record may be foreign: what no run could have is left out."""

from collections import defaultdict
from collections.abc import Mapping

from suite.records.derived import by_launch
from suite.records.record import Reading, Record, Rows
from suite.report.model.run import MOST, MOST_STEPS, PLAUSIBLE_S

SeriesByName = Mapping[str, Mapping[int, float]]
"""Numbers by step of several metrics, spans or kinds of question."""
MetricsBySpan = dict[str, dict[str, dict[int, float]]]


def numbers_by_step(record: Record, metric: str, span: str) -> dict[int, float]:
    """A metric's plausible numbers by step; of several readings of one step the last."""
    rows = record.series(metric, span)
    steps = zip(rows.column("step"), rows.column("value"), strict=True)
    return {step: value for step, value in steps if 0 <= step < MOST_STEPS and abs(value) < MOST}


def numbers_by_span(record: Record) -> MetricsBySpan:
    """A record's plausible numbers by span, metric and step."""
    numbers: MetricsBySpan = defaultdict(lambda: defaultdict(dict))
    for span, metric in record.by_span:
        if by_step := numbers_by_step(record, metric, span):
            numbers[span][metric] = by_step
    return numbers


def is_plausible(seconds: float) -> bool:
    """Whether a clock can have measured this time."""
    return PLAUSIBLE_S[0] < seconds < PLAUSIBLE_S[1]


def plausible_launches(timings: Rows[Reading]) -> list[list[float]]:
    """The times of each launch that a clock can have measured; launches without any are left out."""
    launches = (list(filter(is_plausible, launch)) for launch in by_launch(timings))
    return [launch for launch in launches if launch]
