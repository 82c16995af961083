"""Comparisons in words: a sentence, the cells of a table, and what a program reads."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from suite.console.values import Cost
from suite.records import numbers
from suite.records.plain_text import one_line
from suite.report.blocks import Text
from suite.report.model.experiment import Contrast
from suite.report.model.run import LABEL
from suite.statistics.intervals import ratio_of_medians
from suite.statistics.paired import FEWEST_PAIRS, TOLD_APART, Outcome

PLACES = ("geometry", "policy", "checkpoint", "task", "hardware", "device", LABEL)
"""Settings that a sentence says as `on deepseek-v2-lite`."""
UNSAID = ("phase", "seq_len")
"""Settings that a sentence says in words of their own."""
FASTER, SLOWER, LESS, MORE, EQUAL = "faster", "slower", "less", "more", "equal"
IN_A_COUNT: Mapping[str, str] = {
    Outcome.OPEN: "no clear difference",
    Outcome.FEW: "with too few pairs to say",
    Outcome.CEILING: "at full marks",
    Outcome.FLOOR: "no better than guessing",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A comparison of two arms, and what may be said of them."""

    arm: str
    other: str
    where: str
    """The settings that both share, in words that end a clause; empty where that says nothing."""
    quantity: str
    ours: str
    theirs: str
    """The arms' numbers, as a table shows them."""
    estimate: float
    """A ratio of speeds or of projected numbers, or a difference of scores."""
    low: float | None = None
    high: float | None = None
    difference: str
    """The estimate with its range."""
    outcome: str
    pairs: int | None = None
    sentence: str

    @property
    def distance(self) -> float:
        """Return the size of the difference, of ratios by their logarithm."""
        if self.pairs is not None:
            return abs(self.estimate)
        return abs(math.log(self.estimate)) if 0 < self.estimate < math.inf else math.inf

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {name: value for name, value in asdict(self).items() if name not in ("ours", "theirs", "difference")}


def furthest(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the comparison with the largest difference, of those told apart if there are any."""
    apart = [verdict for verdict in verdicts if verdict.outcome in (*TOLD_APART, FASTER, SLOWER, LESS, MORE)]
    return max(apart or verdicts, key=lambda verdict: verdict.distance, default=None)


def told(verdicts: Sequence[Verdict]) -> str:
    """Say the only comparison, or how many ended how and which showed the largest difference."""
    largest = furthest(verdicts)
    if largest is None or len(verdicts) == 1:
        return largest.sentence if largest else "Nothing was compared"
    counts = Counter(verdict.outcome for verdict in verdicts)
    ended = ", ".join(f"{count} {IN_A_COUNT.get(outcome, outcome)}" for outcome, count in counts.most_common())
    return f"{len(verdicts)} comparisons ({ended}); the largest difference: {largest.sentence}"


def where(said: Mapping[str, str]) -> str:
    """Write settings behind a sentence: places, the context, and all others by their names."""
    tokens = said.get("seq_len", "")
    places = [f"on {value}" for name, value in said.items() if name in PLACES and value]
    sizes = [f"at {numbers.count(float(tokens))} tokens"] if tokens.isdecimal() else []
    others = ", ".join(f"{name}={value}" for name, value in said.items() if value and name not in (*PLACES, *UNSAID))
    return one_line("".join(f" {part}" for part in (*places, *sizes, *([f"with {others}"] if others else []))))


def told_of_costs(first: tuple[Text, Cost], second: tuple[Text, Cost], where: str) -> Verdict:
    """Compare two timings by the ratio of their medians, and projected numbers, which have no spread, by their own."""
    (arm, ours), (other, theirs) = ((one_line(str(name)), cost) for name, cost in (first, second))
    ratio = ours.number / theirs.number if ours.is_size else theirs.number / ours.number
    times, (below, above) = numbers.times(ratio), (LESS, MORE) if ours.is_size else (SLOWER, FASTER)
    outcome = EQUAL if ratio == 1 else above if ratio > 1 else below
    low, high, range_text = None, None, ""
    sentence = f"{arm} {ours.says} {times} as fast as {other}{where}"
    if ours.is_size:
        sentence = f"{arm} {ours.says} {ours.text} at its peak, {other} {theirs.text}{where}, projected"
    elif ours.interval is None or theirs.interval is None:
        sentence += ", projected"
    else:
        found = ratio_of_medians(theirs.interval, ours.interval)
        is_single = 1 in (ours.interval.count, theirs.interval.count)
        if not is_single:
            low, high = found.low, found.high
            range_text = "–".join(numbers.times(end).removesuffix("×") for end in (low, high))
        if found.is_told_apart:
            sentence += f" ({range_text})"
        else:
            outcome, sentence = str(Outcome.OPEN), f"No clear difference in speed between {arm} and {other}{where}"
            sentence += ": one of them was timed once" if is_single else f" ({times}, {range_text})"
    quantity = "peak" if ours.is_size else "speed" if ours.interval and theirs.interval else "projected speed"
    return Verdict(
        arm=arm,
        other=other,
        where=where.strip(),
        quantity=quantity,
        ours=ours.text,
        theirs=theirs.text,
        estimate=ratio,
        low=low,
        high=high,
        difference=f"{times} ({range_text})" if range_text else times,
        outcome=outcome,
        sentence=sentence,
    )


def told_of_scores(pair: Contrast[Any], where: str) -> Verdict:
    """Compare two arms by their scores, in the words of the one rule's outcome."""
    found, quantity = pair.found, pair.quantity
    arm, other = (one_line(str(side.name)) for side in (pair.arm, pair.other))
    says, behind = quantity.name, f" {quantity.unit}" if quantity.unit else ""
    kind, _, of = quantity.pair.partition(" ")
    pairs = f"{found.pairs} {kind}{'' if found.pairs == 1 else 's'}{of and f' {of}'}"
    interval, texts = found.interval, [quantity.text(fmean(values)) for values in (found.ours, found.theirs)]
    ends = "" if interval is None else f"{quantity.difference(interval.low)} to {quantity.difference(interval.high)}"
    difference, size = (f"{quantity.difference(value)}{behind}" for value in (found.mean, abs(found.mean)))
    margin = f"{quantity.difference(found.margin or 0).lstrip('+')}{behind}"
    both = f"{arm} and {other}"
    ours, theirs = f"The {says} of {arm} is {size.lstrip('+')}", f"that of {other}{where} ({ends}, {pairs})"
    floor = quantity.text(found.bounds[0] or 0.0)
    sentences = {
        Outcome.HIGHER: f"{ours} above {theirs}",
        Outcome.LOWER: f"{ours} below {theirs}",
        Outcome.ALIKE: f"{both} differ in {says} by less than {margin}{where} ({ends}, {pairs})",
        Outcome.OPEN: f"No clear difference in {says} between {both}{where}: {difference} ({ends}, {pairs})",
        Outcome.FEW: f"{says[:1].upper()}{says[1:]}{where}: {arm} {texts[0]}, {other} {texts[1]} ({pairs}; at least "
        f"{FEWEST_PAIRS} are needed to compare them)",
        Outcome.CEILING: f"{both} have nearly full marks{where}, so that the task tells nothing apart",
        Outcome.FLOOR: f"{both} are no better than guessing ({floor}){where}, so that the task tells nothing apart",
    }
    return Verdict(
        arm=arm,
        other=other,
        where=where.strip(),
        quantity=says,
        ours=texts[0],
        theirs=texts[1],
        estimate=found.mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        difference=f"{difference} ({ends})" if found.pairs >= FEWEST_PAIRS else difference,
        outcome=str(found.outcome),
        pairs=found.pairs,
        sentence=sentences[found.outcome],
    )
