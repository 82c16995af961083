"""Tables, figures and sentences about arms of workload=quality and their differences."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, TypeVar

from suite.records import numbers
from suite.report.blocks import Figure, Kind, Table, Text, View, joined, say
from suite.report.evidence import difference, p_columns, verdict_of
from suite.report.model.formats import ends_of, nats, share_interval, share_with_range, with_range
from suite.report.plot.marks import Point
from suite.report.quality.design import ALL, LOSS, QualityArm, QualityContrast, cache_bytes, share_of
from suite.report.table import Column, column, table
from suite.statistics.paired import TOLD_APART, ArmOutcome

R = TypeVar("R")
MOST_NAMED = 3


def listed(names: Sequence[Text]) -> Text:
    """The first few of many, and how many more there are."""
    more = len(names) - MOST_NAMED
    first = joined("list", names[:MOST_NAMED])
    return say("quality.and_more", names=first, count=numbers.count(more)) if more > 0 else first


def difference_text(pair: QualityContrast) -> Text:
    """A difference with its interval; of a loss how the loss itself moved."""
    own, mean = pair.found.interval, pair.found.mean
    if pair.quantity is not LOSS:
        return difference(pair)
    return with_range(-mean, own and replace(own, estimate=-mean, low=-own.high, high=-own.low), nats)


def answered_text(arm: QualityArm, kind: str = ALL) -> Text | None:
    """The share of questions of a kind, with its interval over seeds."""
    return share_with_range(arm.values(share_of(kind)))


def seeds_text(arm: QualityArm) -> Text:
    """How many seeds ended, and how many did not."""
    count = numbers.count(len(arm.ended))
    return say("quality.failed", count=count, failed=numbers.count(arm.failed)) if arm.failed else count


def bytes_text(size: float) -> str:
    """Write a token's cache."""
    return f"{size:,.0f}"


def figure(key: str, views: Sequence[View], arms: Iterable[QualityArm], caption: Text = "", **more: Any) -> Figure:
    """Lay out a figure whose title and caption stand under `key`; it says where no arm has a second seed.

    Figures of one key are a family, of which a reader chooses one. `caption`: in the place of the one under `key`.
    `more`: anything else of a Figure.
    """
    is_single = all(len(arm.ended) == 1 for arm in arms)
    sentences = [caption or say(f"{key}_caption"), say("quality.one_seed") if is_single else ""]
    return Figure(title=say(key), family=say(key), caption=joined("sentence", sentences), views=views, **more)


def finding(pairs: Sequence[QualityContrast], about: Text = "") -> Text:
    """The largest clear difference, or that there is none, with how many there are; empty of no pair.

    Where nothing was tested, the largest difference with the reason. `about`: the questions, else the task is named.
    """
    if not pairs:
        return ""
    tested = [pair for pair in pairs if pair.found.is_tested]
    clear = [pair for pair in tested if pair.outcome in TOLD_APART]
    first = max(clear or tested or pairs, key=lambda pair: abs(pair.found.mean))
    counts = {name: sum(pair.outcome is outcome for pair in clear) for name, outcome in OUTCOMES.items()}
    fields: dict[str, Any] = {"arm": first.arm.name, "other": first.other.name, "verdict": verdict_of(first)}
    fields |= {"about": about or first.arm.first.task, "difference": difference_text(first), "pairs": first.found.pairs}
    fields["unit"] = say(f"quality.unit.{first.quantity.unit}")
    kind = "untested" if not tested else "told" if clear else "open"
    return say(f"quality.finding.{kind}", count=len(tested or pairs), **counts, **fields)


def runs_behind(*arms: QualityArm) -> list[str]:
    """The run keys of arms."""
    return [run.record.run_key for arm in arms for run in arm.ended]


def arm_table(
    key: str,
    rows: Iterable[R],
    columns: Iterable[Column[R]],
    arm_of: Callable[[Any], QualityArm] = lambda arm: arm,
    **more: Any,
) -> Table:
    """Lay out rows about an arm each; title and note stand under `key`. `more`: anything else of a table."""
    fields = {"family": say(key), "note": say(f"{key}_note"), **more}
    return table(say(key), rows, columns, facets_of=lambda row: variant_facet(arm_of(row)), **fields)


def variant_facet(arm: QualityArm) -> dict[str, Text]:
    """The variant of a row; what all rows of a table share would tell it from others of its family."""
    return {"variant": arm.facets.get("variant", "")}


def share_point(place: float, values: Sequence[float], hover: str, *, along: str = "y", **fields: object) -> Point:
    """The mean share of the seeds at a place of the other axis. `hover`: a key, with `fields` in it."""
    mean, sentence = fmean(values), say(hover, share=share_with_range(values), count=len(values), **fields)
    x, y = (place, mean) if along == "y" else (mean, place)
    return Point(x=x, y=y, ends=ends_of(share_interval(values)), hover=sentence)


EXPERIMENT: Column[QualityArm] = column("quality.experiment", lambda arm: arm.first.experiment_name)
NAME: Column[QualityArm] = column("column.variant", lambda arm: arm.name)
SEEDS: Column[QualityArm] = column("rl.seeds", seeds_text, kind=Kind.NUMBER)
SIZES: list[Column[QualityArm]] = [
    column("quality.bytes", cache_bytes, bytes_text),
    column("quality.parameters", lambda arm: arm.first.constant("model_parameter_count"), numbers.count),
]
VERDICT: Column[QualityContrast] = column("rl_efficiency.in_words", verdict_of)
TESTED: list[Column[QualityContrast]] = p_columns(lambda pair: pair.found)
OUTCOMES = {"higher": ArmOutcome.HIGHER, "lower": ArmOutcome.LOWER}


def share_columns(ours: str, theirs: str) -> list[Column[QualityContrast]]:
    """The columns of a comparison by a share; under the two titles the arms' own."""
    return [
        column("quality.difference", difference_text, kind=Kind.NUMBER),
        VERDICT,
        column("rl.seeds", lambda pair: pair.found.pairs, numbers.count),
        column(ours, lambda pair: share_with_range(pair.found.ours), kind=Kind.NUMBER),
        column(theirs, lambda pair: share_with_range(pair.found.theirs), kind=Kind.NUMBER),
        *TESTED,
    ]
