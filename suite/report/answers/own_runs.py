"""The person's own runs, ranked: attention variants by time, trained models by what they had learnt.

Each row is compared with the first by the rules that every section and the terminal use, so rows that may be level with
it are said to be too close to call. Times of a single launch are listed and not compared: the next may differ by more.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

from suite.records import numbers
from suite.records.case import commands_again
from suite.report.attention.groups import group_timings, group_titles, phase_place, representatives
from suite.report.attention.latency import RANGE
from suite.report.blocks import Kind, Ranking, Text, dotted, joined, say
from suite.report.evidence import contrast_verdict, difference
from suite.report.model.experiment import Arm, Experiment, grouped
from suite.report.model.formats import share_with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.outcome import outcome_metric
from suite.report.model.results import Results
from suite.report.quality.design import cache_bytes, is_by_loss, quality_experiments
from suite.report.rl import design, naming
from suite.report.table import Column, column, part_columns, table
from suite.report.timings import BACKEND, Timing, by_span, is_clearly_faster, timings
from suite.statistics.paired import ArmOutcome

MOST_NAMED = 5  # rows that a sentence names; the table has all


def rank_own_runs(results: Results) -> list[Ranking]:
    """Rank the runs of each workload: decoding first, then by most variants, geometry, and the longest context; then
    the arms of each RL experiment, and of each experiment of decoders not judged by loss."""
    by_group = group_timings(timing for timing in timings(results) if timing.is_measured)
    titles, rankings = group_titles(by_group), []
    for key, in_group in by_group.items():
        for (tokens, extras), case in grouped(in_group, lambda t: (t.tokens or 0, t.shared_extras)).items():
            layers = next(iter(by_span(case).values()))  # kernels where no layer was timed
            order = sorted(layers, key=lambda timing: (not timing.is_checked, timing.median_s))
            phase, context = order[0].axis("phase"), say("own.tokens", count=numbers.count(tokens)) if tokens else ""
            title = dotted(titles[key][0], context, titles[key][1], *extras, order[0].label if results.several else "")
            rankings.append(
                ((phase_place(phase), -len(order), order[0].axis("geometry"), -tokens), _rank_times(order, title))
            )
    ranked = [ranking for _, ranking in sorted(rankings, key=lambda ranked: ranked[0])]
    layout, named = design.layout(results), partial(naming.named, lead=ALGORITHM)
    for experiment in layout.split(layout.runs, design.tells_arms_apart, named):
        ranked += _rank_arms("rl", experiment)
    for decoders in quality_experiments(results):
        # A task without right answers is told by its loss, in its own section.
        if not any(map(is_by_loss, decoders.arms)):
            ranked += _rank_arms("quality", decoders)
    return ranked


def _rank_times(order: Sequence[Timing], title: Text) -> Ranking:
    """Rank the timings of one case, which come fastest first: the table, and a sentence on the first."""
    certainty = {timing: _certainty(timing, order[0]) for timing in order[1:]}
    columns: list[Column[Timing]] = [
        column("column.variant", lambda timing: timing.marked(timing.sized_variant)),
        BACKEND,
        column("column.median", lambda timing: timing.median_s, numbers.seconds),
        # An interval within a single launch says nothing of the next.
        *part_columns(lambda timing: timing.interval if timing.interval.launches > 1 else None, [RANGE]),
        column("table.over_least", lambda timing: timing.median_s / order[0].median_s, numbers.times),
        column("own.behind", lambda timing: say(f"own.behind.{certainty[timing]}") if timing in certainty else ""),
        column("own.cache", lambda timing: timing.amount("cache_bytes", "case"), numbers.bytes_iec),
    ]
    chosen = representatives(order)
    first, *slower = [timing for timing in order if timing in chosen or len(chosen) == 1]
    names = {
        t: say("own.named", name=t.marked(t.full_name), number=numbers.seconds(t.median_s)) for t in (first, *slower)
    }
    return Ranking(
        view="speed",
        finding=_finding(names, {timing: _certainty(timing, first) for timing in slower}, "fastest"),
        table=table(title, order, columns),
        commands=commands_again([timing.record.case for timing in order]),
    )


def _certainty(timing: Timing, faster: Timing) -> str:
    """How sure it is that a timing is slower than a faster one: a word of own.behind and own.finding."""
    if not timing.is_checked:
        return "unchecked"
    if is_clearly_faster(faster, timing):
        return "clear"
    return "one_launch" if 1 in (timing.interval.launches, faster.interval.launches) else "close"


def _rank_arms(view: str, experiment: Experiment[Any]) -> Iterator[Ranking]:
    """Rank arms by their mean over seeds, the best first; nothing where no run ended."""
    outcome = outcome_metric(view)
    assert outcome is not None
    scores = {arm: values for arm in experiment.arms if (values := arm.values(outcome.quantity(arm).value))}
    order = sorted(scores, key=lambda arm: fmean(scores[arm]), reverse=True)
    if not order:
        return

    behind = {pair.arm: pair for pair in outcome.contrasts(order[1:], order[0])}
    certainty = {ArmOutcome.LOWER: "clear", ArmOutcome.FEW: "few"}
    rivals = {arm: certainty.get(behind[arm].outcome, "close") if arm in behind else "few" for arm in order[1:]}
    names = {arm: say("own.named", name=arm.name, number=numbers.percent(fmean(scores[arm]))) for arm in order}
    columns: list[Column[Arm[Any]]] = [
        column("rl.arm", lambda arm: arm.name),
        column(f"own.score.{view}", lambda arm: share_with_range(scores[arm]), kind=Kind.NUMBER),
        column("rl.seeds", lambda arm: len(scores[arm]), numbers.count),
        *part_columns(behind.get, [column("own.difference", difference, kind=Kind.NUMBER)]),
        *part_columns(behind.get, [column("own.behind.best", contrast_verdict)]),
        *([column("own.cache_of_token", cache_bytes, numbers.bytes_iec)] if view == "quality" else []),
    ]
    yield Ranking(
        view=view,
        finding=_finding(names, rivals, "highest"),
        table=table(experiment.name, order, columns),
        commands=[command for arm in order for command in commands_again([run.record.case for run in arm.ended])],
    )


def _finding(names: Mapping[Any, Text], rivals: Mapping[Any, str], ahead: str) -> Text:
    """Say whether the first row is clearly ahead of all others, else which ones are too close; then name the rest.

    `rivals`: how sure it is that each other row lies behind the first. `ahead`: the word for a row ahead of all.
    """
    checked = {row: certainty for row, certainty in rivals.items() if certainty != "unchecked"} or rivals
    close = [row for row, certainty in checked.items() if certainty != "clear"]
    finding = checked[close[0]] if close else ahead if checked else "alone"
    first = [*names][:1] + close
    rest = [row for row in names if row not in first]

    def listing(rows: Sequence[Any]) -> Text:
        more = [say("own.more", count=len(rows) - MOST_NAMED)] if rows[MOST_NAMED:] else []
        return joined("list", [*(names[row] for row in rows[:MOST_NAMED]), *more])

    sentence = say(f"own.finding.{finding}", rows=listing(first))
    return joined("sentence", [sentence, say("own.others", rows=listing(rest)) if rest else ""])
