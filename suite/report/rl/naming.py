"""Names and looks of arms: a whole name for tables, and a short one that stands beside the others of an experiment."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from suite.records.labels import differences, differing
from suite.report.blocks import Joined, Text, dotted
from suite.report.model.experiment import Arm, Experiment
from suite.report.model.labels import ALGORITHM, OTHER, RECIPE, Look, looks, option_label, option_style, setting_text
from suite.report.model.run import parse_number
from suite.report.plot.plots import LINES

E = TypeVar("E", bound=Experiment[Any])
SHAPE = ("prompts_per_step", "num_generations")
FOLLOWS = {
    "steps": SHAPE,
    **dict.fromkeys(("kl_coef", "kl_type", "use_kl_in_reward", "scale_rewards", "critic_lr"), (ALGORITHM,)),
}
"""Settings that are said only where arms that agree in these differ in them."""
TRIAL = "trial="
MOST_OF_A_STYLE = 2  # lines of one colour that their dashes tell apart
SEPARATOR = " · "  # between the parts of an arm's name, as `dotted` joins them


def named(arms: Sequence[Arm[Any]], lead: str, is_said: Callable[[str], bool] = lambda name: True) -> list[Arm[Any]]:
    """Name arms by the setting `lead` and by what else differs between them, give them its look, and sort them.
    `is_said`: whether names may tell a setting."""
    keys = [{name: value for name, value in arm.key if is_said(name)} for arm in arms]
    names = differing(keys) - {lead}
    # What follows from other settings is said where arms that agree in those differ in it.
    differs = {name: differences(keys, alike_in=FOLLOWS.get(name, ())) for name in names}
    entries = []
    for place, (arm, key) in enumerate(zip(arms, keys, strict=True)):
        value = arm.first.value(lead)
        look = Look(label=f"{lead}={value}", style=OTHER, place=0)
        if lead in (ALGORITHM, RECIPE):
            foreign = Look(label=value, style=option_style(lead, value), place=len(looks(lead)))
            look = looks(lead).get(value, foreign)
        shape = "" if names.isdisjoint(SHAPE) else " × ".join(key.get(name, "") for name in SHAPE)
        settings = [name for name in key if name in names and name not in SHAPE and name in differs[name][place]]
        values = {name: parse_number(key[name]) if "." in key[name] else None for name in settings}
        texts = [f"{name}={key[name] if number is None else f'{number:.3g}'}" for name, number in values.items()]
        name = str(dotted(look.label, shape, *texts))
        entries.append((look.place, name, replace(arm, name=name, style=look.style)))
    return [arm for *_, arm in sorted(entries, key=lambda entry: entry[:2])]


def with_baseline(experiment: E, baseline: Arm[Any] | None) -> E:
    """Set the baseline, give arms short names for legends, and lines that differ where all look alike."""
    names = _short_names([str(arm.name) for arm in experiment.arms])
    arms = {}
    for arm, parts in zip(experiment.arms, names, strict=True):
        words = list[Text]()
        for part in parts:
            name, is_setting, value = part.partition("=")
            in_words = option_label if name == ALGORITHM else setting_text
            words.append(in_words(name, value) if is_setting else part)
        arms[arm] = replace(arm, legend_name=dotted(*words))
    styles = {arm.style for arm in experiment.arms} or {OTHER}
    if len(styles) == 1 and len(arms) <= len(LINES) and (len(arms) > MOST_OF_A_STYLE or styles == {OTHER}):
        # Lines of one colour, which dashes alone would have to tell apart.
        arms = {arm: replace(short, style=style) for (arm, short), style in zip(arms.items(), LINES, strict=False)}
    return replace(experiment, arms=[*arms.values()], baseline=arms[baseline] if baseline else None)


def _short_names(names: Sequence[str]) -> list[list[str]]:
    """The parts of each name that a legend shows: the first, and where others share it what tells them apart.

    `GRPO · KL 0.04 · group`, `GRPO · KL 0.04 · batch`, `PPO · KL 0.04` become `GRPO · group`, `GRPO · batch`, `PPO`.
    """
    parts = [name.split(SEPARATOR) for name in names]
    short: list[tuple[str, ...]] = []
    for first, *rest in parts:
        siblings = [name for name in parts if name[0] == first]
        usual = _usual_parts(parts) | _usual_parts(siblings)
        rare = [part for part in rest if part not in usual] if len(siblings) > 1 else []
        # A trial's number says which settings were drawn for it.
        short.append((first, *([part for part in rare if part.startswith(TRIAL)] or rare)))
    namesakes = defaultdict[tuple[str, ...], list[set[str]]](list)
    for name, whole in zip(short, parts, strict=True):
        namesakes[name].append(set(whole))
    return [
        [part for part in whole if part in name or part not in set.intersection(*namesakes[name])]
        for name, whole in zip(short, parts, strict=True)
    ]


def _usual_parts(names: Sequence[Sequence[str]]) -> set[str]:
    counts = Counter(part for _, *rest in names for part in rest)
    return {part for part, count in counts.items() if 2 * count > len(names)}


def has_parts(name: Text) -> bool:
    """Whether a name is joined from several parts."""
    return isinstance(name, Joined) or (isinstance(name, str) and SEPARATOR in name)
