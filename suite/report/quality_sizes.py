"""How small the decoders are that a claim rests on, and what so small ones can show."""

from collections.abc import Iterable

from suite.records import numbers
from suite.report.blocks import Text, say
from suite.report.quality_runs import Study


def what_it_shows(found: Iterable[Study]) -> Text:
    """The fixed sentence, with the sizes of these studies filled in."""
    runs = [run for study in found for arm in study.arms for run in arm.runs]
    parameters = [value for run in runs if (value := run.constant("model_parameter_count")) is not None]
    questions = [run.questions for run in runs if run.questions]
    return say(
        "quality.small",
        parameters=_range(parameters),
        questions=_range(questions),
        runs=numbers.count(len(runs)),
    )


def _range(values: list[float]) -> Text:
    if not values:
        return numbers.NOTHING
    low, high = numbers.count(min(values)), numbers.count(max(values))
    return low if low == high else say("rl.range", low=low, high=high)
