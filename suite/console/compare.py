"""Comparisons of two arms in a sentence: timings by the ratio of their medians, scores by pairs and the one rule.

Records are arms of one comparison where they agree in everything but the setting that is asked about, sizes of its own
and the seed, which pairs them. suite.statistics.paired says what may be said of scores, and intervals.ratio_of_medians
of timings; both may say that the arms are not told apart.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from suite.configuration.files import choices, read_look, workload_definition
from suite.console.summary import Summary
from suite.console.values import Compared
from suite.records import numbers
from suite.records.case import as_typed, telling_apart, value_under
from suite.records.plain_text import one_line
from suite.records.record import Record, Status
from suite.statistics.intervals import ratio_of_medians
from suite.statistics.paired import FEWEST_PAIRS, Comparison, Outcome, compare, judge_together

SEED, LABEL = "seed", "folder"
PLACES = ("geometry", "policy", "checkpoint", "task", "hardware", "device", LABEL)
"""Settings that a sentence says as `on deepseek-v2-lite`."""
TOLD_BY_VERB = ("phase",)
FASTER, SLOWER, LESS, MORE, EQUAL = "faster", "slower", "less", "more", "equal"


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A record with its summary, and the folder that it is of where there are several. Equal only to itself."""

    record: Record
    summary: Summary
    label: str = ""

    def value(self, name: str) -> str:
        """Return a setting, whether the case names it or not; empty where it says nothing."""
        if name == LABEL:
            return self.label
        case, settings = self.record.case, self.record.settings
        found = {**case.axes, **case.extras}.get(name)
        group, _, size = name.partition(".")
        # A size that makes the variant what it is, as MQA's single head, is none that somebody chose.
        fixed = value_under(settings, f"{group}.fixed")
        if found is None and not (isinstance(fixed, list) and size in fixed):
            found = value_under(settings, name)
        return as_typed(found) if isinstance(found, str | int | float | bool) else ""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Records that repeat each other."""

    name: str
    entries: Mapping[str, Entry]
    """The record of each seed; of several of one seed the last."""

    @property
    def compared(self) -> Compared:
        found = [entry.summary.compared for entry in self.entries.values()]
        assert found[-1] is not None
        return found[-1]

    def scores(self) -> dict[str, float]:
        """Return its scores by seed and by what each record pairs by itself."""
        return {
            f"{seed}/{pair}": score
            for seed, entry in self.entries.items()
            for pair, score in (entry.summary.compared.scores if entry.summary.compared else {}).items()
            if math.isfinite(score)
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
    low: float | None
    high: float | None
    difference: str
    """The estimate with its range."""
    outcome: str
    pairs: int | None
    sentence: str
    distance: float
    """The size of the difference, of ratios by their logarithm."""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        names = ("arm", "other", "where", "quantity", "estimate", "low", "high", "outcome", "pairs", "sentence")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Arms that agree in everything but what they are compared by."""

    arms: Sequence[Arm]
    where: str = ""
    size: tuple[float, ...] = field(default=())
    """Numbers among the settings that tell it from other groups: the group of the largest is told of."""


def headline(entries: Sequence[Entry], by: str | None = None, against: str | None = None) -> Verdict | None:
    """Return the most telling comparison of a sweep, at its largest size; None where nothing is to be compared.

    Of timings and projected numbers that is the least against the greatest, of scores the arm furthest from the first,
    told apart if any is. `against` names the arm that the others are compared with, of timings too.
    """
    usable = _usable(entries)
    by = by or factor_of(usable)
    groups = groups_by(usable, by) if by else []
    if not groups:
        return None
    _, group = max(enumerate(groups), key=lambda numbered: (numbered[1].size, len(numbered[1].arms), numbered[0]))
    if against is not None or group.arms[0].compared.scores:
        return furthest(verdicts_of(group, against))
    ranked = sorted(group.arms, key=lambda arm: _cost(arm.compared))
    return _told_of_costs(ranked[0], ranked[-1], group.where)


def factor_of(entries: Sequence[Entry]) -> str | None:
    """Return the setting whose values are arms: the first of its workload's that differs, else the first that does."""
    if len(entries) < 2:
        return None
    compared = entries[0].summary.compared
    differing = [name for name in telling_apart([entry.record.case for entry in entries]) if name != SEED]
    for name in compared.factors if compared else ():
        if any(_is_of(name, other) for other in differing):
            return name
    return next((name for name in differing if name != "workload"), None)


def groups_by(entries: Sequence[Entry], by: str) -> list[Group]:
    """Group records into arms that differ in one setting and in sizes of its own.

    A setting that applies to some arms only is a size of theirs. One that an arm brings along, as an algorithm its
    kl_coef, tells no groups apart, unless it differs within an arm.
    """
    usable = _usable(entries)
    names = dict.fromkeys(name for entry in usable for name in (*entry.record.case.axes, *entry.record.case.extras))
    names = dict.fromkeys(["workload", LABEL, *names, by])
    values = {name: [_value(entry, name) for entry in usable] for name in names}
    differing = [name for name, found in values.items() if len(set(found)) > 1]
    varying = {name for name in differing if _varies_within(values.get(by, []), values[name])}
    follows = {name for entry in usable if entry.summary.compared for name in entry.summary.compared.follows}
    bound = {name for name in differing if name in _conditional(usable) and _is_bound(values[by], values[name])}
    sizes = [name for name in differing if name != by and (_is_of(by, name) or name in (bound & varying) - follows)]
    own = [*(name for name in differing if name == by), *sizes]
    rest = [name for name in differing if name not in {SEED, *own, *bound, *(follows - varying)}]
    found: dict[tuple[str, ...], dict[tuple[str, ...], dict[str, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for entry in usable:
        key, arm = (tuple(_value(entry, name) for name in names) for names in (rest, own))
        found[key][arm][_value(entry, SEED)] = entry
    groups = []
    for key, of_arms in found.items():
        arms = [
            (_place(by, dict(zip(own, arm, strict=True))), Arm(name=_arm_name(by, own, arm), entries=of_seeds))
            for arm, of_seeds in of_arms.items()
        ]
        if len(arms) > 1:
            ordered = [arm for _, arm in sorted(arms, key=lambda one: one[0])]
            said = dict(zip(rest, key, strict=True))
            groups.append(Group(arms=ordered, where=_where(said, ordered[0], by), size=_size(said)))
    return groups


def verdicts_of(group: Group, against: str | None = None) -> list[Verdict]:
    """Compare each arm with the first, or with the one that is named; scores with Holm's correction over all."""
    other = next((arm for arm in group.arms if against is None or _is_called(arm, against)), None)
    if other is None:
        return []
    arms = [arm for arm in group.arms if arm is not other]
    if not other.compared.scores:
        return [_told_of_costs(arm, other, group.where) for arm in arms]
    found = [(arm, comparison) for arm in arms if (comparison := _paired(arm, other))]
    together = judge_together([comparison for _, comparison in found])
    return [_told_of_scores(arm, other, one, group.where) for (arm, _), one in zip(found, together, strict=True)]


def furthest(verdicts: Sequence[Verdict]) -> Verdict | None:
    """Return the comparison with the largest difference, of those told apart if there are any."""
    apart = [one for one in verdicts if one.outcome in (Outcome.HIGHER, Outcome.LOWER, FASTER, SLOWER, LESS, MORE)]
    return max(apart or verdicts, key=lambda one: one.distance, default=None)


def between_two(first: Entry, second: Entry) -> Verdict | None:
    """Compare two records, whatever they differ in; None where they have no number of one kind."""
    ours, theirs = first.summary.compared, second.summary.compared
    if ours is None or theirs is None or (ours.unit, ours.says) != (theirs.unit, theirs.says):
        return None
    names = [name for name in telling_apart([first.record.case, second.record.case]) if name != SEED]
    pairs = [[(name, entry.value(name) or "null") for name in names] for entry in (first, second)]
    told = [" ".join(value if len(names) == 1 else f"{name}={value}" for name, value in said) for said in pairs]
    labels = told if names and told[0] != told[1] else [first.label, second.label]
    labels = labels if labels[0] != labels[1] else ["the first", "the second"]
    # A single draw each: they are a pair where both are of one seed.
    arm, other = (
        Arm(name=one_line(name), entries={entry.value(SEED): entry})
        for name, entry in zip(labels, (first, second), strict=True)
    )
    if not ours.scores:
        return _told_of_costs(arm, other, "") if _has_cost(ours) and _has_cost(theirs) else None
    comparison = _paired(arm, other)
    return None if comparison is None else _told_of_scores(arm, other, comparison, "")


def between_folders(first: Sequence[Entry], second: Sequence[Entry]) -> list[Verdict]:
    """Compare the cases that two folders share, the first's with the second's, as arms that are paired by seed.

    Raises ValueError where they share none.
    """
    labels = [entries[0].label if entries else "" for entries in (first, second)]
    verdicts = []
    for workload in dict.fromkeys(entry.record.case.workload for entry in first):
        own = [entry for entry in (*first, *second) if entry.record.case.workload == workload]
        for group in groups_by(own, LABEL):
            verdicts += verdicts_of(group, labels[1])
    if not verdicts:
        raise ValueError("compare needs folders with a case in common, of the same settings; got two without one")
    return verdicts


def by_setting(entries: Sequence[Entry], by: str, against: str | None) -> list[Verdict]:
    """Compare the arms of a setting, each with the first or the named one. Raises ValueError where it has no arms."""
    verdicts, names, arms = [], dict[str, None](), dict[str, None]()
    for workload in dict.fromkeys(entry.record.case.workload for entry in entries):
        own = [entry for entry in entries if entry.record.case.workload == workload]
        names |= dict.fromkeys(telling_apart([entry.record.case for entry in own]))
        for group in groups_by(own, by):
            arms |= dict.fromkeys(arm.name for arm in group.arms)
            verdicts += verdicts_of(group, against)
    if not arms:
        choices = ", ".join(sorted(names.keys() - {SEED})) or "none: they are alike"
        raise ValueError(f"by must be a setting in which runs that are else alike differ, of {choices}; got {by!r}")
    if not verdicts:
        raise ValueError(f"against must be one of {', '.join(arms)}; got {against!r}")
    return verdicts


def told(verdicts: Sequence[Verdict]) -> str:
    """Say the only comparison, or how many ended how and which showed the largest difference."""
    largest = furthest(verdicts)
    if largest is None or len(verdicts) == 1:
        return largest.sentence if largest else "Nothing was compared"
    counts = Counter(one.outcome for one in verdicts)
    ended = ", ".join(f"{count} {IN_A_COUNT.get(outcome, outcome)}" for outcome, count in counts.most_common())
    return f"{len(verdicts)} comparisons ({ended}); the largest difference: {largest.sentence}"


IN_A_COUNT: Mapping[str, str] = {
    Outcome.OPEN: "not told apart",
    Outcome.FEW: "with too few pairs to say",
    Outcome.CEILING: "at full marks",
    Outcome.FLOOR: "no better than guessing",
}


def _usable(entries: Iterable[Entry]) -> list[Entry]:
    """Return those that have a number to be compared by, of the workload that has most of them."""
    has = [one for one in entries if one.record.status is Status.OK and one.summary.compared is not None]
    counts = Counter(entry.record.case.workload for entry in has)
    return [entry for entry in has if entry.record.case.workload == counts.most_common(1)[0][0]]


def _value(entry: Entry, name: str) -> str:
    return entry.record.case.workload if name == "workload" else entry.value(name)


def _is_of(by: str, name: str) -> bool:
    return name == by or name.startswith(f"{by}.")


def _conditional(entries: Sequence[Entry]) -> set[str]:
    """Return the settings of a workload that apply under others only."""
    definition = workload_definition(entries[0].record.case.workload) if entries else {}
    return {*definition.get("only", {}), *definition.get("named_only", {})}


def _is_bound(arms: Sequence[str], values: Sequence[str]) -> bool:
    """Return whether a setting applies to all or to none of the records of each arm, and not to every arm."""
    found: dict[str, set[bool]] = defaultdict(set)
    for arm, value in zip(arms, values, strict=True):
        found[arm].add(value == "")
    return all(len(own) == 1 for own in found.values()) and len(set.union(*found.values())) > 1


def _varies_within(arms: Sequence[str], values: Sequence[str]) -> bool:
    """Return whether a setting has several values within one arm."""
    found: dict[str, set[str]] = defaultdict(set)
    for arm, value in zip(arms, values, strict=True):
        found[arm].add(value)
    return any(len(own - {""}) > 1 for own in found.values())


def _place(by: str, said: Mapping[str, str]) -> tuple[int, ...]:
    """Sort arms as their options' files place them; others stay in the order in which they came."""
    name = said.get(by, "")
    look = read_look(by, name) if name in choices(by) else None
    return (look["place"] if look else 1 << 16,)


def _arm_name(by: str, names: Sequence[str], values: Sequence[str]) -> str:
    said = dict(zip(names, values, strict=True))
    own = said.pop(by, "")
    sizes = ", ".join(f"{name.removeprefix(f'{by}.')}={value}" for name, value in said.items() if value)
    is_name = by in PLACES or not own.replace(".", "").isdecimal()
    head = own if is_name and own else f"{by}={own or 'null'}" if by in names else by
    return one_line(f"{head} ({sizes})" if sizes else head)


def _is_called(arm: Arm, name: str) -> bool:
    return name in (arm.name, arm.name.partition(" (")[0], arm.name.partition(" (")[0].rpartition("=")[2])


def _where(said: Mapping[str, str], arm: Arm, by: str) -> str:
    """Write the settings of a group behind a sentence, and the context of timed cases even where it is one."""
    compared = arm.compared
    entry = next(iter(arm.entries.values()))
    tokens = said.get("seq_len") or (entry.value("seq_len") if not compared.scores and compared.unit != "bytes" else "")
    places = [f"on {value}" for name, value in said.items() if name in PLACES and value]
    sizes = [f"at {numbers.count(float(tokens))} tokens"] if tokens.isdecimal() and by != "seq_len" else []
    no_others = (*PLACES, *TOLD_BY_VERB, "seq_len", "workload")
    others = ", ".join(f"{name}={value}" for name, value in said.items() if value and name not in no_others)
    return one_line("".join(f" {part}" for part in (*places, *sizes, *([f"with {others}"] if others else []))))


def _size(said: Mapping[str, str]) -> tuple[float, ...]:
    """Return its numbers, the context before any other."""
    in_order = sorted(said, key=lambda name: name != "seq_len")
    return tuple(_number(said[name]) for name in in_order)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _has_cost(compared: Compared) -> bool:
    return compared.interval is not None or compared.exact is not None


def _cost(compared: Compared) -> float:
    if compared.interval is not None:
        return compared.interval.median
    assert compared.exact is not None
    return compared.exact


def _told_of_costs(arm: Arm, other: Arm, where: str) -> Verdict:
    ours, theirs = arm.compared, other.compared
    if ours.interval is None or theirs.interval is None:
        return _told_of_exact(arm, other, where)
    found = ratio_of_medians(theirs.interval, ours.interval)
    many = f"{numbers.times(found.low).removesuffix('×')}–{numbers.times(found.high).removesuffix('×')}"
    times, is_single = numbers.times(found.ratio), 1 in (ours.interval.count, theirs.interval.count)
    told = f"{arm.name} {ours.says} {times} as fast as {other.name}{where} ({many})"
    apart = f"{arm.name} and {other.name} are not told apart in speed{where}"
    if is_single:
        sentence = f"{apart}: one of them was timed once"
    elif not found.is_told_apart:
        sentence = f"{apart} ({times}, {many})"
    else:
        sentence = told
    outcome = (FASTER if found.ratio > 1 else SLOWER) if found.is_told_apart else str(Outcome.OPEN)
    return Verdict(
        arm=arm.name,
        other=other.name,
        where=where.strip(),
        quantity="speed",
        ours=numbers.seconds(ours.interval.median),
        theirs=numbers.seconds(theirs.interval.median),
        estimate=found.ratio,
        low=None if is_single else found.low,
        high=None if is_single else found.high,
        difference=times if is_single else f"{times} ({many})",
        outcome=outcome,
        pairs=None,
        sentence=sentence,
        distance=_distance(found.ratio),
    )


def _distance(ratio: float) -> float:
    return abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf


def _told_of_exact(arm: Arm, other: Arm, where: str) -> Verdict:
    """Compare numbers that are projected, or one of them: they have no spread."""
    ours, theirs = _cost(arm.compared), _cost(other.compared)
    is_size = arm.compared.unit == "bytes"
    ratio = ours / theirs if is_size else theirs / ours
    texts = [one.exact_text or numbers.seconds(_cost(one)) for one in (arm.compared, other.compared)]
    if is_size:
        sentence = f"{arm.name} {arm.compared.says} {texts[0]} at its peak, {other.name} {texts[1]}{where}, projected"
    else:
        sentence = f"{arm.name} {arm.compared.says} {numbers.times(ratio)} as fast as {other.name}{where}, projected"
    names = (LESS, MORE) if is_size else (SLOWER, FASTER)
    return Verdict(
        arm=arm.name,
        other=other.name,
        where=where.strip(),
        quantity="peak" if is_size else "projected speed",
        ours=texts[0],
        theirs=texts[1],
        estimate=ratio,
        low=None,
        high=None,
        difference=numbers.times(ratio),
        outcome=EQUAL if ratio == 1 else names[ratio > 1],
        pairs=None,
        sentence=sentence,
        distance=_distance(ratio),
    )


def _paired(arm: Arm, other: Arm) -> Comparison | None:
    return compare(arm.scores(), other.scores(), bounds=arm.compared.bounds, margin=arm.compared.margin)


def _told_of_scores(arm: Arm, other: Arm, found: Comparison, where: str) -> Verdict:
    how, says = WRITTEN[arm.compared.unit], arm.compared.says
    pairs = f"{found.pairs} {arm.compared.pair.replace(' ', 's ', 1) if ' ' in arm.compared.pair else 'seeds'}"
    pairs = f"1 {arm.compared.pair}" if found.pairs == 1 else pairs
    interval, texts = found.interval, [how.value(fmean(values)) for values in (found.ours, found.theirs)]
    ends = "" if interval is None else f"{how.number(interval.low)} to {how.number(interval.high)}"
    both = f"{arm.name} and {other.name}"
    size = how.number(abs(found.mean)).lstrip("+")
    sentences = {
        Outcome.HIGHER: f"The {says} of {arm.name} is {size} {how.unit} above that of {other.name}{where} "
        f"({ends}, {pairs})",
        Outcome.LOWER: f"The {says} of {arm.name} is {size} {how.unit} below that of {other.name}{where} "
        f"({ends}, {pairs})",
        Outcome.ALIKE: f"{both} differ in {says} by less than {how.number(found.margin or 0).lstrip('+')} {how.unit}"
        f"{where} ({ends}, {pairs})",
        Outcome.OPEN: f"{both} are not told apart in {says}{where} by {pairs} "
        f"({how.number(found.mean)} {how.unit}, {ends})",
        Outcome.FEW: f"{both} are not told apart in {says}{where} with {pairs}: {FEWEST_PAIRS} are the fewest "
        f"({texts[0]} and {texts[1]})",
        Outcome.CEILING: f"{both} have nearly full marks{where}, so that the task tells nothing apart",
        Outcome.FLOOR: f"{both} are no better than guessing{where}, so that the task tells nothing apart",
    }
    is_shown = interval is not None and found.pairs >= FEWEST_PAIRS
    return Verdict(
        arm=arm.name,
        other=other.name,
        where=where.strip(),
        quantity=says,
        ours=texts[0],
        theirs=texts[1],
        estimate=found.mean,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        difference=f"{how.number(found.mean)} {how.unit}{f' ({ends})' if is_shown else ''}",
        outcome=str(found.outcome),
        pairs=found.pairs,
        sentence=sentences[found.outcome],
        distance=abs(found.mean),
    )


@dataclass(frozen=True, kw_only=True)
class _Unit:
    """A way to write scores and their differences."""

    unit: str
    value: Callable[[float], str]
    number: Callable[[float], str]
    """A difference, with its sign."""


WRITTEN = {
    "points": _Unit(unit="points", value=numbers.percent, number=lambda value: f"{100 * value:+.1f}"),
    "nats": _Unit(unit="nats", value=lambda value: f"{value:.3f}", number=lambda value: f"{value:+.3f}"),
}
