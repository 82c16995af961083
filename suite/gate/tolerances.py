"""How large a change may be before it fails: what people choose, and the noise that the gate measured on itself.

People choose in `conf/gate.yaml`. A benchmark whose own noise is larger than that would fail without a cause, so its
noise, learnt by running identical code against itself on one kind of machine, raises its floor.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from suite.configuration.files import conf_dir
from suite.configuration.values import one_of
from suite.gate.noise import Quantity, read_noise
from suite.gate.patterns import matches
from suite.records.metrics import METRICS

KEYS = ("floor", "target", "metrics", "cases", "operators")
LINE_KEYS = ("case", "span", "metric", "floor", "target")
FAIL, SHOW = "fail", "show"


@dataclass(frozen=True, kw_only=True)
class Line:
    """What people say of some benchmarks, by patterns; None leaves it as it is elsewhere."""

    case: str
    span: str
    metric: str
    floor: float | None
    target: float | None

    def means(self, case: str, span: str, metric: str) -> bool:
        return matches(self.case, case) and matches(self.span, span) and matches(self.metric, metric)


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """Floors and targets as shares: 0.02 is 2 %."""

    default_floor: float = 0.02
    default_target: float = 0.05
    metric_floors: Mapping[str, float] = field(default_factory=dict)
    lines: Sequence[Line] = ()
    noise: Mapping[Quantity, float] = field(default_factory=dict)
    """By case, span and metric, as learnt on this kind of machine."""
    operators: str = FAIL

    @classmethod
    def load(cls, noise: Path | None = None) -> "Tolerances":
        """From `conf/gate.yaml` and a file of learnt noise, which may not be there yet. Raises ValueError."""
        path = conf_dir() / "gate.yaml"
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ValueError(f"conf/gate.yaml cannot be read ({' '.join(str(error).split())})") from error
        return cls.of(settings, read_noise(noise) if noise is not None else {})

    @classmethod
    def of(cls, settings: Any, noise: Mapping[Quantity, float] | None = None) -> "Tolerances":
        """Of settings as `conf/gate.yaml` has them. Raises ValueError, in one sentence, for what it cannot mean."""
        settings = _object(settings, "conf/gate.yaml", KEYS)
        plain = {"floor": cls.default_floor, "target": cls.default_target, "operators": FAIL, **settings}
        metrics = _object(settings.get("metrics") or {}, "metrics", _noisy())
        lines = settings.get("cases") or []
        if not isinstance(lines, list):
            raise ValueError(f"cases must be a list of {{case, span, metric, floor, target}}; got {lines!r}")
        return cls(
            default_floor=_share(plain, "floor"),
            default_target=_share(plain, "target"),
            metric_floors={name: _share(metrics, name, "metrics.") for name in metrics},
            lines=[_line(line, f"cases[{index}]") for index, line in enumerate(lines)],
            noise=noise or {},
            operators=one_of(plain, "operators", (FAIL, SHOW)),
        )

    def floor(self, case: str, span: str, metric: str, *, usual: float | None = None) -> float:
        """The largest slowdown that is no failure: the larger of what people chose and the benchmark's own noise.

        `usual`: where no line says anything of the case.
        """
        chosen = self._said("floor", case, span, metric)
        if chosen is None:
            chosen = self.metric_floors.get(metric, self.default_floor) if usual is None else usual
        return max(chosen, self.noise.get((case, span, metric), 0.0))

    def target(self, case: str, span: str, metric: str, *, usual: float | None = None) -> float:
        """The slowdown that must be found. It is never below the floor: what may be, need not be ruled out."""
        chosen = self._said("target", case, span, metric)
        if chosen is None:
            chosen = self.default_target if usual is None else usual
        return max(chosen, self.floor(case, span, metric))

    def _said(self, name: str, case: str, span: str, metric: str) -> float | None:
        """Of the last line that says it."""
        said = [getattr(line, name) for line in self.lines if line.means(case, span, metric)]
        return next((value for value in reversed(said) if value is not None), None)


def _line(content: Any, where: str) -> Line:
    content = _object(content, where, LINE_KEYS)
    for name in ("case", "span", "metric"):
        if not isinstance(content.get(name, "*"), str) or not content.get(name, "*"):
            raise ValueError(f"{where}.{name} must be a text in which * stands for any; got {content[name]!r}")
    if "case" not in content or not {"floor", "target"} & content.keys():
        raise ValueError(f"{where} must have a case and a floor or a target; got {sorted(content)}")
    metric = content.get("metric", "*")
    if metric in METRICS and METRICS[metric].exact:
        raise ValueError(f"{where}.metric must be one of {', '.join(_noisy())}, since others are exact; got {metric!r}")
    floor, target = (_share(content, name, f"{where}.") if name in content else None for name in ("floor", "target"))
    return Line(case=content["case"], span=content.get("span", "*"), metric=metric, floor=floor, target=target)


def _noisy() -> tuple[str, ...]:
    """Metrics that a tolerance can be meant for; exact ones have none."""
    return tuple(name for name, metric in METRICS.items() if not metric.exact)


def _object(content: Any, where: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{where} must hold names and values; got {content!r}")
    unknown = [str(name) for name in content if name not in known]
    if unknown:
        raise ValueError(f"{where} may name {', '.join(known)}; got {', '.join(unknown)}")
    return content


def _share(content: Mapping[str, Any], name: str, where: str = "") -> float:
    """From 0 to below 1: a 2 that was meant as 2 % would let everything pass."""
    value = content[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 or math.isnan(value):
        raise ValueError(f"{where}{name} must be a share from 0 to below 1, where 0.02 is 2 %; got {value!r}")
    return float(value)
