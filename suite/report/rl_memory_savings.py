"""How much less an algorithm without a critic holds than PPO, and over what that changes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suite.report.alike import Pairs, differing
from suite.report.rl_memory import MODEL
from suite.report.rl_memory_setups import TITLED, Arm, Setup, unusual, usual_of

BASELINE = "ppo"
PARAMETERS = "parameters"
OVER = (PARAMETERS, "seq_len", "num_generations", "prompts_per_step", "micro_batch", "shards")
"""What a curve is drawn over: the policy's parameters, or an axis whose values are numbers."""
MOST_LINES = 8
MOST = 1e15


@dataclass(frozen=True, kw_only=True, eq=False)
class Saving:
    """One algorithm against PPO, in one setup."""

    setup: Setup
    baseline: Arm
    arm: Arm

    @property
    def share(self) -> float:
        """Of PPO's peak; below zero where the other holds more."""
        return 1 - self.arm.holding.peak / self.baseline.holding.peak

    @property
    def pair(self) -> tuple[str, str]:
        return self.arm.name, self.baseline.name

    def at(self, over: str) -> float | None:
        value = self.setup.parameters if over == PARAMETERS else _number(dict(self.setup.key).get(over, ""))
        return value if value is not None and 0 < value < MOST else None


@dataclass(frozen=True, kw_only=True)
class Line:
    """Savings whose setups agree in everything but what the curve is over."""

    name: str
    """What tells it from a line of the usual settings; empty for that."""
    points: Sequence[Saving]


def savings(found: Iterable[Setup]) -> list[Saving]:
    return [
        Saving(setup=setup, baseline=baseline, arm=arm)
        for setup in found
        for baseline in setup.arms
        if baseline.holding.algorithm == BASELINE
        for arm in setup.arms
        if not arm.holding.algorithm.startswith(BASELINE)
    ]


def telling_pairs(found: Sequence[Saving]) -> list[list[Saving]]:
    """Of algorithms with a reference the one that most setups have, and of those without; each with its savings, the
    projected and the measured ones apart."""
    kinds: dict[tuple[bool, bool], dict[tuple[str, str], list[Saving]]] = {}
    for one in found:
        kind = one.setup.is_measured, not one.arm.holding.has_reference
        kinds.setdefault(kind, {}).setdefault(one.pair, []).append(one)
    return [max(kinds[kind].values(), key=len) for kind in sorted(kinds)]


def lines_over(over: str, found: Sequence[Saving]) -> list[Line]:
    """Those with two points at least; of too many those that differ the least from what is usual."""
    by_rest: dict[Pairs, dict[float, Saving]] = defaultdict(dict)
    for one in found:
        if (x := one.at(over)) is not None:
            by_rest[_rest(one.setup.key, over)][x] = one
    lines = {key: [points[x] for x in sorted(points)] for key, points in by_rest.items() if len(points) > 1}
    usual = usual_of([one.setup.key for one in found])
    odd = {key: unusual(key, usual) - {*MODEL} for key in lines}
    kept = sorted(lines, key=lambda key: (len(odd[key]), -len(lines[key])))[:MOST_LINES]
    return [Line(name=_name(key, odd[key], differing(kept)), points=lines[key]) for key in kept]


def usual_settings(found: Sequence[Saving]) -> list[str]:
    """What a line has that does not say otherwise."""
    usual = usual_of([one.setup.key for one in found])
    first = found[0].setup.key
    return [f"{name}={usual[name]}" for name, _ in first if name in usual and name not in TITLED and usual[name]]


def _rest(key: Pairs, over: str) -> Pairs:
    varied = MODEL if over == PARAMETERS else (over,)
    return tuple(pair for pair in key if pair[0] not in varied)


def _name(key: Pairs, odd: set[str], differ: set[str]) -> str:
    """The model, and what is unusual, where lines differ in it."""
    parts = [value if name in TITLED else f"{name}={value}" for name, value in key if name in differ & {*odd, *MODEL}]
    return ", ".join(filter(None, parts))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
