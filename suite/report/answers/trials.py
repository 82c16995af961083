"""One estimate from many comparisons, by a design that is fixed before anything is looked at.

conf/claims.yaml says of a claim which comparison `decides`, over which units its estimate is a mean (`over`, such as
tasks) and which settings are meant where arms were run at several (`at`). In each unit one comparison counts: the one
at those settings, else the one with the fewest settings named. Comparisons `beside` it, and the settings under
`sensitivity`, are shown next to the estimate and decide nothing.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from suite.records.machines import plain_name
from suite.report.answers.claims import Claim, ClaimVerdict, Standing, sensitivity, setting_name
from suite.report.answers.forest import FEWEST_ROWS, Unit, forest
from suite.report.blocks import Figure, Lead, Text, dotted, joined, say, say_or
from suite.report.evidence import Write, comparison_lead, estimate, lead_number
from suite.report.model.experiment import Arm, Contrast, grouped
from suite.report.model.labels import VARIANT, setting_text
from suite.report.model.run import Pairs, Run, machine_name, parse_number
from suite.statistics.paired import ArmOutcome, Comparison, compare
from suite.statistics.pooled import ALPHA_BY_LOOKS, FEWEST_DRAWS, Conclusion, Pooled, checked_conclusion, differing_rows

Question = Mapping[str, Any]
"""A comparison as conf/claims.yaml words it, under `decides` or `beside`."""
OTHER = "other "  # begins the name of a setting that only the reference arm has, or has at another value
FEWEST_SPREAD = 3  # families from which on an interval tells something if they are taken as draws
ABOUT = "about"  # which questions a comparison is of, where an experiment has several kinds
MOST_NAMED = 3  # pairs of arms that a sentence names one by one
MOST_CHANGES = 2  # settings that the line on when an answer changes names
DIGITS = "task.digits"  # of one task with more digits: another task
UNIT_NAMES = ("task", DIGITS, "policy")  # settings whose values name a unit, where a design says no others
# The standing of a claim that the first arm is higher, and of one that it is lower: contradicted only by a clear
# difference the other way.
STANDINGS = {
    Conclusion.HIGHER: (Standing.SUPPORTED, Standing.CONTRADICTED),
    Conclusion.LOWER: (Standing.CONTRADICTED, Standing.SUPPORTED),
    Conclusion.EQUAL: (Standing.EQUAL, Standing.EQUAL),
    Conclusion.NOT_HIGHER: (Standing.BOUNDED, Standing.OPEN),
    Conclusion.NOT_LOWER: (Standing.OPEN, Standing.BOUNDED),
    Conclusion.OPEN: (Standing.OPEN, Standing.OPEN),
    Conclusion.UNITS_DIFFER: (Standing.DEPENDS, Standing.DEPENDS),
    Conclusion.DEPENDS: (Standing.DEPENDS, Standing.DEPENDS),
    Conclusion.FEW: (Standing.UNTESTED, Standing.UNTESTED),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A comparison of two arms, or of one arm with its own beginning, at one choice of settings."""

    name: Text  # what is subtracted from what: `GRPO minus PPO`
    comparison: Comparison
    write: Write
    settings: Mapping[str, str]
    arms: Sequence[Arm[Any]]

    @property
    def place(self) -> Pairs:
        """The settings of its experiment, in which all its arms agree."""
        return self.arms[0].setting

    @property
    def estimate(self) -> Text:
        """The difference with its interval and its unit."""
        return estimate(self.comparison.mean, self.comparison.interval, self.write)

    def value(self, name: str) -> str:
        """A setting's value in its canonical spelling; empty where the setting is off, absent or empty."""
        return _canonical(self.settings.get(name, ""))

    def values(self, names: Sequence[str]) -> tuple[str, ...]:
        """The values of some settings, as `value` gives them."""
        return tuple(map(self.value, names))

    def settings_besides(self, names: Sequence[str]) -> frozenset[tuple[str, str]]:
        """All settings with a value but those in `names`."""
        return frozenset((name, self.value(name)) for name in self.settings if name not in names and self.value(name))


def arms_trial(contrast: Contrast[Any], names: Sequence[Text] = ()) -> Trial:
    """A trial of a contrast's two arms. `names`: what sentences call them, by default their own names.

    Its settings are the first arm's, and under OTHER + name those in which the second arm differs.
    """
    arms = contrast.arm, contrast.other
    ours, theirs = ({**dict(arm.setting), **dict(arm.key)} for arm in arms)
    name, other_name = names or [arm.name for arm in arms]
    differing = {OTHER + setting: value for setting, value in theirs.items() if ours.get(setting) != value}
    return Trial(
        name=say("claim.minus", arm=name, other=other_name),
        comparison=replace(contrast.comparison, adjusted_p=None),  # corrected again over the units of its claim
        write=contrast.quantity.difference,
        settings={ABOUT: contrast.about, **ours, **differing},
        arms=arms,
    )


def change_trial(arm: Arm[Any], change: Comparison, write: Write, name: Text) -> Trial:
    """A trial of one arm: the change in it, already compared by seed."""
    settings = {**dict(arm.setting), **dict(arm.key)}
    return Trial(name=name, comparison=replace(change, adjusted_p=None), write=write, settings=settings, arms=[arm])


def machine_label(run: Run) -> str:
    """The machine that a run ran on, in a short name for readers."""
    return plain_name(machine_name(run.record))


@dataclass(frozen=True, kw_only=True)
class SettingEffect:
    """What another value of a setting, or of settings that change together, adds to the estimate."""

    settings: Mapping[str, str]
    pooled: Pooled
    is_clear: bool = False

    def text(self, write: Write) -> Text:
        """The settings with their values, then what these add to the estimate, with its interval."""
        # Of settings that change together some may not apply any more, as a weight to a format that is a gate.
        settings = {name: value for name, value in self.settings.items() if value} or self.settings
        texts = [
            say("claim.setting", name=setting_name(name), value=value or say("claim.default"))
            for name, value in settings.items()
        ]
        value = estimate(self.pooled.mean, self.pooled.interval, write)
        return say("claim.change", settings=joined("and", texts), value=value)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Another mean that must come to the same conclusion, or the estimate depends on what was changed."""

    change: Text  # what was changed: `without sort`
    on: str  # the setting that the estimate depends on if this mean differs, or `scale`
    pooled: Pooled


@dataclass(frozen=True, kw_only=True, eq=False)
class PooledTrials:
    """The estimate of a claim, its checks, and what other settings add to it.

    Units of one family, such as sums of two and of three digits, are no independent draws: they are averaged seed by
    seed, and each family counts the same.
    """

    over: Sequence[str]  # settings whose values name a unit; the first one's name its family
    units: Sequence[Trial]
    effects: Sequence[SettingEffect] = ()  # the largest first
    options: Sequence[Check] = ()  # means by other usual choices, over the same families
    looks: int = 1  # how often the claim was looked at, this time included

    @functools.cached_property
    def trials(self) -> list[Trial]:
        """One trial a family."""
        return [_family_mean(members) for members in grouped(self.units, self.family).values()]

    @functools.cached_property
    def pooled(self) -> Pooled:
        """The estimate: the mean over families, each of which counts the same."""
        return self._pool(self.trials)

    def family(self, unit: Trial) -> str:
        """The value that units of one family share."""
        return unit.value(self.over[0])

    def _pool(self, trials: Sequence[Trial]) -> Pooled:
        return Pooled(tuple(trial.comparison for trial in trials), alpha=ALPHA_BY_LOOKS[self.looks])

    @functools.cached_property
    def checks(self) -> list[Check]:
        """The mean without each family, and without each unit of a family that has more, then the other choices."""
        checks = []
        for place, trial in enumerate(self.tested if len(self.tested) > 1 else []):
            change = say("claim.without", unit=self.unit_name(trial))
            checks.append(Check(change=change, on=self.over[0], pooled=self.pooled.without(place)))
        for family in grouped([unit for unit in self.units if unit.comparison.is_tested], self.family).values():
            for unit in family if len(family) > 1 else []:
                rest = [other for other in self.units if other is not unit]
                change = say("claim.without", unit=self.unit_name(unit))
                means = replace(self, units=rest).trials
                checks.append(Check(change=change, on=self.over[0], pooled=self._pool(means)))
        return [*checks, *self.options]

    @functools.cached_property
    def conclusion(self) -> Conclusion:
        """What the estimate shows; DEPENDS where a check undoes it."""
        return checked_conclusion(self.pooled, [check.pooled for check in self.checks])

    @property
    def undone_by(self) -> list[Check]:
        """The checks that undo a clear estimate; empty where it is not clear, or stands."""
        if self.conclusion is not Conclusion.DEPENDS:
            return []
        return [check for check in self.checks if check.pooled.conclusion is not self.pooled.conclusion]

    @functools.cached_property
    def judged(self) -> list[Trial]:
        """The families' trials, with Holm's correction among those that were tested."""
        corrected = iter(self.pooled.telling)
        return [
            replace(trial, comparison=next(corrected)) if trial.comparison.is_tested else trial for trial in self.trials
        ]

    @property
    def tested(self) -> list[Trial]:
        """The families that were tested: enough pairs, and not both arms at a bound."""
        return [trial for trial in self.judged if trial.comparison.is_tested]

    @property
    def contrary(self) -> list[Trial]:
        """The trials of the two families that contradict each other most clearly; empty where no two do."""
        return [self.tested[place] for place in self.pooled.contradiction or ()]

    @property
    def first(self) -> Trial:
        """The first tested trial, else the first of all."""
        return next(iter(self.tested), self.trials[0])

    @property
    def unit_settings(self) -> list[str]:
        """The settings of `over` in which units differ."""
        return [name for name in self.over if len({unit.value(name) for unit in self.units}) > 1]

    @property
    def noun(self) -> str:
        """The word for a family: the end of a text's key."""
        return "tasks" if self.over[0] == "task" else "cases"

    @property
    def counted(self) -> Text:
        """How many families were tested, with the word for them: `3 tasks`."""
        return say(f"claim.units.{self.noun}", count=len(self.tested))

    @property
    def scope(self) -> Text:
        """A sentence on what the interval of the mean holds for: tasks like these, or these tasks."""
        return say(f"claim.scope.{'like' if self.pooled.is_about_others else 'these'}.{self.noun}")

    @property
    def value(self) -> Text:
        """The mean over families with its interval. Raises ZeroDivisionError where none was tested."""
        return self.value_of(self.pooled)

    def value_of(self, pooled: Pooled) -> Text:
        """A mean with its interval, as this estimate is written."""
        return estimate(pooled.mean, pooled.interval, self.first.write)

    @property
    def clear_effects(self) -> list[Text]:
        """The texts of the effects that are clearly not zero."""
        return [effect.text(self.first.write) for effect in self.effects if effect.is_clear]

    def unit_name(self, trial: Trial) -> Text:
        """What sentences call a unit or a family: its values of `unit_settings`, or of variants its arm's name."""
        if any(name.startswith(VARIANT) for name in self.over):
            return trial.arms[0].name
        values: dict[str, Text] = {name: trial.value(name) for name in self.unit_settings or UNIT_NAMES}
        values |= {name: setting_text(name, str(values[name])) for name in values if "task." in name and values[name]}
        if kind := values.get(ABOUT):
            values[ABOUT] = say_or(f"quality_tiers.asked.{kind}", kind)
        return dotted(*values.values()) or trial.value(self.over[0]) or trial.arms[0].name

    @property
    def name(self) -> Text:
        """What the tested trials subtract from what; of the first trial where none was tested."""
        return joined("list", dict.fromkeys(trial.name for trial in self.tested or self.trials[:1]))

    @property
    def pairs(self) -> int:
        """The pairs of runs of all tested families."""
        return sum(trial.comparison.pairs for trial in self.tested)

    def forest(self, measure: Text) -> Figure | None:
        """The figure of all families and their mean; None where fewer than FEWEST_ROWS were tested."""
        if len(self.tested) < FEWEST_ROWS:
            return None
        rows = [
            Unit(
                name=self.unit_name(trial),
                comparison=trial.comparison,
                runs=[key for arm in trial.arms for key in arm.run_keys],
            )
            for trial in self.judged
        ]
        return forest(rows, self.pooled, self.first.write, name=self.name, measure=measure, scope=self.scope)

    def lead(self, measure: Text, *, names_arms: bool = True) -> Lead:
        """The mean over the tested families as the number that leads a verdict; one trial's where fewer than two are.
        `names_arms`: unless the measure says what is subtracted from what."""
        plain = "" if names_arms else ".plain"
        if len(self.tested) < 2:
            about = say(f"answer.about{plain}", where=self.unit_name(self.first), name=self.name, measure=measure)
            return comparison_lead(self.first.comparison, self.first.write, about)
        about = say(f"answer.about.mean{plain}", units=self.counted, name=self.name, measure=measure)
        count = say("answer.count.units", count=self.pairs)
        return lead_number(self.pooled.mean, self.pooled.interval, self.first.write, about=about, count=count)


def pooled_trials(
    design: Question, trials: Sequence[Trial], other_scales: Sequence[Sequence[Trial]] = ()
) -> PooledTrials | None:
    """Pool trials by a claim's design: one for each unit, and what other settings add; None without trials.

    `options` of the design are other usual values of settings, which must come to the same where every family was run
    with them; so must `other_scales`, the same trials by a measure on another scale.
    """
    if not trials:
        return None
    over = design.get("over", UNIT_NAMES)
    usual_values = _canonical_values(design.get("at", {}))
    units = _deciding_units(trials, over, usual_values)
    answer = PooledTrials(over=over, units=units, looks=design.get("looks", 1))
    options = []
    for scale in filter(None, other_scales):
        means = replace(answer, units=_deciding_units(scale, over, usual_values))
        options.append(Check(change=say("claim.on_scale"), on="scale", pooled=means.pooled))
    for option in map(_canonical_values, design.get("options", ())):
        matching = [trial for trial in trials if trial.values([*option]) == (*option.values(),)]
        means = replace(answer, units=_deciding_units(matching, over, {**usual_values, **option}))
        if {*map(answer.family, answer.tested)} <= {*map(answer.family, means.tested)}:
            settings = [say("claim.setting", name=setting_name(name), value=value) for name, value in option.items()]
            change = say("claim.at", settings=joined("and", settings))
            options.append(Check(change=change, on=next(iter(option)), pooled=means.pooled))
    return replace(answer, effects=_setting_effects(trials, over, usual_values), options=options)


def _canonical_values(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings as conf/claims.yaml has them, in the spelling of `Trial.value`."""
    return {name: _canonical("" if value is None else str(value).lower()) for name, value in settings.items()}


def _deciding_units(trials: Sequence[Trial], over: Sequence[str], usual_values: Mapping[str, str]) -> list[Trial]:
    """One trial for each unit: the one nearest to the usual values."""
    by_unit = grouped(trials, lambda trial: trial.values(over))
    return [_usual_trial(unit, usual_values) for unit in by_unit.values()]


def _family_mean(units: Sequence[Trial]) -> Trial:
    """The mean of a family's units that can tell, seed by seed; of none that can, the first unit."""
    telling = [unit for unit in units if unit.comparison.is_tested]
    return (mean_trial(telling) if telling[1:] else None) or next(iter(telling), units[0])


def mean_trial(trials: Sequence[Trial], *, is_loss: bool = False) -> Trial | None:
    """The mean over trials, seed by seed; None where they share no seed. `is_loss`: more is worse again.

    The trial with the most seeds leads. Another whose seeds are mostly others, as of an earlier sweep, is left out.
    """
    longest = max(trials, key=lambda trial: trial.comparison.pairs).comparison
    least_shared = len(longest.names) / 2
    trials = [trial for trial in trials if len({*longest.names} & {*trial.comparison.names}) >= least_shared]
    first, sides = trials[0].comparison, []
    for side in ("ours", "theirs"):
        scores = [dict(zip(t.comparison.names, getattr(t.comparison, side), strict=True)) for t in trials]
        shared = [seed for seed in scores[0] if all(seed in by_seed for by_seed in scores)]
        sides.append({seed: (-1 if is_loss else 1) * fmean(by_seed[seed] for by_seed in scores) for seed in shared})
    comparison = compare(*sides, bounds=first.bounds, margin=first.margin)
    named, *others = dict.fromkeys(trial.name for trial in trials)
    name = joined("list", [named, *others])
    if len(others) >= MOST_NAMED:
        name = say("answer.more_pairs", first=named, count=len(others))
    # What the trials do not share says nothing of their mean.
    settings = {
        setting: value for setting, value in trials[0].settings.items() if len({t.value(setting) for t in trials}) == 1
    }
    arms = [*dict.fromkeys(arm for trial in trials for arm in trial.arms)]
    return replace(trials[0], name=name, comparison=comparison, settings=settings, arms=arms) if comparison else None


def _usual_trial(trials: Sequence[Trial], usual_values: Mapping[str, str]) -> Trial:
    """The trial nearest to the usual values, then of fewest named settings, then of most pairs; by no outcome."""

    def distance(trial: Trial) -> tuple[object, ...]:
        matches = sum(trial.value(name) == value for name, value in usual_values.items())
        num_named = sum(len(arm.first.record.case.extras) for arm in trial.arms)
        return -matches, num_named, -trial.comparison.pairs, sorted(trial.settings.items())

    return min(trials, key=distance)


def _setting_effects(
    trials: Sequence[Trial], over: Sequence[str], usual_values: Mapping[str, str]
) -> list[SettingEffect]:
    """What each other value of the settings under `sensitivity` adds with all else equal, the largest first.

    Averaged over all pairs of trials that differ in nothing else, within a unit and an experiment.
    """
    changes: dict[Pairs, list[Comparison]] = {}
    for place_trials in grouped(trials, lambda trial: (trial.values(over), trial.place)).values():
        usual = _usual_trial(place_trials, usual_values)
        for names in sensitivity():
            level = usual.values(names)
            at_usual = {t.settings_besides(names): t for t in place_trials if t.values(names) == level}
            pairs: dict[tuple[str, ...], list[tuple[Trial, Trial]]] = {}
            for trial in place_trials:
                partner = at_usual.get(trial.settings_besides(names))
                if partner is not None and trial.values(names) != level:
                    pairs.setdefault(trial.values(names), []).append((trial, partner))
            for values, level_pairs in pairs.items():
                changed = [pair for pair in zip(names, values, strict=True) if pair[1] != usual.value(pair[0])]
                if change := _mean_change(level_pairs):
                    changes.setdefault(tuple(changed), []).append(change)
    pooled = {changed: Pooled(tuple(comparisons)) for changed, comparisons in changes.items()}
    effects = [SettingEffect(settings=dict(changed), pooled=row) for changed, row in pooled.items() if row.telling]
    clear = differing_rows([effect.pooled for effect in effects])
    effects = [replace(effect, is_clear=is_clear) for effect, is_clear in zip(effects, clear, strict=True)]
    return sorted(effects, key=lambda effect: -abs(effect.pooled.mean))


def _mean_change(pairs: Sequence[tuple[Trial, Trial]]) -> Comparison | None:
    """Compare the mean difference of the pairs' first trials with their partners', by seed; None without a seed."""
    means = []
    for side in zip(*pairs, strict=True):
        by_seed = [dict(zip(t.comparison.names, t.comparison.differences, strict=True)) for t in side]
        seeds = set.intersection(*map(set, by_seed))
        means.append({seed: fmean(differences[seed] for differences in by_seed) for seed in sorted(seeds)})
    return compare(*means)


def answer_question(
    design: Question, question: Question, trials: Callable[[Question], Sequence[Trial]]
) -> PooledTrials | None:
    """The estimate that answers a question, with the measures under its `also` as other scales; None without trials."""
    scales = [trials({**question, "measure": measure}) for measure in question.get("also", ())]
    return pooled_trials(design, trials(question), scales)


def decide_by_trials(claim: Claim, trials: Callable[[Question], Sequence[Trial]]) -> ClaimVerdict | None:
    """The verdict by the first question under `decides` on which there are trials; None where there are none.

    The other questions are told and decide nothing, except that a supported claim gets the standing that one of them
    names under `unless` for its own conclusion. Where its own number is why, that one leads.
    """
    design = claim["trial"]

    def answered(questions: Sequence[Question]) -> list[tuple[Question, PooledTrials]]:
        """The questions on which there are trials, with these."""
        answers = ((question, answer_question(design, question, trials)) for question in questions)
        return [(question, answer) for question, answer in answers if answer is not None]

    deciding = answered(design["decides"])
    if not deciding:
        return None
    (question, answer), *stand_ins = deciding
    limits = [*stand_ins, *answered(design.get("beside", ()))]
    conclusion = answer.conclusion
    outcome = STANDINGS[conclusion][question.get("supports") == "lower"]
    # None of the settings in which two units differ that contradict each other can be ruled out.
    differing = [name for name in answer.over if len({trial.value(name) for trial in answer.contrary}) > 1]
    differing += [check.on for check in answer.undone_by]
    dividing = [*dict.fromkeys("task" if name == DIGITS else name for name in differing)]
    flips = _when_it_changes(answer)
    turned = list[Text]()
    lead_answer, lead_question = answer, question
    if outcome == Standing.SUPPORTED and (setting := design.get("depends_on")):
        outcome, dividing, flips = Standing.DEPENDS, [setting], say(f"answer.flips.{setting}")
    is_limited = outcome == Standing.SUPPORTED
    for limit, limiting in limits:
        standings = limit.get("unless", {})
        limited = Standing(standings.get(limiting.conclusion, standings.get("else", Standing.SUPPORTED)))
        if is_limited and limited != Standing.SUPPORTED:
            turned.append(_beside("claim.unless", limit, limiting))
            outcome = limited if outcome == Standing.SUPPORTED else outcome
            if limited == outcome and limited in (Standing.EQUAL, Standing.CONTRADICTED):
                lead_answer, lead_question, turned = limiting, limit, [_beside("claim.beside", question, answer)]
                break  # the words of this standing are for what this question came to
    answer_text: Text = ""
    for limit, limiting in limits:
        if limit.get("leads") and limiting.tested:
            lead_answer, lead_question = limiting, limit
            turned = [_beside("claim.beside.named", question, answer), *turned]
            versus = say_or(f"answer.card.{claim['id']}.{outcome}", say(f"claim.outcome.{outcome}"))
            answer_text = joined("notes", [say(f"answer.{limit['says']}.{limiting.conclusion}"), versus])
    # The lead links to the task that differs most, on which its section opens; the tiers have a section of their own.
    furthest = max(lead_answer.tested or lead_answer.trials, key=lambda trial: abs(trial.comparison.mean))
    task = furthest.arms[0].value("task")
    measure = _about(lead_question)
    on_card = (_beside("claim.beside", *limit) for limit in limits if limit[0].get("on_card"))
    return ClaimVerdict(
        outcome=outcome,
        answer=answer_text,
        evidence=[*_evidence(answer, _about(question)), *(_beside("claim.beside", *limit) for limit in limits)],
        depends_on=joined("and", map(setting_name, dividing)),
        lead=replace(
            lead_answer.lead(measure, names_arms=lead_answer is answer or "leads" in lead_question),
            link={"task": task} if task and task != "tiers" else {},
        ),
        flips=joined("sentence", turned or [*on_card, flips]),
        limit=joined("sentence", turned),
        machine=machine_label(lead_answer.first.arms[0].first),
        suffices=conclusion is not Conclusion.FEW,
        pairs=lead_answer.pairs,
        forest=lead_answer.forest(measure),
    )


def _about(question: Question) -> Text:
    """What a question measures, in words."""
    return say(f"claim.about.{question.get('says', question['measure'])}")


def _evidence(answer: PooledTrials, measure: Text) -> list[Text]:
    """Sentences: on the mean over several units, on each unit, and on the settings that clearly move the estimate."""
    sentences = list[Text]()
    if len(answer.tested) > 1:
        verdict = say(f"claim.said.{answer.conclusion}")
        mean = say("claim.mean", about=measure, units=answer.counted, value=answer.value, said=verdict)
        sentences.append(joined("sentence", [mean, answer.scope]))
    sentences += [_check_text(check, answer) for check in answer.undone_by]
    if len(answer.tested) >= FEWEST_SPREAD and not answer.pooled.is_about_others:
        as_draws = replace(answer.pooled, are_draws=True)
        sentences.append(
            say("claim.as_draws", value=answer.value_of(as_draws), said=say(f"claim.said.{as_draws.conclusion}"))
        )
    for trial in answer.judged:
        fields = {"unit": answer.unit_name(trial), "name": trial.name, "count": trial.comparison.pairs}
        verdict = say(f"claim.said.{trial.comparison.outcome}")
        sentences.append(say("claim.unit", value=trial.estimate, said=verdict, **fields))
    if answer.effects:
        counts = {"clear": len(answer.clear_effects), "total": len(answer.effects)}
        sentences += [say("claim.changes", **counts), *answer.clear_effects]
    return sentences


def _beside(key: str, question: Question, answer: PooledTrials) -> Text:
    """The sentence `key` on what a question beside the deciding one came to, without a number where none was tested."""
    fields = {"about": _about(question), "said": say(f"claim.said.{answer.conclusion}"), "name": answer.name}
    return say(key, value=answer.value, **fields) if answer.tested else say("claim.beside.few", **fields)


def _check_text(check: Check, answer: PooledTrials) -> Text:
    """Say what a mean comes to after the change that a check made."""
    said = say(f"claim.said.{check.pooled.conclusion}")
    return say("claim.check", change=check.change, value=answer.value_of(check.pooled), said=said)


def _when_it_changes(answer: PooledTrials) -> Text:
    """Say how each family came out where they are few, what undoes the estimate, which families contradict each other,
    which learnt nothing, and which settings move the estimate most."""
    sentences = list[Text]()
    if 1 < len(answer.tested) < FEWEST_DRAWS:
        by_outcome = grouped(answer.tested, lambda trial: trial.comparison.outcome)
        for outcome, families in by_outcome.items():
            names = joined("list", map(answer.unit_name, families))
            sentences.append(say("claim.by_family", units=names, said=say(f"claim.said.{outcome}")))
    by_setting = {check.on: check for check in reversed(answer.undone_by)}
    sentences += [_check_text(check, answer) for check in reversed(by_setting.values())]
    if answer.contrary:
        first, second = (say("claim.side", unit=answer.unit_name(t), value=t.estimate) for t in answer.contrary)
        sentences.append(say("claim.sides", first=first, second=second))
    unlearnt = [trial for trial in answer.trials if trial.comparison.outcome is ArmOutcome.FLOOR]
    if unlearnt and answer.tested:
        sentences.append(say("claim.floored", units=joined("list", map(answer.unit_name, unlearnt))))
    if answer.clear_effects:
        sentences.append(say("claim.moves", told=joined("sentence", answer.clear_effects[:MOST_CHANGES])))
    elif answer.effects:
        sentences.append(say("claim.moves.none", total=len(answer.effects)))
    elif not sentences:
        sentences.append(say("claim.moves.untried"))
    return joined("sentence", sentences)


def _canonical(value: str) -> str:
    """One spelling for values that mean the same: `1.0` becomes `1`, and `false` empty, like an absent switch."""
    number = parse_number(value)
    return f"{number:g}" if number is not None else "" if value == "false" else value
