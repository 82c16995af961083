"""Rulings on a claim by comparisons, each of which may speak for it or against.

All pairs that bear on one claim are judged together, by the one rule of suite.statistics.paired; timings are told apart
by their intervals over launches, and sizes need no statistics. A claim is supported where every comparison that can
tell speaks for it and contradicted where every one speaks against it; where they differ, it depends on what they differ
in. That seeds are few or tell nothing apart speaks for neither.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from suite.records import numbers
from suite.records.machines import plain_name
from suite.report.answers.claims import CONTRADICTED, DEPENDS, LEFT_OPEN, SUPPORTED, Verdict
from suite.report.answers.leads import lead_of_pairs
from suite.report.blocks import Lead, Say, Text, dotted, joined, say, say_or
from suite.report.model.experiment import Arm, Contrast, Experiment, grouped
from suite.report.model.formats import points, with_range
from suite.report.model.labels import ALGORITHM, RECIPE, label_of, phase_name, variant_label
from suite.report.model.run import LABEL, Pairs, machine_name, number_of
from suite.report.rl.design import RlArm, RlExperiment, RlRun
from suite.statistics.paired import JUDGED, TOLD_APART, Comparison, Outcome, judge_together

ABOUT = "about"
"""The measure of a finding, among the settings that a verdict may depend on."""
OTHER = "other "
"""Begins the name of a setting of the arm that is compared with."""
MOST_NAMED, MOST_GROUPS = 4, 4
"""Findings of one measure that are told one by one, and groups that are counted."""
LEAST_GAIN = 0.02
"""The share of rulings that a second setting must explain beside the first to be named."""
OTHER_WAY = {Outcome.HIGHER: Outcome.LOWER, Outcome.LOWER: Outcome.HIGHER}


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """The word of one comparison on a claim, and the settings that it was made at."""

    settings: Mapping[str, str]
    ruling: str
    """SUPPORTED, CONTRADICTED or LEFT_OPEN."""

    def value(self, name: str) -> str:
        """Return a setting of either arm; numbers that are equal are written alike."""
        value = self.settings.get(name) or self.settings.get(OTHER + name, "")
        number = number_of(value)
        return value if number is None else f"{number:g}"


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
    machine: str = ""
    """The machine that its first run ran on."""
    measure: str = ""
    """The word for its measure where its name says already what is compared."""
    short: Text = ""
    """The arms by their algorithm or recipe alone, where that tells them apart."""
    extras: int = 0
    """Settings that the arms' cases name besides the axes: the fewer, the nearer to the defaults."""

    @property
    def about(self) -> str:
        return self.settings[ABOUT]

    @property
    def ruled(self) -> Ruled:
        return Ruled(settings=self.settings, ruling=self.ruling)

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
    contrast: Contrast[RlRun],
    experiment: RlExperiment,
    about: str,
    *,
    supports: Outcome | None = Outcome.HIGHER,
    must_learn: bool = False,
    but: Collection[str] = (),
) -> Finding:
    """Return a finding of one arm less another. `but`: settings that its measure says already."""
    arms, other = (contrast.arm, contrast.other), {OTHER + name: value for name, value in contrast.other.key}
    told = next((name for name in (RECIPE, ALGORITHM) if len({arm.first.value(name) for arm in arms}) > 1), "")
    names = [short_name(arm, told) for arm in arms] if told else []
    settings = {**settings_of(contrast.arm), **other}
    return Finding(
        experiment=experiment,
        name=say("claim.less", arm=contrast.arm.name, other=contrast.other.name),
        found=contrast.found,
        text=contrast.quantity.difference,
        settings={name: value for name, value in settings.items() if _own(name) not in but} | {ABOUT: about},
        supports=supports,
        must_learn=must_learn,
        machine=machine_of(contrast.arm),
        short=say("claim.less", arm=names[0], other=names[1]) if names else "",
        extras=extras_of(contrast.arm) + extras_of(contrast.other),
    )


def short_name(arm: RlArm, name: str = ALGORITHM) -> Text:
    """Return an arm's algorithm, or its recipe."""
    return label_of(name, arm.first.value(name))


def extras_of(arm: Arm[Any]) -> int:
    """Count the settings that an arm's case names besides the axes."""
    return len(arm.first.record.case.extras)


def machine_of(arm: Arm[Any]) -> str:
    """Return the name of the machine that an arm's first run ran on."""
    return plain_name(machine_name(arm.first.record))


def settings_of(arm: RlArm) -> dict[str, str]:
    """Return all settings of an arm."""
    return dict((*arm.setting, *arm.key))


def _own(name: str) -> str:
    """Return the name of a setting that both arms have."""
    return name if name == OTHER + ALGORITHM else name.removeprefix(OTHER)


def together(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings of one claim, with Holm's correction over all of them."""
    found = judge_together([finding.found for finding in findings])
    return [replace(finding, found=judged) for finding, judged in zip(findings, found, strict=True)]


def rule(
    findings: Sequence[Finding],
    *facts: Text,
    known: Mapping[str, str] | None = None,
    lead_about: Collection[str] = (),
) -> Verdict | None:
    """Rule on a claim by its findings; None where there are none and nothing is known.

    `facts`: sentences before those on the findings. `known`: what is known without seeds, a ruling by measure.
    `lead_about`: measures of which the lead is one, where any has a finding; else the first that there is.
    """
    judged, known = together(findings), known or {}
    if not judged and not known:
        return None
    ruled = [finding.ruled for finding in judged if finding.supports]
    ruled += [Ruled(settings={ABOUT: about}, ruling=ruling) for about, ruling in known.items()]
    outcome, names = settle(ruled)
    first = most_telling(judged, outcome, lead_about)
    return Verdict(
        outcome=outcome,
        text=joined("sentence", [*facts, *tell(judged)]),
        on=joined("list", map(setting_name, names)),
        lead=lead_of(first) if first else None,
        flips=told_flips(ruled, names) if names or first is None else _far_end(judged, first),
        # What is projected on any machine is no measurement of this one.
        machine=first.machine if first and (first.found.is_tested or not known) else "",
        suffices=bool(known) or any(finding.found.is_tested for finding in judged if finding.supports),
    )


def settle(ruled: Sequence[Ruled]) -> tuple[str, list[str]]:
    """Return the outcome of all rulings on a claim, and the settings that turn it round."""
    telling = [one for one in ruled if one.ruling != LEFT_OPEN]
    outcomes = {one.ruling for one in telling}
    names = depends_on(telling) if len(outcomes) > 1 else []
    return DEPENDS if names else next(iter(outcomes), LEFT_OPEN), names


def depends_on(telling: Sequence[Ruled]) -> list[str]:
    """Return the settings that turn the ruling round with all else the same; where no two comparisons differ so little,
    those in which the most alike of unlike rulings differ. Of many the one or two that explain the most rulings.
    """
    differences = []
    for one, other in combinations(telling, 2):
        if one.ruling != other.ruling:
            settings, others = one.settings, other.settings
            names = {name for name in {*settings, *others} if settings.get(name, "") != others.get(name, "")}
            is_known = {ABOUT} in (settings.keys(), others.keys())
            differences.append({ABOUT} if is_known or not names else {*map(_own, names)})
    alone = {name for names in differences if len(names) == 1 for name in names}
    # Nobody asks on which machine it depends where the task differs, too.
    least = min(differences, key=len)
    chosen = explaining(telling, sorted(alone or (least - {LABEL} if len(least) > 1 else least)))
    if _told_by(telling, chosen) == _told_by(telling, []):
        # They turn single pairs round, and tell nothing of the rest: what comes in several settings at once does.
        every = {_own(name) for one in telling for name in one.settings}
        chosen = explaining(telling, sorted(name for name in every if len({one.value(name) for one in telling}) > 1))
    return sorted(chosen)


def explaining(telling: Sequence[Ruled], names: Sequence[str]) -> list[str]:
    """Return the setting by whose values the most rulings can be told, or two of them where those tell more by
    LEAST_GAIN; of as many the first. There is one at least.
    """
    told = {name: _told_by(telling, [name]) for name in names}
    best = max(told, key=lambda name: told[name])
    pairs = {pair: _told_by(telling, pair) for pair in combinations(names, 2)}
    if not pairs:
        return [best]
    two = max(pairs, key=lambda pair: pairs[pair])
    return [*two] if pairs[two] - told[best] >= max(1, LEAST_GAIN * len(telling)) else [best]


def _told_by(telling: Sequence[Ruled], names: Sequence[str]) -> int:
    """Count the rulings that are as most of their group, where groups agree in these settings."""
    groups = grouped(telling, lambda one: tuple(map(one.value, names))).values()
    return sum(max(_count(group, SUPPORTED), _count(group, CONTRADICTED)) for group in groups)


def _count(ruled: Iterable[Ruled], ruling: str) -> int:
    return sum(one.ruling == ruling for one in ruled)


def told_flips(ruled: Sequence[Ruled], names: Sequence[str]) -> Text:
    """Say where the outcome is another: count rulings by the values of what it depends on, or by measure."""
    by = list(names) or [ABOUT]
    groups = grouped(ruled, lambda one: tuple(map(one.value, by)))
    if len(groups) > MOST_GROUPS:
        by = by[:1]
        groups = grouped(ruled, lambda one: (one.value(by[0]),))
    if len(groups) < 2:
        fields = {"total": len(ruled), "open": _count(ruled, LEFT_OPEN)}
        return say("answer.flips.open" if fields["open"] else "answer.flips.never", **fields) if ruled else ""
    by_size = sorted(groups.items(), key=lambda item: -sum(one.ruling != LEFT_OPEN for one in item[1]))[:MOST_GROUPS]
    parts = []
    for values, group in by_size:
        named = joined("list", [value_text(name, value) for name, value in zip(by, values, strict=True)])
        fields = {
            "total": len(group),
            "supported": _count(group, SUPPORTED),
            "contradicted": _count(group, CONTRADICTED),
        }
        parts.append(say("answer.flips.of", where=named, **fields))
    return joined("notes", parts)


def _far_end(findings: Sequence[Finding], lead: Finding) -> Text:
    """Count what the findings of the lead's measure say, and tell the one furthest the other way; before it the one at
    the plainest settings, in the middle of several, where the lead is at others.
    """
    same = [finding for finding in findings if finding.about == lead.about and finding.supports]
    if len(same) < 2:
        return told_flips([finding.ruled for finding in findings if finding.supports], [])
    rulings = [finding.ruling for finding in same]
    fields = {"total": len(same), "supported": rulings.count(SUPPORTED), "contradicted": rulings.count(CONTRADICTED)}
    furthest = max(same, key=lambda finding: -finding.found.mean if lead.found.mean > 0 else finding.found.mean)
    tested = [finding for finding in same if finding.found.is_tested]
    plain = _in_the_middle([one for one in tested if one.extras == min(other.extras for other in tested)])
    sentences = [say("answer.flips.far", told=_briefly(furthest), **fields)]
    is_elsewhere = plain is not None and plain.extras < lead.extras and lead.name != lead.short
    sentences += [say("answer.flips.plain", told=_briefly(plain))] if plain and is_elsewhere else []
    return joined("sentence", sentences)


def _briefly(finding: Finding) -> Text:
    """Tell a finding's number and what may be said of it."""
    lead = lead_of(finding)
    fields = {"value": lead.written, "interval": lead.interval or numbers.NOTHING}
    return say("answer.flips.told", said=say(f"claim.said.{finding.found.outcome}"), where=_where(finding), **fields)


def value_text(name: str, value: str) -> Text:
    """Return the value of a setting as a line on where a verdict flips says it."""
    if name == ABOUT:
        return say(f"claim.about.{value}")
    if name == "phase":
        return phase_name(value)
    if name == "versus":
        return say("answer.value.versus", value=variant_label(value))
    if name.removeprefix(OTHER) in (ALGORITHM, RECIPE):
        return label_of(name.removeprefix(OTHER), value)
    written = value or say("answer.value.default")
    return Say(f"answer.value.{name}", (("value", written),), otherwise=joined(" = ", [setting_name(name), written]))


def most_telling(findings: Sequence[Finding], outcome: str, about: Collection[str] = ()) -> Finding | None:
    """Return the finding that leads a verdict: one that was tested, bears it out and tells apart, nearest to the
    defaults and of the most pairs. Of several such the one in the middle: the largest would promise too much.
    """
    decisive = [finding for finding in findings if finding.supports]
    bearing = [finding for finding in decisive if finding.ruling == outcome] or decisive
    wanted = [finding for finding in bearing if finding.about in about] or bearing

    def place(finding: Finding) -> tuple[bool, bool, int, int]:
        found = finding.found
        return found.is_tested, found.outcome in TOLD_APART, -finding.extras, found.pairs

    best = max(map(place, wanted), default=None)
    alike = [
        finding for finding in wanted if place(finding) == best and finding.about == _first_about(wanted, best, place)
    ]
    return _in_the_middle(alike)


def _in_the_middle(findings: Sequence[Finding]) -> Finding | None:
    in_order = sorted(findings, key=lambda finding: finding.found.mean)
    return in_order[len(in_order) // 2] if in_order else None


def _first_about(findings: Sequence[Finding], best: Any, place: Callable[[Finding], Any]) -> str:
    return next(finding.about for finding in findings if place(finding) == best)


def _where(finding: Finding) -> Text:
    """Return the task and the policy of a finding."""
    named = dotted(*filter(None, map(finding.experiment.value, ("task", "policy"))))
    return named or finding.experiment.title


def lead_of(finding: Finding) -> Lead:
    """Return a finding as the one number of a verdict."""
    measure = say(f"claim.about.{finding.measure or finding.about}")
    fields = {"measure": measure, "where": _where(finding)}
    about = say("answer.about", name=finding.short, **fields) if finding.short else say("answer.about.alone", **fields)
    return lead_of_pairs(finding.found, finding.text, about)


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
        measured = "claim.measured_points" if same[0].text is points else "claim.measured"
        sentences.append(say(measured, about=say(f"claim.about.{about}"), told=joined("notes", parts)))
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
