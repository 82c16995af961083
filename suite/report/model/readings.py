"""Numbers of a record by span, metric and step. A record may be foreign: what no run could have is left out."""

from collections import defaultdict
from collections.abc import Mapping

from suite.records.record import Record
from suite.report.model.run import MOST, MOST_STEPS

SeriesByName = Mapping[str, Mapping[int, float]]
"""Numbers by step of several metrics, spans or kinds of question."""
MetricsBySpan = dict[str, dict[str, dict[int, float]]]


def numbers_by_span(record: Record) -> MetricsBySpan:
    """A record's plausible numbers by span, metric and step; of several readings of one step the last."""
    numbers: MetricsBySpan = defaultdict(lambda: defaultdict(dict))
    for (span, metric), readings in record.by_span.items():
        for step, value in zip(readings.column("step"), readings.column("value"), strict=True):
            if 0 <= step < MOST_STEPS and abs(value) < MOST:
                numbers[span][metric][step] = value
    return numbers
