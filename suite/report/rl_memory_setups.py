"""Which cases of memory stand side by side: arms of one setup differ in the algorithm, and setups in anything else.

A setting that applies to some algorithms only, as a critic's does, tells arms apart and no setups.
"""

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from suite.report.alike import Pairs, case_key, defaults_in, differing, grouped, named_in
from suite.report.blocks import Text, joined
from suite.report.facets import case_facets
from suite.report.model.results import Results
from suite.report.rl_memory import MODEL, Holding, all_of, read_holding
from suite.report.rl_palette import ALGORITHM, lead_rank, shown_algorithm

OF_A_RECORD = ("workload", "evidence", "label")
TITLED = {*OF_A_RECORD, *MODEL}
"""What a title or a column of its own says."""
OWN = ("algorithm", "kl_coef")
"""Axes that an algorithm sets, and in which those of one figure may so differ."""
UNSAID = ("seed", "threads", "track_memory", "lr", "critic_lr", "lam")
"""What changes no size: of records that differ in it alone, the one that held most speaks."""
MOST_PROJECTED, MOST_MEASURED = 3, 2
"""Setups that are drawn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """One algorithm in a setup."""

    name: str
    own: Sequence[str]
    """Settings that other algorithms cannot have, such as the order in which a critic is updated."""
    holding: Holding


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Arms that agree in all but what their algorithms set, and in whether they were measured."""

    key: Pairs
    title: str
    settings: Sequence[str]
    """What tells it from other setups of the same model."""
    arms: Sequence[Arm]

    @property
    def first(self) -> Holding:
        return self.arms[0].holding

    @property
    def is_measured(self) -> bool:
        return self.first.is_measured

    @property
    def parameters(self) -> float:
        return max(arm.holding.parameters or 0.0 for arm in self.arms)

    def facets(self) -> dict[str, str]:
        """What every arm is about."""
        return case_facets(self.first.record.case.axes) | {
            name: text for name, text in self.first.facets.items() if name != "algorithm"
        }


@functools.lru_cache(maxsize=1)
def setups(results: Results) -> Sequence[Setup]:
    """The projected ones first, of either the largest model first, and of a model those with the most arms."""
    holdings = [one for current in results.records if (one := read_holding(current)) is not None]
    bound = _bound_to_an_algorithm(holdings)
    records = [holding.record for holding in holdings]
    named = named_in(records)
    defaults = defaults_in(records, named)
    found = grouped(holdings, lambda holding: _shared(holding, case_key(holding.record, named, defaults), bound))
    settings = settings_of(list(found))
    names = _arm_names([_own(holding, bound) for holding in holdings])
    made = [
        Setup(
            key=key,
            title=_title(key, settings[key], has_labels=results.several),
            settings=settings[key],
            arms=_arms({_own(holding, bound): holding for holding in sorted(part, key=_peak)}, names, bound),
        )
        for key, part in found.items()
    ]
    return sorted(made, key=lambda one: (one.is_measured, -one.parameters, -len(one.arms), one.title))


def _bound_to_an_algorithm(holdings: Sequence[Holding]) -> set[str]:
    """Settings that some algorithms always have and the others never, so that the two cannot agree in them."""
    given, empty = set[tuple[str, str]](), set[tuple[str, str]]()
    for holding in holdings:
        for name, value in all_of(holding.record).items():
            (given if value else empty).add((holding.algorithm, name))
    sometimes = {name for _, name in given & empty}
    return ({name for _, name in given} & {name for _, name in empty}) - sometimes


def _shared(holding: Holding, said: Pairs, bound: set[str]) -> Pairs:
    silent = {*OWN, *UNSAID, *bound, *OF_A_RECORD}
    pairs = [("evidence", str(holding.record.evidence)), ("label", holding.current.label)]
    pairs += [(name, value) for name, value in said if name not in silent]
    return (("workload", holding.record.case.workload), *pairs)


def settings_of(keys: Sequence[Pairs]) -> dict[Pairs, list[str]]:
    """What differs between setups of one workload, but for the model."""
    settings = {}
    for alike in _by_workload(keys):
        names = differing(alike) - TITLED
        settings.update({key: _written(key, names) for key in alike})
    return settings


def alike_in(keys: Sequence[Pairs]) -> dict[str, list[str]]:
    """By workload what all of its setups agree in."""
    found = {}
    for alike in _by_workload(keys):
        names = {name for name, _ in alike[0]} - differing(alike) - TITLED
        found[dict(alike[0])["workload"]] = _written(alike[0], names)
    return found


def _written(key: Pairs, names: Collection[str]) -> list[str]:
    return [f"{name}={value}" for name, value in key if name in names and value]


def _by_workload(keys: Sequence[Pairs]) -> list[list[Pairs]]:
    return list(grouped(dict.fromkeys(keys), lambda key: key[:1]).values())


def _title(key: Pairs, settings: Sequence[str], *, has_labels: bool) -> Text:
    values = dict(key)
    model = next(filter(None, (values.get(name) for name in MODEL)), "")
    label = values["label"] if has_labels else ""
    return joined(" · ", filter(None, [model, *settings, label]))


def _own(holding: Holding, bound: set[str]) -> Pairs:
    own = {*OWN, *bound} - {*UNSAID}
    pairs = [(name, value) for name, value in all_of(holding.record).items() if name in own and value]
    return (("workload", holding.record.case.workload), *pairs)


def _peak(holding: Holding) -> float:
    return holding.peak


def _arms(holdings: Mapping[Pairs, Holding], names: Mapping[Pairs, str], bound: set[str]) -> list[Arm]:
    """Of one key the holding that comes last."""
    arms = [Arm(name=names[key], own=_written(key, bound), holding=holding) for key, holding in holdings.items()]
    return sorted(arms, key=lambda arm: (lead_rank(ALGORITHM, arm.holding.algorithm), arm.name))


def _arm_names(keys: Iterable[Pairs]) -> dict[Pairs, Text]:
    """An algorithm by its name, and by what tells it from others of that name in any setup."""
    names = {}
    for alike in grouped(dict.fromkeys(keys), lambda key: key[:2]).values():
        differ = differing(alike)
        for key in alike:
            algorithm = shown_algorithm(dict(key).get("algorithm", ""))
            names[key] = joined(" · ", filter(None, [algorithm, *_written(key, differ)]))
    return names


def own_settings(arms: Iterable[Arm]) -> dict[str, str]:
    """By the name of an arm what it alone has; without those that have nothing."""
    return {arm.name: ", ".join(arm.own) for arm in arms if arm.own}


def drawn_setups(found: Sequence[Setup]) -> list[Setup]:
    """Of each model the setup with the most arms, and of those the most usual; of the largest models, those where arms
    stand side by side before the others.
    """
    usual = usual_of([setup.key for setup in found])
    best: dict[tuple[bool, str], Setup] = {}
    for setup in sorted(found, key=lambda one: (-len(one.arms), len(unusual(one.key, usual)))):
        best.setdefault((setup.is_measured, setup.first.model), setup)
    chosen = sorted((setup for setup in found if setup in best.values()), key=lambda one: len(one.arms) == 1)
    return [
        *[setup for setup in chosen if not setup.is_measured][:MOST_PROJECTED],
        *[setup for setup in chosen if setup.is_measured][:MOST_MEASURED],
    ]


def usual_of(keys: Sequence[Pairs]) -> dict[str, str]:
    """Of each setting in which setups differ the value that most of them have."""
    return {name: Counter(dict(key).get(name, "") for key in keys).most_common(1)[0][0] for name in differing(keys)}


def unusual(key: Pairs, usual: Mapping[str, str]) -> set[str]:
    """Settings in which a setup is not as most are, of those that it has."""
    return {name for name, value in key if name in usual and usual[name] != value}
