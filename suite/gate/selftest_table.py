"""What the self-test found, as a table: false alarms and power, with Wilson's 95 % intervals."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from suite.statistics.proportions import wilson

HEAD = ("form", "injected", "runs", "runs with slower", "slower", "faster", "same", "inconclusive", "median s", "to")
FORMS = {"two_workers": "two workers", "one_process": "one process"}
MOST_OFTEN = 0.9


def table(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row for each form and injected slowdown, worst intervals in brackets; below it what can be seen at all."""
    groups = sorted({(run["form"], run["slowed"]) for run in runs}, key=lambda key: (key[0] != "two_workers", key[1]))
    rows = [HEAD, *(_row(key, [run for run in runs if (run["form"], run["slowed"]) == key]) for key in groups)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, "", *_visible(runs), *_broken(runs)]


def _row(key: tuple[str, float], runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    form, slowed = key
    outcomes = [one["outcome"] for run in runs for one in run["benchmarks"]]
    alarmed = sum(any(one["outcome"] == "slower" for one in run["benchmarks"]) for run in runs)
    measured_s = sorted(run["measured_s"] for run in runs)
    return (
        FORMS[form],
        f"+{slowed:.0%}" if slowed else "nothing",
        str(len(runs)),
        _share(alarmed, len(runs)),
        *(_share(outcomes.count(outcome), len(outcomes)) for outcome in ("slower", "faster", "same", "inconclusive")),
        f"{median(measured_s):.0f}",
        f"{measured_s[-1]:.0f}",
    )


def _share(successes: int, trials: int) -> str:
    if trials == 0:
        return "-"
    found = wilson(successes, trials)
    return f"{successes} of {trials} ({100 * found.low:.1f}–{100 * found.high:.1f} %)"


def _visible(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The smallest injected slowdown that each benchmark's runs found in nine cases of ten."""
    found: dict[str, dict[float, list[bool]]] = {}
    for run in runs:
        for one in run["benchmarks"] if run["form"] == "two_workers" and run["slowed"] else ():
            shares = found.setdefault(f"{one['case']} · {one['span']}", {})
            shares.setdefault(run["slowed"], []).append(one["outcome"] == "slower")
    if not found:
        return []
    told = {name: _smallest(shares) for name, shares in found.items()}
    counts = {share: sum(one == share for one in told.values()) for share in sorted(set(told.values()), key=str)}
    parts = [f"{'none of those' if share is None else f'+{share:.0%}'}: {count}" for share, count in counts.items()]
    return [f"the smallest injected slowdown that {MOST_OFTEN:.0%} of runs found, by benchmarks: {'; '.join(parts)}"]


def _smallest(shares: Mapping[float, Sequence[bool]]) -> float | None:
    """None where none of them is found so often."""
    return min((share for share, hits in shares.items() if sum(hits) >= MOST_OFTEN * len(hits)), default=None)


def _broken(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"broken: {run['name']}: {reason}" for run in runs for reason in run["broken"].values()]
