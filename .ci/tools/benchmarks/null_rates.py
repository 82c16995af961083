"""How often the page asserts a difference where there is none, and what it says where there is one.

`OMP_NUM_THREADS=1 .ci/tool benchmarks.null_rates` reads the committed records, removes every difference between
arms, and lets the page rule on all claims, 100 times (half an hour). `--rounds 3` is the short form for CI. It fails if
a claim, or all of them together, assert a difference more often than chance allows at a true rate of 5%.

- Between arms: within each seed of an experiment the evaluations are permuted among arms, so that every arm is as good.
- Over time: each run's evaluations are permuted among its steps, so that nothing rises or falls.
- Timings: each case's launches, centred on their variant's median, are dealt anew among variants.
- Known effects: the same permutation, then points are added to every curve of GRPO.
"""

import argparse
import functools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from suite.configuration.files import locate
from suite.records.metrics import EVALUATE
from suite.records.record import Reading, Record
from suite.report.answers.claims import Standing, verdicts_on
from suite.report.blocks import Joined, Say
from suite.report.model.results import Results, read_results
from suite.report.model.run import case_key
from suite.report.quality.design import DESIGN as QUALITY
from suite.report.rl.design import tells_arms_apart

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
ASSERTED = (Standing.SUPPORTED, Standing.CONTRADICTED, Standing.DEPENDS, Standing.MIXED)
BETWEEN_ARMS = {
    "grpo-sample-efficient": ("cpu/rl", "cpu_rl_why"),
    "grpo-stable": ("cpu/rl", "cpu_rl_why"),
    "cost-decides": ("cpu/rl",),
    "grpo-step-feedback": ("cpu_rl_feedback",),
    "r1-zero-without-sft": ("cpu/recipes",),
    "cold-start-helps": ("cpu/recipes",),
    "stages-add": ("cpu/recipes",),
    "filtering-and-preference": ("cpu/recipes",),
    "distillation-lifts-small-models": ("cpu/recipes",),
    "mla-lower-ceiling": ("cpu/quality", "cpu/quality_full"),
    "gqa-between": ("cpu/quality", "cpu/quality_full"),
    "full-context-tasks": ("cpu/quality", "cpu/quality_full"),
}
OVER_TIME = {
    "accuracy-and-format-rewards": ("cpu/rl", "cpu_rl_why"),
    "grpo-no-labels": ("cpu_rl_feedback",),
    "self-evolution": ("cpu/evolution",),
    "grpo-shorter-solutions": ("cpu/evolution",),
}
TIMED = {
    "mla-faster-inference": ("cpu/attention", "cpu/attention_bfloat16"),
    "mla-cheaper-training": ("cpu/train", "cpu/train_matched"),
}
HEADLINES = {
    "suite.report.rl.efficiency.build": ("cpu/rl",),
    "suite.report.rl.stability.build": ("cpu/rl",),
    "suite.report.quality.tasks.build": ("cpu/quality", "cpu/quality_full"),
    "suite.report.quality.tiers.build": ("cpu/quality", "cpu/quality_full"),
}
"""Sections whose headlines compare arms by what is permuted."""
ORDERS = ("rl.is.higher", "rl.is.lower")
ORDERS += ("verdict.count.higher", "verdict.count.lower", "quality_tiers.point.higher", "quality_tiers.point.lower")
"""Sentences that say which arm is better."""
EFFECTS = {
    "+10 points in every task": {"sort": 0.10, "addition": 0.10, "postfix": 0.10},
    "+5 points in sort alone": {"sort": 0.05},
    "+5 in sort, −5 in addition": {"sort": 0.05, "addition": -0.05},
    "+2 points in every task": {"sort": 0.02, "addition": 0.02, "postfix": 0.02},
}
Change = Callable[[Results, np.random.Generator], Results]


def is_evaluation(reading: Reading) -> bool:
    """Whether it was read while held-out questions were answered."""
    return reading.span == EVALUATE or reading.span.startswith(f"{EVALUATE}/")


def is_outcome(reading: Reading) -> bool:
    """Whether it is a held-out accuracy or loss."""
    return is_evaluation(reading) and reading.metric in ("heldout_accuracy", "answer_accuracy", "answer_loss")


@functools.cache
def read(folders: tuple[str, ...]) -> Results:
    """The results of reference folders, which several claims and sections read."""
    return read_results([REFERENCE / folder for folder in folders])


class Parts:
    """The readings of a record, split once for all rounds."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.evaluations = [reading for reading in record.readings if is_evaluation(reading)]
        self.others = [reading for reading in record.readings if not is_evaluation(reading)]
        outcomes = (reading for reading in self.evaluations if is_outcome(reading))
        self.shape = tuple(sorted((reading.span, reading.metric, reading.step) for reading in outcomes))


PARTS: dict[int, Parts] = {}
"""By the record's identity, which lives as long as its parts."""


def parts_of(record: Record) -> Parts:
    if id(record) not in PARTS:
        PARTS[id(record)] = Parts(record)
    return PARTS[id(record)]


def is_factor(record: Record) -> Callable[[str], bool]:
    """A function that tells, for a setting's name, whether it makes an arm in this record's workload."""
    return tells_arms_apart if record.case.workload == "rl" else QUALITY.is_factor


def permute_between_arms(results: Results, random: np.random.Generator) -> Results:
    """Deal the evaluations of each seed of an experiment anew among its arms."""
    places_by_case = defaultdict[object, list[int]](list)
    for place, current in enumerate(results.records):
        record = current.record
        factor = is_factor(record)
        names = sorted({*record.case.axes, *record.case.extras})
        key = tuple((name, value) for name, value in case_key(record, names) if not factor(name))
        places_by_case[current.label, record.case.workload, record.case.axes.get("seed"), key].append(place)
    records = list(results.records)
    for places in places_by_case.values():
        by_shape = defaultdict[object, list[int]](list)
        for place in places:
            by_shape[parts_of(records[place].record).shape].append(place)
        for same_shape in by_shape.values():
            given = [results.records[int(place)].record for place in random.permutation(same_shape)]
            for place, giver in zip(same_shape, given, strict=True):
                record = records[place].record
                readings = parts_of(record).others + parts_of(giver).evaluations
                records[place] = replace(records[place], record=replace(record, readings=readings))
    return replace(results, records=records)


def permute_in_time(results: Results, random: np.random.Generator) -> Results:
    """Permute the evaluations of each run among its steps."""

    def permuted(record: Record) -> Record:
        steps = sorted({reading.step for reading in record.readings if is_evaluation(reading)})
        other = dict(zip(steps, (steps[int(place)] for place in random.permutation(len(steps))), strict=True))
        return replace(
            record,
            readings=[replace(r, step=other[r.step]) if is_evaluation(r) else r for r in record.readings],
        )

    records = [replace(current, record=permuted(current.record)) for current in results.records]
    return replace(results, records=records)


def deal_launches(results: Results, random: np.random.Generator) -> Results:
    """Give every variant of a case the same median, and launches that are dealt from all variants."""
    cases = defaultdict[object, list[int]](list)
    for place, current in enumerate(results.records):
        axes = {name: value for name, value in current.record.case.axes.items() if name not in ("attention", "backend")}
        cases[current.label, tuple(axes.items()), current.record.status].append(place)
    records = list(results.records)
    for places in cases.values():
        spans = {r.span for place in places for r in records[place].record.readings if r.metric == "latency_s"}
        for span in spans:
            launches = defaultdict[tuple[int, int], list[float]](list)
            for place in places:
                for reading in records[place].record.readings:
                    if (reading.metric, reading.span) == ("latency_s", span):
                        launches[place, reading.launch or 0].append(np.log(reading.value))
            log_medians = {
                place: np.median([np.median(x) for (of, _), x in launches.items() if of == place]) for place in places
            }
            names = list(launches)
            given = [names[int(number)] for number in random.permutation(len(names))]
            dealt = {
                name: [float(np.exp(value - log_medians[giver[0]])) for value in launches[giver]]
                for name, giver in zip(names, given, strict=True)
            }
            for place in places:
                counters = Counter[int]()
                readings = []
                for reading in records[place].record.readings:
                    if (reading.metric, reading.span) != ("latency_s", span):
                        readings.append(reading)
                        continue
                    values = dealt[place, reading.launch or 0]
                    number = counters[reading.launch or 0]
                    counters[reading.launch or 0] += 1
                    if number < len(values):
                        readings.append(replace(reading, value=values[number]))
                records[place] = replace(records[place], record=replace(records[place].record, readings=readings))
    return replace(results, records=records)


def with_effect(points: dict[str, float]) -> Change:
    """Remove all differences, then add points to every evaluation of GRPO but the first."""

    def changed(results: Results, random: np.random.Generator) -> Results:
        results = permute_between_arms(results, random)

        def raised(record: Record) -> Record:
            more = points.get(str(record.case.axes.get("task")), 0.0)
            if record.case.axes.get("algorithm") != "grpo":
                return record
            readings = [
                replace(r, value=min(1.0, max(0.0, r.value + more)))
                if is_evaluation(r) and r.metric == "heldout_accuracy" and r.step > 0
                else r
                for r in record.readings
            ]
            return replace(record, readings=readings)

        records = [replace(current, record=raised(current.record)) for current in results.records]
        return replace(results, records=records)

    return changed


def count_outcomes(claims: dict[str, tuple[str, ...]], change: Change, rounds: int) -> dict[str, Counter[str]]:
    """How often each claim came to each outcome over rounds of one change. `claims`: the folders of each."""
    counts_by_claim = defaultdict[str, Counter[str]](Counter)
    for folders in sorted(set(claims.values())):
        results = read(folders)
        names = [name for name, of in claims.items() if of == folders]
        for number in range(rounds):
            changed = change(results, np.random.default_rng(number))
            for claim_id, verdict in verdicts_on(changed, *names).items():
                counts_by_claim[claim_id][verdict.outcome] += 1
    return counts_by_claim


def sentence_keys(text: object) -> Iterator[str]:
    """The keys of all sentences within a text."""
    if isinstance(text, Say):
        yield text.key
        for _, value in text.fields:
            yield from sentence_keys(value)
    elif isinstance(text, Joined):
        for part in text.parts:
            yield from sentence_keys(part)


def asserting_headlines(build: str, folders: tuple[str, ...], rounds: int) -> Counter[bool]:
    """How many headlines of a section name the better arm, and how many do not, where all arms are as good."""
    results = read(folders)
    counts = Counter[bool]()
    for number in range(rounds):
        section = locate(build)(permute_between_arms(results, np.random.default_rng(number)))
        for headline in section.headlines:
            counts[any(key in ORDERS for key in sentence_keys(headline.text))] += 1
    return counts


def most_by_chance(rounds: int, rate: float = 0.05, confidence: float = 0.999) -> int:
    """The most false assertions in so many rounds that a true rate explains, with this confidence."""
    cumulative, probability, count = 0.0, (1 - rate) ** rounds, 0
    while cumulative + probability < confidence:
        cumulative += probability
        probability *= (rounds - count) / (count + 1) * rate / (1 - rate)
        count += 1
    return count


def main(arguments: Sequence[str]) -> int:
    """Print all tables; 1 where a difference was asserted more often than chance allows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--without-effects", action="store_true", help="leave the known effects out")
    options = parser.parse_args(arguments)
    rounds = options.rounds
    most, failed, asserted_of_all, trials = most_by_chance(rounds), False, 0, 0
    print(f"Assertions where nothing differs, of {rounds} rounds; chance allows {most} at a true rate of 5%.\n")
    print("| claim | removed | asserted | other outcomes |\n|---|---|---|---|")
    removals = (
        ("between arms", BETWEEN_ARMS, permute_between_arms),
        ("over time", OVER_TIME, permute_in_time),
        ("between variants", TIMED, deal_launches),
    )
    for removed, claims, change in removals:
        for claim_id, counts in count_outcomes(claims, change, rounds).items():
            asserted = sum(counts[outcome] for outcome in ASSERTED)
            failed |= asserted > most
            asserted_of_all, trials = asserted_of_all + asserted, trials + rounds
            other_outcomes = ", ".join(
                f"{outcome} {count}" for outcome, count in counts.most_common() if outcome not in ASSERTED
            )
            print(f"| {claim_id} | {removed} | {asserted} | {other_outcomes} |", flush=True)
    for build, folders in HEADLINES.items():
        counts = asserting_headlines(build, folders, rounds)
        failed |= counts[True] > most_by_chance(counts.total())
        print(
            f"| headlines of {build.split('.')[-2]} | between arms | {counts[True]} of {counts.total()} | |", flush=True
        )
    most_of_all = most_by_chance(trials)
    print(f"\nOf all claims: {asserted_of_all} of {trials}; chance allows {most_of_all}.")
    failed |= asserted_of_all > most_of_all
    if options.without_effects:
        return int(failed)
    print(f"\nKnown effects: verdicts on `grpo-sample-efficient`, of {rounds} rounds.\n")
    print("| GRPO is given | verdicts |\n|---|---|")
    for name, points in EFFECTS.items():
        claims = {"grpo-sample-efficient": ("cpu/rl",)}
        counts = count_outcomes(claims, with_effect(points), rounds)["grpo-sample-efficient"]
        print(f"| {name} | {', '.join(f'{outcome} {count}' for outcome, count in counts.most_common())} |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
