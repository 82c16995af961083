"""Whether the gate's standard errors are as wide as its ratios really spread, on identical code.

    python tests/benchmarks/gate_calibration.py FOLDER

FOLDER is what `suite gate selftest --out FOLDER` wrote, finished or not; its identical runs of two workers are read.
Each benchmark of each run gives z, the log-ratio over its standard error, from the first two launches alone: every run
has those, since nothing is decided before their end, so that z does not depend on when a run stopped. Were the errors
right, z would have Student's t; its standard deviation and the 99 % quantile of |z| are printed beside t's own. Below
the rule as shipped stand errors from rounds alone: the standard deviation of the median when blocks of neighbouring
rounds are drawn anew within each launch. What differs between launches is not in them. Few rounds alone make an error
too narrow or too wide, whatever the launches do: how much is in the last columns, of normal rounds without any such
difference, as many in each launch as were recorded.

The benchmarks of one run shared its launches, so the intervals are of a bootstrap over whole runs.
"""

import argparse
import json
import math
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suite.gate.rules.decision import AFTER, BEFORE, LEAST_LAUNCHES, LEAST_ROUNDS, Benchmark
from suite.gate.selftest import ABOUT, TWO_WORKERS, read_runs
from suite.records.record import CorruptRecordError
from suite.statistics.launches import effects
from suite.statistics.student import t_quantile
from tests.benchmarks.selftest_tables import samples_of, tables_in

BLOCKS = (1, 2, 3)
RESAMPLES = 400
QUANTILE = 0.99
Launches = Sequence[NDArray[np.float64]]
"""Log-ratios of one benchmark, by launch and round."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    try:
        runs = read(asked.folder)
    except (ValueError, OSError, CorruptRecordError) as error:
        print(f"gate_calibration: {error}", file=sys.stderr)
        return 4
    print("\n".join(report(runs)))
    return 0


def read(folder: Path) -> list[list[Launches]]:
    """By run and benchmark. A run that has no table, or no benchmark that ran in two launches, is left out.

    Raises ValueError where none is left.
    """
    about = folder / ABOUT
    if not about.exists():
        raise ValueError(f"{folder} must be a folder that `suite gate selftest --out` wrote; it has no {ABOUT}")
    benchmarks = [Benchmark(**one) for one in json.loads(about.read_text(encoding="utf-8"))["benchmarks"]]
    columns = {(one.case, one.span): one.column for one in benchmarks}
    runs = []
    tables = tables_in(folder)
    for line in read_runs(folder):
        if (line["form"], line["slowed"]) == (TWO_WORKERS, 0) and line["name"] in tables:
            runs.append(_log_ratios(tables[line["name"]], columns))
    if not (runs := [run for run in runs if run]):
        raise ValueError(f"{folder} holds no identical run of two workers")
    return runs


def _log_ratios(table: Path | zipfile.Path, columns: Mapping[tuple[str, str], str]) -> list[Launches]:
    times: dict[tuple[str, str], dict[int, dict[int, dict[int, float]]]] = {}
    for sample in samples_of(table):
        key = sample["case"], sample["span"]
        if sample["launch"] <= LEAST_LAUNCHES:
            rounds = times.setdefault(key, {}).setdefault(sample["launch"], {})
            rounds.setdefault(sample["round"], {})[sample["arm"]] = sample[columns[key]]
    found = []
    for of_launches in times.values():
        series = [
            np.array([math.log(rounds[number][AFTER] / rounds[number][BEFORE]) for number in sorted(rounds)])
            for rounds in of_launches.values()
            if len(rounds) >= LEAST_ROUNDS
        ]
        found += [series] if len(series) == LEAST_LAUNCHES else []
    return found


def report(runs: Sequence[Sequence[Launches]]) -> Iterator[str]:
    """The lines to print."""
    counts = [len(launch) for run in runs for benchmark in run for launch in benchmark]
    yield (
        f"{len(runs)} identical runs of two workers, {sum(map(len, runs))} benchmarks in them; "
        f"rounds a launch: {min(counts)} to {max(counts)}, median {np.median(counts):.0f}"
    )
    freedom = effects(runs[0])[0].freedom
    expected = math.sqrt(freedom / (freedom - 2)) if freedom > 2 else math.inf
    simulated = independent(runs)
    heads = ("sd of z", f"{QUANTILE:.0%} quantile of |z|", "both, were launches alike")
    yield "{:<44}{:<22}{:<24}{}".format("standard error", *heads)
    reach = t_quantile((1 + QUANTILE) / 2, freedom)
    yield f"{f'Student with {freedom} degrees, were it right':<44}{expected:<22.2f}{reach:.2f}"
    yield _row("as shipped, rounds and launches", [[shipped(run) for run in of] for of in (runs, simulated)])
    for length in BLOCKS:
        found = [[bootstrapped(run, length) for run in of] for of in (runs, simulated)]
        yield _row(f"bootstrap within launches, blocks of {length}", found)


def independent(runs: Sequence[Sequence[Launches]], times: int = 4) -> list[list[Launches]]:
    """Runs of the same numbers of rounds, each several times, whose rounds know nothing of their launch."""
    generator = np.random.default_rng(0)
    return [
        [[generator.normal(size=len(launch)) for launch in benchmark] for benchmark in run]
        for run in runs
        for _ in range(times)
    ]


def shipped(run: Sequence[Launches]) -> list[float]:
    return [one.estimate / one.error for one in effects(run) if one.error]


def bootstrapped(run: Sequence[Launches], length: int, resamples: int = RESAMPLES, seed: int = 0) -> list[float]:
    """z with the bootstrap's error: blocks of so many rounds, that may wrap around, drawn within each launch.

    H. R. Künsch, The jackknife and the bootstrap for general stationary observations, Annals of Statistics 17 (1989).
    """
    generator = np.random.default_rng(seed)
    found = []
    for launches in run:
        drawn = []
        for launch in launches:
            count = len(launch)
            starts = generator.integers(count, size=(resamples, -(-count // length), 1))
            drawn.append(launch[((starts + np.arange(length)) % count).reshape(resamples, -1)[:, :count]])
        error = float(np.std(np.median(np.concatenate(drawn, axis=1), axis=1), ddof=1))
        found += [float(np.median(np.concatenate(launches))) / error] if error else []
    return found


def _row(name: str, recorded_and_simulated: Sequence[Sequence[Sequence[float]]]) -> str:
    recorded, simulated = recorded_and_simulated
    told = [_with_interval(recorded, statistic) for statistic in (_spread, _reach)]
    z = np.concatenate([np.array(one) for one in simulated])
    return f"{name:<44}{told[0]:<22}{told[1]:<24}{_spread(z):.2f}, {_reach(z):.2f}"


def _with_interval(of_runs: Sequence[Sequence[float]], statistic: Callable[[NDArray[np.float64]], float]) -> str:
    """With a 95 % interval from drawing whole runs anew."""
    generator, runs = np.random.default_rng(0), [np.array(one) for one in of_runs]
    drawn = [
        statistic(np.concatenate([runs[index] for index in generator.integers(len(runs), size=len(runs))]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{statistic(np.concatenate(runs)):.2f} [{low:.2f}, {high:.2f}]"


def _spread(z: NDArray[np.float64]) -> float:
    """About zero, which is the truth here."""
    return float(np.sqrt(np.mean(z**2)))


def _reach(z: NDArray[np.float64]) -> float:
    return float(np.quantile(np.abs(z), QUANTILE))


if __name__ == "__main__":
    sys.exit(main())
