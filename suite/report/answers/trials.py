"""Trials: what was measured of one question of conf/claims.yaml at one choice of settings, arm against arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from suite.records.machines import plain_name
from suite.report.blocks import Text, joined, say
from suite.report.evidence import Write, estimate
from suite.report.model.experiment import Arm, Contrast
from suite.report.model.run import Pairs, Run, machine_name, parse_number
from suite.statistics.paired import Comparison, compare

Question = Mapping[str, Any]
"""A comparison as conf/claims.yaml words it, under `decides` or `beside`."""
OTHER = "other "  # begins the name of a setting that only the reference arm has, or has at another value
ABOUT = "about"  # which questions a comparison is of, where an experiment has several kinds
MOST_NAMED = 3  # pairs of arms that a sentence names one by one


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
        return canonical(self.settings.get(name, ""))

    def values(self, names: Sequence[str]) -> tuple[str, ...]:
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


def canonical(value: str) -> str:
    """One spelling for values that mean the same: `1.0` becomes `1`, and `false` empty, like an absent switch."""
    number = parse_number(value)
    return f"{number:g}" if number is not None else "" if value == "false" else value
