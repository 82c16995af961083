"""One answer from many comparisons, by a design that is fixed before anything is looked at.

conf/claims.yaml says of a claim over which units its estimate is a mean (`over`, such as tasks) and which settings are
meant where arms were run at several (`at`). In each unit one comparison counts: the one at those settings, else the one
with the fewest settings named. Other settings are shown beside the estimate and decide nothing.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from suite.records.machines import plain_name
from suite.report.answers.claims import (
    BOUNDED,
    CONTRADICTED,
    DEPENDS,
    EQUAL,
    LEFT_OPEN,
    SUPPORTED,
    UNTESTED,
    Verdict,
    trial_design,
)
from suite.report.answers.leads import lead_of_pooled
from suite.report.blocks import Text, dotted, joined, say, say_or
from suite.report.model.experiment import Arm, Contrast, Experiment, grouped
from suite.report.model.formats import nats, points, with_range
from suite.report.model.run import LABEL, machine_name, number_of
from suite.statistics.paired import Comparison, Outcome, compare
from suite.statistics.pooled import Conclusion, Pooled, differing_rows
from suite.statistics.scores import Estimate

OTHER = "other "
"""Begins the name of a setting that only the reference arm has, or has at another value."""
ABOUT = "about"
"""Which questions a comparison is of, where an experiment has several kinds."""
MOST_CHANGES = 2
"""Settings that the line on when an answer changes names."""
UNIT_NAMES = ("task", "policy")
"""Settings whose values name a unit, where nothing tells it from others."""
Level = tuple[tuple[str, str], ...]
"""Settings that go together, and their values."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A comparison of two arms, or of one arm with its own beginning, at one choice of settings."""

    experiment: Experiment[Any]
    name: Text
    """What is subtracted from what: `GRPO minus PPO`."""
    comparison: Comparison
    write: Callable[[float], str]
    settings: Mapping[str, str]
    arms: Sequence[Arm[Any]]

    @property
    def machine(self) -> str:
        return machine_of(self.arms[0])

    @property
    def extras(self) -> int:
        """Settings that the arms' cases name besides the axes: the fewer, the nearer to the defaults."""
        return sum(len(arm.first.record.case.extras) for arm in self.arms)

    def value(self, name: str) -> str:
        """A setting; empty where it says nothing."""
        return _alike(self.settings.get(name, ""))

    def values(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(self.value, names))


def trial_of_arms(contrast: Contrast[Any], experiment: Experiment[Any], names: Sequence[Text] = ()) -> Trial:
    """A trial of two arms. `names`: what a sentence calls them, where that is not their own names."""
    arms = contrast.arm, contrast.other
    ours, theirs = map(settings_of, arms)
    name, other_name = names or [arm.name for arm in arms]
    others = {OTHER + name: value for name, value in theirs.items() if ours.get(name) != value}
    return Trial(
        experiment=experiment,
        name=say("claim.minus", arm=name, other=other_name),
        comparison=replace(contrast.found, adjusted_p=None),
        write=contrast.quantity.difference,
        settings={ABOUT: contrast.about, **ours, **others},
        arms=arms,
    )


def trial_of_change(
    arm: Arm[Any], experiment: Experiment[Any], change: Comparison, write: Callable[[float], str], name: Text
) -> Trial:
    """A trial of what changed in one arm, by seed."""
    change = replace(change, adjusted_p=None)
    return Trial(
        experiment=experiment, name=name, comparison=change, write=write, settings=settings_of(arm), arms=[arm]
    )


def machine_of(arm: Arm[Any]) -> str:
    """The name of the machine that an arm's first run ran on."""
    return plain_name(machine_name(arm.first.record))


def settings_of(arm: Arm[Any]) -> dict[str, str]:
    return dict((*arm.setting, *arm.key))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What another value of a setting, or of settings that always go together, adds to the estimate."""

    settings: Mapping[str, str]
    pooled: Pooled
    write: Callable[[float], str]
    is_clear: bool = False

    def told(self) -> Text:
        named = [
            say("claim.setting", name=setting_name(name), value=value or say("claim.default"))
            for name, value in self.settings.items()
        ]
        value = written(self.pooled.mean, self.pooled.interval, self.write)
        return say("claim.change", settings=joined("list", named), value=value)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """The estimate of a claim, and what other settings add to it."""

    over: Sequence[str]
    primary: Sequence[Trial]
    """One trial a unit."""
    changes: Sequence[Change]

    @functools.cached_property
    def pooled(self) -> Pooled:
        return Pooled(tuple(trial.comparison for trial in self.primary))

    @property
    def telling(self) -> list[Trial]:
        return [trial for trial in self.primary if trial.comparison.is_tested]

    @property
    def first(self) -> Trial:
        return next(iter(self.telling), self.primary[0])

    @property
    def unit_settings(self) -> list[str]:
        """The settings that tell units apart."""
        return [name for name in self.over if len({trial.value(name) for trial in self.primary}) > 1]

    @property
    def units(self) -> Text:
        """How many units can tell, with the word for them."""
        noun = "tasks" if self.unit_settings == ["task"] else "cases"
        return say(f"claim.units.{noun}", count=len(self.telling))

    def unit_name(self, trial: Trial) -> Text:
        names = self.unit_settings or UNIT_NAMES
        values = {name: trial.value(name) for name in names}
        asked = {ABOUT: say_or(f"quality_tiers.asked.{values[ABOUT]}", values[ABOUT])} if ABOUT in values else {}
        return dotted(*{**values, **asked}.values()) or trial.experiment.title


def answer_of(claim_id: str, trials: Sequence[Trial]) -> Answer | None:
    """The answer that trials give by the claim's design; None for no trial."""
    if not trials:
        return None
    design = trial_design(claim_id)
    over, at = (
        design.get("over", UNIT_NAMES),
        {name: _alike("" if value is None else str(value).lower()) for name, value in design.get("at", {}).items()},
    )
    primary = [_plainest(alike, at) for alike in grouped(trials, lambda trial: trial.values(over)).values()]
    return Answer(over=over, primary=primary, changes=_changes(trials, over, at))


def _plainest(trials: Sequence[Trial], at: Mapping[str, str]) -> Trial:
    """The trial that a design means; chosen by settings and numbers of pairs, never by outcomes."""

    def place(trial: Trial) -> tuple[object, ...]:
        matches = sum(trial.value(name) == value for name, value in at.items())
        return -matches, trial.extras, -trial.comparison.pairs, sorted(trial.settings.items())

    return min(trials, key=place)


def _changes(trials: Sequence[Trial], over: Sequence[str], at: Mapping[str, str]) -> list[Change]:
    """What each other value of a setting adds with all else equal, the largest first.

    Averaged over all pairs of trials that differ in it alone, within a unit and an experiment. Settings that
    never differ without each other are one, and all of them are named.
    """
    pairs: dict[Level, dict[object, list[tuple[Trial, Trial]]]] = {}
    for place, of_place in grouped(trials, lambda trial: (trial.values(over), trial.experiment.key)).items():
        usual = _plainest(of_place, at)
        for names in _factors(trials, over):
            partners = [trial for trial in of_place if trial.values(names) == usual.values(names)]
            for trial in of_place:
                values = trial.values(names)
                if (
                    values != usual.values(names)
                    and any(values)
                    and (partner := _partner(trial, partners, usual, names))
                ):
                    level = tuple(zip(names, values, strict=True))
                    pairs.setdefault(level, {}).setdefault(place, []).append((trial, partner))
    changes = []
    for level, by_place in pairs.items():
        pooled = Pooled(tuple(filter(None, map(_mean_change, by_place.values()))))
        if pooled.telling:
            changes.append(Change(settings=dict(level), pooled=pooled, write=trials[0].write))
    clear = differing_rows([change.pooled for change in changes])
    judged = [replace(change, is_clear=is_clear) for change, is_clear in zip(changes, clear, strict=True)]
    return sorted(judged, key=lambda change: -abs(change.pooled.mean))


def _factors(trials: Sequence[Trial], over: Sequence[str]) -> list[tuple[str, ...]]:
    """Settings that differ between trials; those that sort all trials into the same groups stand together."""
    names = {name for trial in trials for name in trial.settings} - {LABEL, *over}

    def groups(name: str) -> tuple[int, ...]:
        values = [trial.value(name) for trial in trials]
        return tuple(map(values.index, values))

    by_groups = grouped(sorted(names), groups)
    return [tuple(alike) for grouping, alike in by_groups.items() if any(grouping)]


def _partner(trial: Trial, partners: Sequence[Trial], usual: Trial, names: Collection[str]) -> Trial | None:
    """The trial with which another agrees in all but these settings; None where there is none.

    A setting may not apply to one of the two, as a weight to a format that is a gate: then the usual value is taken.
    """

    def differing(partner: Trial) -> list[str]:
        others = {name for one in (trial, partner) for name in one.settings} - {LABEL, *names}
        return [name for name in others if trial.value(name) != partner.value(name)]

    for partner in partners:
        if not differing(partner):
            return partner
    for partner in partners:
        if all(trial.value(name) == "" and partner.value(name) == usual.value(name) for name in differing(partner)):
            return partner
    return None


def _mean_change(pairs: Sequence[tuple[Trial, Trial]]) -> Comparison | None:
    """Compare the differences of some trials with those of their partners, each the mean over all pairs, by seed."""
    means = []
    for side in zip(*pairs, strict=True):
        by_seed = [dict(zip(t.comparison.names, t.comparison.differences, strict=True)) for t in side]
        seeds = set.intersection(*map(set, by_seed))
        means.append({seed: fmean(differences[seed] for differences in by_seed) for seed in sorted(seeds)})
    return compare(*means)


def verdict_of(
    answer: Answer,
    measure: str,
    *,
    supports: Outcome = Outcome.HIGHER,
    facts: Sequence[Text] = (),
    beside: Mapping[str, Answer | None] | None = None,
) -> Verdict:
    """The verdict of an answer.

    `measure`: what was compared, a key of claim.about. `supports`: the direction that bears the claim out. `facts`:
    sentences before the numbers. `beside`: answers on other measures, which are told and decide nothing.
    """
    conclusion, sides = answer.pooled.conclusion, [answer.telling[place] for place in answer.pooled.contradiction or ()]
    # None of the settings in which two units differ that contradict each other can be ruled out.
    dividing = [name for name in answer.over if len({side.value(name) for side in sides}) > 1]
    first = answer.first
    clear = [change.told() for change in answer.changes if change.is_clear]
    # The lead links to the task that differs most, on which its section opens; the tiers have a section of their own.
    lead = lead_of_pooled(answer.pooled, first.write, _about(answer, measure))
    trial = max(answer.telling or answer.primary, key=lambda trial: abs(trial.comparison.mean))
    task = trial.experiment.value("task")
    return Verdict(
        outcome=outcome_of(conclusion, supports),
        evidence=[
            *facts,
            *_told_units(answer, measure),
            *(_told_beside(about, other) for about, other in (beside or {}).items() if other is not None),
            *([say("claim.changes", clear=len(clear), total=len(answer.changes)), *clear] if answer.changes else []),
        ],
        on=joined("list", map(setting_name, dividing)),
        lead=lead and replace(lead, link={"task": task} if task and task != "tiers" else {}),
        flips=_when_it_changes(answer),
        machine=first.machine,
        suffices=conclusion is not Conclusion.FEW,
    )


def outcome_of(conclusion: Conclusion, supports: Outcome) -> str:
    """The verdict on a claim: contradicted only by a clear difference the other way."""
    is_higher = supports is Outcome.HIGHER
    return {
        Conclusion.HIGHER: SUPPORTED if is_higher else CONTRADICTED,
        Conclusion.LOWER: CONTRADICTED if is_higher else SUPPORTED,
        Conclusion.EQUAL: EQUAL,
        Conclusion.NOT_HIGHER: BOUNDED if is_higher else LEFT_OPEN,
        Conclusion.NOT_LOWER: LEFT_OPEN if is_higher else BOUNDED,
        Conclusion.OPEN: LEFT_OPEN,
        Conclusion.UNITS_DIFFER: DEPENDS,
        Conclusion.FEW: UNTESTED,
    }[conclusion]


def _about(answer: Answer, measure: str) -> Text:
    names = dict.fromkeys(trial.name for trial in answer.telling or answer.primary[:1])
    fields = {"name": joined("list", names), "measure": say(f"claim.about.{measure}")}
    if len(answer.telling) > 1:
        return say("answer.about.mean", units=answer.units, **fields)
    return say("answer.about", where=answer.unit_name(answer.first), **fields)


def _told_units(answer: Answer, measure: str) -> list[Text]:
    """A sentence on the mean, and one on each unit."""
    about = say(f"claim.about.{measure}")
    if len(answer.telling) < 2:
        return [_told_trial(trial, answer, trial.comparison) for trial in answer.primary]
    mean = written(answer.pooled.mean, answer.pooled.interval, answer.first.write)
    said = say(f"claim.said.{answer.pooled.conclusion}")
    sentences: list[Text] = [say("claim.mean", about=about, units=answer.units, value=mean, said=said)]
    corrected = iter(answer.pooled.telling)
    return sentences + [
        _told_trial(trial, answer, next(corrected) if trial.comparison.is_tested else trial.comparison)
        for trial in answer.primary
    ]


def _told_trial(trial: Trial, answer: Answer, comparison: Comparison) -> Text:
    fields = {"unit": answer.unit_name(trial), "name": trial.name, "count": comparison.pairs}
    said = say(f"claim.said.{comparison.outcome}")
    value = written(comparison.mean, comparison.interval, trial.write)
    return say("claim.unit", value=value, said=said, **fields)


def _told_beside(measure: str, answer: Answer) -> Text:
    fields = {"about": say(f"claim.about.{measure}"), "said": say(f"claim.said.{answer.pooled.conclusion}")}
    if not answer.telling:
        return say("claim.beside.few", **fields)
    return say("claim.beside", value=written(answer.pooled.mean, answer.pooled.interval, answer.first.write), **fields)


def _when_it_changes(answer: Answer) -> Text:
    """Name units that contradict each other, and the settings that move the estimate most, of those that clearly do."""
    sentences = list[Text]()
    if answer.pooled.contradiction is not None:
        sides = [
            say(
                "claim.side",
                unit=answer.unit_name(answer.telling[place]),
                value=written(unit.mean, unit.interval, answer.telling[place].write),
            )
            for place, unit in ((place, answer.pooled.telling[place]) for place in answer.pooled.contradiction)
        ]
        sentences.append(say("claim.sides", first=sides[0], second=sides[1]))
    floored = [trial for trial in answer.primary if trial.comparison.outcome is Outcome.FLOOR]
    if floored and answer.telling:
        sentences.append(say("claim.floored", units=joined("list", map(answer.unit_name, floored))))
    clear = [change for change in answer.changes if change.is_clear]
    told = joined("notes", [change.told() for change in clear[:MOST_CHANGES]])
    if clear:
        sentences.append(say("claim.moves", told=told))
    elif answer.changes:
        sentences.append(say("claim.moves.none", total=len(answer.changes)))
    elif not sentences:
        sentences.append(say("claim.moves.untried"))
    return joined("sentence", sentences)


def written(mean: float, interval: Estimate | None, write: Callable[[float], str]) -> Text:
    """A difference with its interval and its unit."""
    value = with_range(mean, interval, write)
    if write is points:
        return say("claim.points", points=value)
    return say("claim.nats", nats=value) if write is nats else value


def _alike(value: str) -> str:
    """Values that mean the same written the same: equal numbers, and a switch that is off or not there."""
    number = number_of(value)
    return f"{number:g}" if number is not None else "" if value == "false" else value


def setting_name(name: str) -> Text:
    return say_or(f"claim.on.{name}", name)
