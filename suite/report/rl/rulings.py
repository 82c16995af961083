"""Findings by which a claim on reinforcement learning is ruled: comparisons, each of which may speak for it or against.

All that bear on one claim are judged together, by the one rule of suite.statistics.paired. A claim is supported where
every comparison that can tell speaks for it and contradicted where every one speaks against it; where they differ, it
depends on what they differ in. That seeds are few or tell nothing apart speaks for neither.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

from suite.report.blocks import Text, joined, say, say_or
from suite.report.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, SUPPORTED, Verdict
from suite.report.model.experiment import Arm, Contrast, Experiment, R, grouped
from suite.report.model.formats import with_range
from suite.report.model.labels import ALGORITHM
from suite.report.model.run import LABEL, Pairs
from suite.statistics.paired import JUDGED, Comparison, Outcome, judge_together

ABOUT = "about"
"""The measure of a finding, among the settings that a verdict may depend on."""
OTHER = "other "
"""Begins the name of a setting of the arm that is compared with."""
MOST_NAMED, MOST_VALUES = 4, 4
"""Findings of one measure that are told one by one, and settings that are told value by value."""
OTHER_WAY = {Outcome.HIGHER: Outcome.LOWER, Outcome.LOWER: Outcome.HIGHER}


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """A comparison that bears on a claim."""

    experiment: Experiment[Any]
    name: Text
    """The arms, or the one arm whose change it is."""
    found: Comparison
    text: Callable[[float], str]
    settings: Mapping[str, str]
    """The settings that it was taken at, its measure under ABOUT: a verdict may depend on these."""
    supports: Outcome | None = Outcome.HIGHER
    """The outcome that bears the claim out; None for what is told and decides nothing."""
    must_learn: bool = False
    """True where an arm that did not learn speaks against the claim."""

    @property
    def about(self) -> str:
        return self.settings[ABOUT]

    @property
    def ruling(self) -> str:
        """Return SUPPORTED, CONTRADICTED or LEFT_OPEN. Against a claim speaks evidence of the contrary alone: a
        difference the other way, or an interval that rules out one as large as matters.
        """
        outcome = self.found.outcome
        if self.supports is None:
            return LEFT_OPEN
        if outcome is self.supports:
            return SUPPORTED
        is_higher = self.supports is Outcome.HIGHER
        ruled_out = self.found.rules_out_higher if is_higher else self.found.rules_out_lower
        is_against = outcome is OTHER_WAY[self.supports] or (outcome in JUDGED and ruled_out)
        return CONTRADICTED if is_against or (self.must_learn and outcome is Outcome.FLOOR) else LEFT_OPEN


def between(
    contrast: Contrast[R],
    experiment: Experiment[R],
    about: str,
    *,
    supports: Outcome | None = Outcome.HIGHER,
    must_learn: bool = False,
    but: Collection[str] = (),
) -> Finding:
    """Return a finding of one arm less another. `but`: settings that its measure says already."""
    other = {OTHER + name: value for name, value in contrast.other.key}
    settings = {**settings_of(contrast.arm), **other}
    return Finding(
        experiment=experiment,
        name=say("claim.less", arm=contrast.arm.name, other=contrast.other.name),
        found=contrast.found,
        text=contrast.quantity.difference,
        settings={name: value for name, value in settings.items() if _own(name) not in but} | {ABOUT: about},
        supports=supports,
        must_learn=must_learn,
    )


def settings_of(arm: Arm[R]) -> dict[str, str]:
    """Return all settings of an arm."""
    return dict((*arm.setting, *arm.key))


def _own(name: str) -> str:
    """Return the name of a setting that both arms have."""
    return name if name == OTHER + ALGORITHM else name.removeprefix(OTHER)


def together(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of one claim, with Holm's correction over all of them."""
    found = judge_together([finding.found for finding in findings])
    return [replace(finding, found=judged) for finding, judged in zip(findings, found, strict=True)]


def rule(findings: Sequence[Finding], *facts: Text, known: Mapping[str, str] | None = None) -> Verdict | None:
    """Rule on a claim by its findings; None where there are none and nothing is known.

    `facts`: sentences before those on the findings. `known`: what is known without seeds, a ruling by measure.
    """
    judged, known = together(findings), known or {}
    if not judged and not known:
        return None
    rulings = [(finding.settings, finding.ruling) for finding in judged]
    rulings += [({ABOUT: about}, ruling) for about, ruling in known.items()]
    telling = [(settings, ruling) for settings, ruling in rulings if ruling != LEFT_OPEN]
    outcomes = {ruling for _, ruling in telling}
    names = depends_on(telling) if len(outcomes) > 1 else []
    outcome = DEPENDS if names else next(iter(outcomes), LEFT_OPEN)
    sentences = [*facts, *tell(judged), *by_value(judged, names)]
    return Verdict(outcome=outcome, text=joined("sentence", sentences), on=joined("list", map(setting_name, names)))


def depends_on(rulings: Sequence[tuple[Mapping[str, str], str]]) -> list[str]:
    """Return the settings that turn the ruling round with all else the same; where no two findings differ so little,
    those in which the most alike of unlike rulings differ.
    """
    differences = []
    for (settings, ruling), (others, other) in combinations(rulings, 2):
        if ruling != other:
            names = {name for name in {*settings, *others} if settings.get(name, "") != others.get(name, "")}
            is_known = {ABOUT} in (settings.keys(), others.keys())
            differences.append({ABOUT} if is_known or not names else {*map(_own, names)})
    alone = {name for names in differences if len(names) == 1 for name in names}
    # Nobody asks on which machine it depends where the task differs, too.
    least = min(differences, key=len)
    return sorted(alone or (least - {LABEL} if len(least) > 1 else least))


def setting_name(name: str) -> Text:
    """Return what a setting is called in a verdict."""
    return say_or(f"claim.on.{name}", name)


def tell(findings: Sequence[Finding]) -> list[Text]:
    """Tell the findings of each measure: one by one, or where they are many counted, with the ends of their range."""
    names, sentences = _experiment_names(findings), list[Text]()
    for about, same in grouped(findings, lambda finding: finding.about).items():
        parts = [_told(finding, names[finding.experiment.key]) for finding in same]
        if len(same) > MOST_NAMED:
            counts = {outcome: sum(finding.found.outcome is outcome for finding in same) for outcome in Outcome}
            counted = [say(f"verdict.count.{outcome}", count=count) for outcome, count in counts.items() if count]
            enough = [finding for finding in same if finding.found.outcome is not Outcome.FEW] or same
            by_size = sorted(enough, key=lambda finding: finding.found.mean)
            low, high = (_told(finding, names[finding.experiment.key]) for finding in (by_size[0], by_size[-1]))
            fields = {"counted": joined("notes", counted), "total": len(same), "low": low, "high": high}
            parts = [say("claim.range", **fields)]
        sentences.append(say("claim.measured", about=say(f"claim.about.{about}"), told=joined("notes", parts)))
    return sentences


def _experiment_names(findings: Iterable[Finding]) -> dict[Pairs, Text]:
    """Return each experiment's title by its key, with its settings where another of these has the same title."""
    found = {finding.experiment.key: finding.experiment for finding in findings}
    titles = [experiment.title for experiment in found.values()]
    return {key: one.title if titles.count(one.title) == 1 else one.name for key, one in found.items()}


def _told(finding: Finding, where: Text) -> Text:
    """Tell one finding: its difference with the interval, the number of pairs and the verdict."""
    found = finding.found
    fields = {"where": where, "name": finding.name, "count": found.pairs}
    said = say(f"claim.said.{found.outcome}")
    if found.interval is None:
        return say("claim.finding_single", **fields, said=said)
    return say("claim.finding", **fields, value=with_range(found.mean, found.interval, finding.text), said=said)


def by_value(findings: Sequence[Finding], names: Sequence[str]) -> list[Text]:
    """Count rulings by the values of the settings that a verdict depends on, where several findings have each."""
    sentences = list[Text]()
    for name in names[:MOST_VALUES]:
        of_value = grouped(findings, partial(_value, name))
        if name == ABOUT or len(of_value) < 2 or len(findings) <= MOST_NAMED:
            continue
        parts = []
        for value, same in of_value.items():
            rulings = [finding.ruling for finding in same]
            fields = {"value": value or say("claim.none"), "total": len(same)}
            counts = {"supported": rulings.count(SUPPORTED), "contradicted": rulings.count(CONTRADICTED)}
            parts.append(say("claim.by_value", **fields, **counts))
        sentences.append(say("claim.by", name=setting_name(name), told=joined("notes", parts)))
    return sentences


def _value(name: str, finding: Finding) -> str:
    return finding.settings.get(name) or finding.settings.get(OTHER + name, "")
