"""How often `suite compare --fail-on` fails where nothing differs, and how often it finds what does.

    OMP_NUM_THREADS=1 .ci/tool benchmarks.compare_fail_on [200]

A round chooses so many committed cases and deals each one's eight launches to two sides at random, four to each, or its
ten seeds, five to each, paired at random. Then all times of the first side grow, or all its accuracies fall, by a known
amount, and the shipped judgement is asked. The launches of a record are of one minute: hours are not in these rates.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from suite.console.fail_on import judge
from suite.console.summary import Cost, Summary, SummaryEntry
from suite.records.derived import by_launch
from suite.records.metrics import EVALUATE
from suite.records.record import Reading, Record
from suite.records.stores.store import read_contents
from suite.statistics.intervals import launched_interval
from tools.benchmarks.rates import aligned, share

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
TIMED, TRAINED = ("cpu/train_matched", "cpu/mha_heavy", "cpu_variants"), ("cpu_rl_why",)
LAUNCHES, SEEDS, ACCURACY = 8, 10, "heldout_accuracy"
CASES, WORSE_BY = (1, 5, 20), (0.0, 0.05, 0.10, 0.20, 0.50)
HEADS = ("--fail-on", "cases", *(f"+{amount:.0%}, or −{100 * amount:.0f} points" for amount in WORSE_BY))
Case = tuple[Record, Sequence[Any]]  # with its samples by launch, or its last accuracies by seed


def timed_cases() -> list[Case]:
    records = {run.record.case.id: run.record for run in read_contents([REFERENCE / name for name in TIMED]).stored}
    cases = [(record, by_launch(record.series("latency_s", "layer"))) for record in records.values()]
    return [(replace(record, readings=()), launches) for record, launches in cases if len(launches) == LAUNCHES]


def trained_cases() -> list[Case]:
    arms, cases = defaultdict[str, list[Record]](list), []
    for run in read_contents([REFERENCE / name for name in TRAINED]).stored:
        arms[run.record.case.id.replace(f" seed={run.record.case.axes['seed']} ", " ")].append(run.record)
    for records in arms.values():
        last = [max(record.series(ACCURACY, EVALUATE), key=lambda row: row.step).value for record in records]
        # Beyond these means an arm cannot fall, or its task tells nothing.
        cases += [(records[0], last)] if len(last) == SEEDS and 0.2 < fmean(last) < 0.95 else []
    return cases


def entries(record: Record, values: Sequence[Any], label: str, worse_by: float) -> list[SummaryEntry]:
    if not record.readings:
        interval = launched_interval([np.multiply(samples, 1 + worse_by) for samples in values])
        summary = Summary(cost=Cost(number=interval.median, interval=interval))
        return [SummaryEntry(record=replace(record), summary=summary, label=label)]  # one record is one run
    runs = []
    for seed, accuracy in enumerate(values):
        case = replace(record.case, axes={**record.case.axes, "seed": seed})
        readings = [Reading(step=0, span=EVALUATE, metric=ACCURACY, value=max(0.0, accuracy - worse_by))]
        runs.append(replace(record, case=case, readings=readings))
    return [SummaryEntry(record=run, summary=Summary(), label=label) for run in runs]


def failures(pool: Sequence[Case], cases: int, fail_on: str, worse_by: float, rounds: int) -> int:
    """In how many rounds a comparison of so many cases fails, where the first side of each is worse by so much."""
    generator, count = np.random.default_rng(cases), 0
    for _ in range(rounds):
        folders: list[list[SummaryEntry]] = [[], []]
        for number in generator.choice(len(pool), size=cases, replace=False):
            record, values = pool[number]
            halves = np.split(generator.permutation(len(values)), 2)
            for folder, half, label, amount in zip(folders, halves, "AB", (worse_by, 0.0), strict=True):
                folder += entries(record, [values[place] for place in half], label, amount)
        count += judge(folders, None, None, fail_on, 0)[0]
    return count


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"Share of comparisons that fail, of {rounds} a cell, with Wilson's 95% intervals")
    widths = (9, 5, *(23 for _ in WORSE_BY))
    print(aligned(HEADS, widths))
    for fail_on, pool in (("slower", timed_cases()), ("worse", trained_cases())):
        for cases in CASES:
            counts = [failures(pool, cases, fail_on, worse_by, rounds) for worse_by in WORSE_BY]
            shares = [share(count, rounds, has_counts=False) for count in counts]
            print(aligned((fail_on, str(cases), *shares), widths), flush=True)
