"""Names and looks of arms: a whole name for tables, and a short one that stands beside the others of an experiment."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from suite.records.labels import differences, differing
from suite.report.blocks import Joined, Text, dotted
from suite.report.model.experiment import Arm, Experiment, grouped
from suite.report.model.labels import ALGORITHM, OTHER, RECIPE, Look, looks, setting_text, style_of
from suite.report.model.run import number_of
from suite.report.plot.marks import LINES

E = TypeVar("E", bound=Experiment[Any])
SHAPE = ("prompts_per_step", "num_generations")
FOLLOWS = {
    "steps": SHAPE,
    **dict.fromkeys(("kl_coef", "kl_type", "use_kl_in_reward", "scale_rewards", "critic_lr"), (ALGORITHM,)),
}
"""Settings that are said only where arms that agree in these differ in them."""
TRIAL = "trial="
MOST_OF_A_STYLE = 2
"""Lines of one colour that their dashes tell apart."""
NAMES = " · "
"""Between the parts of an arm's name."""


def named(arms: Sequence[Arm[Any]], lead: str, is_said: Callable[[str], bool] = lambda name: True) -> list[Arm[Any]]:
    """Give arms their names, by `lead` and by what else differs between them, their looks and their order.

    `is_said`: whether names may tell a setting.
    """
    keys = [{name: value for name, value in arm.key if is_said(name)} for arm in arms]
    # What follows from other settings is said where arms that agree in those differ in it.
    names = differing(keys) - {lead}
    own = {name: differences(keys, alike_in=FOLLOWS.get(name, ())) for name in names}
    ordered = []
    for place, (arm, key) in enumerate(zip(arms, keys, strict=True)):
        look = look_of(arm, lead)
        shape = "" if names.isdisjoint(SHAPE) else " × ".join(key.get(name, "") for name in SHAPE)
        telling = [name for name in key if name in names and name not in SHAPE and name in own[name][place]]
        name = str(dotted(look.label, shape, *(f"{name}={_short(key[name])}" for name in telling)))
        ordered.append((look.place, name, replace(arm, name=name, style=look.style)))
    return [arm for *_, arm in sorted(ordered, key=lambda item: item[:2])]


def _short(value: str) -> str:
    """A setting; a drawn rate, which has seventeen digits, with three."""
    return f"{float(value):.3g}" if "." in value and number_of(value) is not None else value


def look_of(arm: Arm[Any], lead: str) -> Look:
    """How an arm is called first and drawn, by the setting that its experiment is about."""
    value = arm.first.value(lead)
    if lead in (ALGORITHM, RECIPE):
        return looks(lead).get(value) or Look(label=value, style=style_of(lead, value), place=len(looks(lead)))
    return Look(label=f"{lead}={value}", style=OTHER, place=0)


def beside(experiment: E, baseline: Arm[Any] | None) -> E:
    """The experiment with a baseline, and its arms called by what they have unlike most: their first part, and where
    others share it what few of all arms and few of those have. So a legend stays short; tables hold the whole names.
    """
    parts = {arm: str(arm.name).split(NAMES) for arm in experiment.arms}
    everywhere, unlike = _most_have([*parts.values()]), dict[Arm[Any], tuple[str, ...]]()
    for first, alike in grouped(parts, lambda arm: parts[arm][0]).items():
        usual = everywhere | _most_have([parts[arm] for arm in alike])
        for arm in alike:
            own = [part for part in parts[arm][1:] if part not in usual] if len(alike) > 1 else []
            # A trial's number says which settings were drawn for it.
            unlike[arm] = (first, *([part for part in own if part.startswith(TRIAL)] or own))
    for alike in grouped(unlike, unlike.__getitem__).values():
        shared = set.intersection(*(set(parts[arm]) for arm in alike))
        for arm in alike:
            unlike[arm] = tuple(part for part in parts[arm] if part in unlike[arm] or part not in shared)
    called = {arm: replace(arm, called=dotted(*map(_in_words, unlike[arm]))) for arm in experiment.arms}
    (style, *more_styles), count = {arm.style for arm in experiment.arms} or {OTHER}, len(called)
    if not more_styles and count <= len(LINES) and (count > MOST_OF_A_STYLE or style == OTHER):
        styles = iter(LINES)  # lines of one colour, which dashes alone would have to tell apart
        called = {arm: replace(named, style=next(styles)) for arm, named in called.items()}
    return replace(experiment, arms=[*called.values()], baseline=called[baseline] if baseline else None)


def _most_have(names: Sequence[Sequence[str]]) -> set[str]:
    """The parts behind the first that more than half of the names have."""
    counts = Counter(part for _, *rest in names for part in rest)
    return {part for part, count in counts.items() if 2 * count > len(names)}


def has_parts(name: Text) -> bool:
    return isinstance(name, Joined) or (isinstance(name, str) and NAMES in name)


def _in_words(part: str) -> Text:
    name, is_setting, value = part.partition("=")
    return setting_text(name, value) if is_setting else part
