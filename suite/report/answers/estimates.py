"""One estimate from many trials, by a design that is fixed before anything is looked at, and the checks of it.

conf/claims.yaml says over which units an estimate is a mean (`over`, such as tasks) and which settings are meant where
arms were run at several (`at`). In each unit one trial counts: the one at those settings, else the one with the fewest
settings named. The settings under `sensitivity` are shown next to the estimate and decide nothing.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean
from typing import Any

from suite.report.answers.claims import sensitivity, setting_name
from suite.report.answers.trials import ABOUT, Question, Trial, canonical, mean_trial
from suite.report.blocks import Figure, Joined, Lead, Text, View, dotted, joined, say, say_or
from suite.report.evidence import Write, comparison_lead, comparison_verdict, estimate, format_p, lead_number
from suite.report.model.experiment import grouped
from suite.report.model.formats import interval_ends, points
from suite.report.model.labels import BLUE, GREY, VARIANT, VERMILION, Style, setting_text, variant_label
from suite.report.model.run import Pairs
from suite.report.plot import rows as plot_rows
from suite.report.plot.plots import Point, Series, linear, rule
from suite.statistics.paired import Comparison, compare
from suite.statistics.pooled import ALPHA_BY_LOOKS, Conclusion, Pooled, checked_conclusion, differing_rows

FEWEST_ROWS = 2  # families from which on a figure shows more than a sentence
ROW_PX = 34
DIGITS = "task.digits"  # of sizes of one task, which are averaged
UNIT_NAMES = ("task", DIGITS, "policy")  # settings whose values name a unit, where a design says no others


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
        families = []
        for members in grouped(self.units, self.family).values():
            telling = [unit for unit in members if unit.comparison.is_tested]
            mean = mean_trial(telling) if len(telling) > 1 else None
            families.append(mean or next(iter(telling), members[0]))
        return families

    def family(self, unit: Trial) -> str:
        return unit.value(self.over[0])

    @functools.cached_property
    def pooled(self) -> Pooled:
        """The estimate: the mean over families, each of which counts the same."""
        return self._pool(self.trials)

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
            arm = trial.arms[0]
            return arm.name if len(trial.arms) == 1 else variant_label(arm.first.attention)  # a mean over sizes
        values: dict[str, Text] = {name: trial.value(name) for name in self.unit_settings or UNIT_NAMES}
        values |= {name: setting_text(name, str(values[name])) for name in values if "task." in name and values[name]}
        if kind := values.get(ABOUT):
            values[ABOUT] = say_or(f"quality_tiers.asked.{kind}", kind)
        return dotted(*values.values()) or trial.value(self.over[0]) or trial.arms[0].name

    @property
    def name(self) -> Text:
        """What the tested trials subtract from what; of the first trial where none was tested."""
        names = [trial.name for trial in self.tested or self.trials[:1]]
        parts = [name.parts if isinstance(name, Joined) and name.separator == "list" else [name] for name in names]
        return joined("list", dict.fromkeys(chain.from_iterable(parts)))

    @property
    def pairs(self) -> int:
        """The pairs of runs of all tested families."""
        return sum(trial.comparison.pairs for trial in self.tested)

    def forest(self, measure: Text) -> Figure | None:
        """The figure of each family's mean difference with its interval, then of the mean over them; None where fewer
        than FEWEST_ROWS were tested. A family that was not tested is drawn open."""
        if len(self.tested) < FEWEST_ROWS:
            return None
        write, name, pooled = self.first.write, self.name, self.pooled
        factor = 100 if write is points else 1

        def point(place: int, comparison: Pooled | Comparison, said: Text, runs: Sequence[str] = ()) -> Point:
            value = estimate(comparison.mean, comparison.interval, write)
            return Point(
                x=factor * comparison.mean,
                y=place,
                ends=interval_ends(comparison.interval, factor=factor),
                hover=say("claim.forest.hover", value=value, said=said),
                runs=runs,
            )

        counted, left_out, names = list[Point](), list[Point](), list[Text]()
        for place, trial in enumerate(self.judged):
            runs = [key for arm in trial.arms for key in arm.run_keys]
            mark = point(place, trial.comparison, comparison_verdict(trial.comparison), runs)
            (counted if trial.comparison.is_tested else left_out).append(mark)
            names.append(dotted(self.unit_name(trial), say("claim.forest.pairs", count=trial.comparison.pairs)))
        conclusion = say(f"claim.said.{pooled.conclusion}")
        foot = point(len(names), pooled, conclusion)
        names.append(dotted(say("claim.forest.mean"), say("claim.forest.pairs", count=self.pairs)))
        shared: dict[str, Any] = {"name": name, "along": "x", "in_legend": False}
        traces = [
            Series(points=counted, style=Style(colour=BLUE), **shared),
            *([Series(points=left_out, style=Style(colour=GREY), ordinal=1, **shared)] if left_out else []),
            Series(points=[foot], style=Style(colour=VERMILION, marker="diamond"), size=14, **shared),
        ]
        axis = linear(say("claim.forest.points", name=name) if write is points else name, rangemode="tozero")
        p = None if pooled.heterogeneity_p is None else format_p(pooled.heterogeneity_p)
        caption = [
            say("claim.forest.caption"),
            say("claim.forest.left_out") if left_out else "",
            self.scope,
            "" if p is None else say("claim.forest.q", p=p if p.startswith("<") else f"= {p}"),
        ]
        plot = plot_rows.rows(names, traces, xaxis=axis, shapes=[rule(x=0)], showlegend=False)
        return Figure(
            title=say("claim.forest", measure=measure),
            family=say("claim.forest", measure=measure),
            finding=say("claim.forest.finding", name=name, value=self.value, said=conclusion),
            caption=joined("sentence", caption),
            views=[View(title="", figure=plot)],
            height_px=plot_rows.height_px(len(names), row_px=ROW_PX),
            facets={"case": name},
        )

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
    return {name: canonical("" if value is None else str(value).lower()) for name, value in settings.items()}


def _deciding_units(trials: Sequence[Trial], over: Sequence[str], usual_values: Mapping[str, str]) -> list[Trial]:
    by_unit = grouped(trials, lambda trial: trial.values(over))
    return [_usual_trial(unit, usual_values) for unit in by_unit.values()]


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
                # Mean differences of the pairs' first trials, then of their partners, by seed.
                means = []
                for side in zip(*level_pairs, strict=True):
                    by_seed = [dict(zip(t.comparison.names, t.comparison.differences, strict=True)) for t in side]
                    seeds = sorted(set.intersection(*map(set, by_seed)))
                    means.append({seed: fmean(differences[seed] for differences in by_seed) for seed in seeds})
                if change := compare(*means):
                    changes.setdefault(tuple(changed), []).append(change)
    pooled = {changed: Pooled(tuple(comparisons)) for changed, comparisons in changes.items()}
    effects = [SettingEffect(settings=dict(changed), pooled=row) for changed, row in pooled.items() if row.telling]
    clear = differing_rows([effect.pooled for effect in effects])
    effects = [replace(effect, is_clear=is_clear) for effect, is_clear in zip(effects, clear, strict=True)]
    return sorted(effects, key=lambda effect: -abs(effect.pooled.mean))
