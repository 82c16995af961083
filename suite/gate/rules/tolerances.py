"""Tolerances: the largest change that is no failure, as people choose it in `conf/gate.yaml`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite.configuration.files import conf_dir
from suite.configuration.untrusted import parse_yaml
from suite.configuration.values import clipped, one_of
from suite.records.metrics import METRICS
from suite.records.record import CorruptRecordError
from suite.records.stores.files import read_plain

KEYS = ("floor", "target", "metrics", "cases", "operators")
LINE_KEYS = ("case", "span", "metric", "floor", "target")
FAIL, SHOW = "fail", "show"


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Shares of one quantity: 0.02 is 2%."""

    minimum_effect: float
    """The largest slowdown that is no failure."""
    equivalence_margin: float
    """The slowdown that must be ruled out before a quantity is called the same."""


@dataclass(frozen=True, kw_only=True)
class ToleranceLine:
    """A line of `cases`: patterns of benchmarks and their tolerance; None leaves it as it is elsewhere."""

    case: str
    span: str
    metric: str
    minimum_effect: float | None
    equivalence_margin: float | None


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """The tolerance of every quantity, as shares."""

    default_minimum_effect: float = 0.02
    default_equivalence_margin: float = 0.05
    metric_minimum_effects: Mapping[str, float] = field(default_factory=dict)
    lines: Sequence[ToleranceLine] = ()
    operators: str = FAIL

    @classmethod
    def load(cls, path: Path | None = None) -> "Tolerances":
        """Read the tolerances in `path`, or the suite's own conf/gate.yaml. Raises ValueError for a file that cannot be
        read."""
        path = path or conf_dir() / "gate.yaml"
        try:
            settings = parse_yaml(read_plain(path))
        except (CorruptRecordError, ValueError) as error:
            raise ValueError(f"conf/gate.yaml cannot be read ({error})") from error
        return cls.from_settings(settings)

    @classmethod
    def from_settings(cls, settings: Any) -> "Tolerances":
        """Make tolerances of the content of conf/gate.yaml. Raises ValueError for what is not allowed."""
        settings = _object(settings, "conf/gate.yaml", KEYS)
        plain = {"floor": cls.default_minimum_effect, "target": cls.default_equivalence_margin, "operators": FAIL}
        plain |= settings
        metrics = _object(settings.get("metrics") or {}, "metrics", _noisy())
        lines = settings.get("cases") or []
        if not isinstance(lines, list):
            raise ValueError(f"cases must be a list of {{case, span, metric, floor, target}}; got {clipped(lines)}")
        return cls(
            default_minimum_effect=_share(plain, "floor"),
            default_equivalence_margin=_share(plain, "target"),
            metric_minimum_effects={name: _share(metrics, name, "metrics.") for name in metrics},
            lines=[_line(line, f"cases[{index}]") for index, line in enumerate(lines)],
            operators=one_of(plain, "operators", (FAIL, SHOW)),
        )

    def tolerance(self, case: str, span: str, metric: str) -> Tolerance:
        """The tolerance of one quantity: by the last matching line, else the metric's or the default. The margin is
        never below the minimum effect: what is allowed need not be ruled out."""
        effect = self.metric_minimum_effects.get(metric, self.default_minimum_effect)
        margin = self.default_equivalence_margin
        for line in self.lines:
            if all(map(matches, (line.case, line.span, line.metric), (case, span, metric))):
                effect = effect if line.minimum_effect is None else line.minimum_effect
                margin = margin if line.equivalence_margin is None else line.equivalence_margin
        return Tolerance(minimum_effect=effect, equivalence_margin=max(margin, effect))


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches a pattern, in which only `*` is special and stands for any text. fnmatch would read the
    brackets of `a.py::t[x-1]` as a choice of letters, so that the id would not match itself."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text, re.DOTALL) is not None


def _line(content: Any, where: str) -> ToleranceLine:
    """Read a line of `cases`. `where`: its place, for errors. Raises ValueError, also for a line on an exact metric."""
    content = _object(content, where, LINE_KEYS)
    for name in ("case", "span", "metric"):
        if not isinstance(content.get(name, "*"), str) or not content.get(name, "*"):
            raise ValueError(f"{where}.{name} must be a text in which * stands for any; got {clipped(content[name])}")
    if "case" not in content or not {"floor", "target"} & content.keys():
        raise ValueError(f"{where} must have a case and a floor or a target; got {sorted(content)}")
    metric = content.get("metric", "*")
    if metric in METRICS and METRICS[metric].exact:
        raise ValueError(
            f"{where}.metric must be one of {', '.join(_noisy())}, since others are exact; got {clipped(metric)}"
        )
    effect, margin = (_share(content, name, f"{where}.") if name in content else None for name in ("floor", "target"))
    return ToleranceLine(
        case=content["case"],
        span=content.get("span", "*"),
        metric=metric,
        minimum_effect=effect,
        equivalence_margin=margin,
    )


def _noisy() -> tuple[str, ...]:
    return tuple(name for name, metric in METRICS.items() if not metric.exact)


def _object(content: Any, where: str, names: Sequence[str]) -> dict[str, Any]:
    """The content itself, if it is a dictionary with no other keys than `names`; else raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} must hold names and values; got {clipped(content)}")
    unknown = [str(name) for name in content if name not in names]
    if unknown:
        raise ValueError(f"{where} may name {', '.join(names)}; got {clipped(', '.join(unknown))[1:-1]}")
    return content


def _share(content: Mapping[str, Any], name: str, where: str = "") -> float:
    """The value of a field, from 0 to below 1; else raises ValueError. A 2 meant as 2% would let everything pass."""
    value = content[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise ValueError(f"{where}{name} must be a share from 0 to below 1, where 0.02 is 2%; got {clipped(value)}")
    return float(value)
