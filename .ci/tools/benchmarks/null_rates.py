"""How often the page asserts a difference where there is none, and what it says where there is one.

`OMP_NUM_THREADS=1 .ci/tool benchmarks.null_rates` reads the committed records, removes every difference between
arms, and lets the page rule on all claims, 100 times (half an hour). `--rounds 3` is the short form for CI. It fails if
a claim, or all of them together, assert a difference more often than chance allows at a true rate of 5%.

- Between arms: within each seed of an experiment the evaluations are permuted among arms, so that every arm is as good.
- Over time: each run's evaluations are permuted among its steps, so that nothing rises or falls.
- Timings: each case's launches, centred on their variant's median, are dealt anew among variants.
- Known effects: the same permutation, then points are added to every curve of GRPO.
- Six regimes (`--only regimes --rounds 200`, some five minutes): each claim on RL that seeds decide, over six tasks of
  five seeds made of committed runs. In one task a third of the runs is stuck at 0, in another half of them end at 1.
  Beside the false assertions stand the true ones where the claim's arm is given 5 or 10 points.
- Quality (`--only quality`, some five minutes): each claim on quality over ten simulated seeds, spread as those of the
  committed arms that neither answer nearly all nor guess, at true differences of 0, 2 and 10 points.
"""

import argparse
import functools
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from suite.configuration.files import locate
from suite.records.metrics import EVALUATE
from suite.records.record import Reading, Record
from suite.report.answers.claims import Standing, claims, verdicts_on
from suite.report.blocks import Joined, Say
from suite.report.model.results import Results, read_results
from suite.report.model.run import case_key
from suite.report.quality.design import DESIGN as QUALITY
from suite.report.quality.design import RARELY, TIERS_TASK, final_share, quality_experiments
from suite.report.rl.design import tells_arms_apart
from suite.report.rl.run import DEFAULTS
from tests.report.quality_records import along_curves, arm, asked, in_memory, mla, thirds

REFERENCE = Path(__file__).resolve().parents[3] / "results" / "reference"
ASSERTED = (Standing.SUPPORTED, Standing.CONTRADICTED, Standing.DEPENDS, Standing.MIXED)
BETWEEN_ARMS = {
    "grpo-sample-efficient": ("cpu/rl_curves", "cpu_rl_why"),
    "grpo-stable": ("cpu/rl_curves", "cpu_rl_why"),
    "cost-decides": ("cpu/rl_curves",),
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
    "accuracy-and-format-rewards": ("cpu/rl_curves", "cpu_rl_why"),
    "grpo-no-labels": ("cpu_rl_feedback",),
    "self-evolution": ("cpu/evolution",),
    "grpo-shorter-solutions": ("cpu/evolution",),
}
TIMED = {
    "mla-faster-inference": ("cpu/attention", "cpu/attention_bfloat16"),
    "mla-cheaper-training": ("cpu/train", "cpu/train_matched"),
}
HEADLINES = {
    "suite.report.rl.efficiency.build": ("cpu/rl_curves",),
    "suite.report.rl.stability.build": ("cpu/rl_curves",),
    "suite.report.quality.tiers.build": ("cpu/quality", "cpu/quality_full"),
}
"""Sections whose headlines compare arms by what is permuted; that of the tasks is the card on detail, a claim above."""
ORDERS = ("rl.is.higher", "rl.is.lower")
ORDERS += ("verdict.count.higher", "verdict.count.lower", "quality_tiers.point.higher", "quality_tiers.point.lower")
"""Sentences that say which arm is better."""
EFFECTS = {
    "+10 points in every task": dict.fromkeys(("sort", "addition", "postfix", "countdown"), 0.10),
    "+5 points in sort alone": {"sort": 0.05},
    "+5 in sort, −5 in addition": {"sort": 0.05, "addition": -0.05},
    "+2 points in every task": dict.fromkeys(("sort", "addition", "postfix", "countdown"), 0.02),
}
REGIMES, REGIME_SEEDS = 6, 5
STUCK, AT_CEILING = {2: 1 / 3}, {4: 1 / 2}
"""Shares of runs that learn nothing, and that end at 1, by the number of the regime."""
GIVEN = (0.05, 0.10)  # points of accuracy that a true effect adds
QUALITY_GAPS, QUALITY_SEEDS, QUALITY_BASE = (0.0, 0.02, 0.10), 10, 0.75
UNTRAINED = {"no latent untrained": None, "untrained latents as low": True, "untrained latents as MHA": False}
"""Whether latents that nobody trained lack the points that the trained one lacks."""
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
            return changed_accuracy(record, lambda r: r.value + more if r.step > 0 else None)

        records = [replace(current, record=raised(current.record)) for current in results.records]
        return replace(results, records=records)

    return changed


def changed_accuracy(record: Record, change: Callable[[Reading], float | None]) -> Record:
    """The record with the held-out accuracies that `change` gives, cut to [0, 1]; None leaves one as it is."""

    def changed(reading: Reading) -> Reading:
        value = change(reading) if is_evaluation(reading) and reading.metric == "heldout_accuracy" else None
        return reading if value is None else replace(reading, value=min(1.0, max(0.0, value)))

    return replace(record, readings=[changed(reading) for reading in record.readings])


def matches(record: Record, values: dict[str, str]) -> bool:
    """Whether a record is of the arms that a claim's question describes, whatever its format reward."""
    case = {**DEFAULTS, **record.case.extras, **record.case.axes}
    return all(fnmatchcase(str(case.get(name, "")), each) for name, each in values.items() if name != "format")


@functools.cache
def read_judged(folders: tuple[str, ...]) -> Results:
    """The results of folders with those readings alone, one in fifteen, that claims on accuracy and habits read."""

    def judged(record: Record) -> Record:
        readings = record.readings
        kept = [r for r in readings if r.metric == "completions" or (is_evaluation(r) and r.metric != "latency_s")]
        return replace(record, readings=kept)

    results = read(folders)
    return replace(results, records=[replace(each, record=judged(each.record)) for each in results.records])


def six_regimes(results: Results, question: dict[str, Any]) -> Results:
    """Six tasks of five seeds, of the tasks and policies that have both sides of a question at five seeds or more: each
    group of five seeds once, then again as another task."""
    sides = [question[side] for side in ("arms", "against") if side in question]
    groups = defaultdict[tuple[str, ...], list[int]](list)
    for place, current in enumerate(results.records):
        axes = current.record.case.axes
        # The usual shape and four algorithms: other arms decide no claim, and take most of the time.
        is_usual = (axes["prompts_per_step"], axes["num_generations"]) == (32, 8)
        if is_usual and axes["algorithm"] in ("grpo", "ppo", "ppo_lam95", "rloo"):
            groups[tuple(str(axes.get(name)) for name in ("task", "task.digits", "policy"))].append(place)
    fives = list[tuple[list[int], list[Any]]]()
    for places in groups.values():
        seeds = [
            {r.case.axes["seed"] for r in (results.records[p].record for p in places) if matches(r, s)} for s in sides
        ]
        shared = sorted(set.intersection(*seeds))
        fives += [
            (places, shared[k : k + REGIME_SEEDS]) for k in range(0, len(shared) - REGIME_SEEDS + 1, REGIME_SEEDS)
        ]
    random, records = np.random.default_rng(0), []
    for regime in range(REGIMES if fives else 0):
        places, seeds = fives[regime % len(fives)]
        for current in (results.records[place] for place in places):
            record, axes = current.record, current.record.case.axes
            if axes["seed"] not in seeds:
                continue
            last = max((r.step for r in record.readings if is_evaluation(r)), default=0)
            if random.random() < STUCK.get(regime, 0.0):
                record = changed_accuracy(record, lambda _: 0.0)
            elif random.random() < AT_CEILING.get(regime, 0.0):
                record = changed_accuracy(record, lambda r, last=last: 1.0 if r.step == last else None)
            named = {**axes, "task": f"{axes['task']} {regime}", "seed": seeds.index(axes["seed"])}
            records.append(replace(current, record=replace(record, case=replace(record.case, axes=named))))
    return replace(results, records=records)


def with_points(question: dict[str, Any], points: float) -> Change | None:
    """Remove what a question measures, then let its first arms end so many points higher; None for no accuracy.

    Of falls the arms that it is held against end so many points lower, and of means over curves all is higher.
    """
    measure = question["measure"]
    remove = permute_between_arms if "against" in question else permute_in_time
    if not measure.startswith(("accuracy", "learning", "steps", "gain", "vote", "drawdown")):
        return None
    side, sign = (question["against"], -1) if measure == "drawdown" else (question["arms"], 1)

    def changed(results: Results, random: np.random.Generator) -> Results:
        def raised(record: Record) -> Record:
            if not matches(record, side):
                return record
            last = max((r.step for r in record.readings if is_evaluation(r)), default=0)
            is_whole = measure.startswith("learning")  # which is a mean over the curve
            return changed_accuracy(record, lambda r: r.value + sign * points if is_whole or r.step == last else None)

        removed = remove(results, random)
        return replace(removed, records=[replace(each, record=raised(each.record)) for each in removed.records])

    return changed


def regimes_table(rounds: int) -> bool:
    """Print how often each claim on RL asserts a difference in six regimes without any, and in a quarter as many rounds
    with one; True where it does so without one more often than chance allows.

    Cost by seconds is left out: it is shown only where accuracy differs both ways.
    """
    most, failed, asserted_of_all, trials = most_by_chance(rounds), False, 0, 0
    print(f"Six regimes of five seeds, {rounds} rounds; chance allows {most} at a true rate of 5%.\n")
    print("| claim | asserted falsely | other outcomes | true +5 points | true +10 points |\n|---|---|---|---|---|")
    sources = {**BETWEEN_ARMS, **OVER_TIME}
    sources = {name: of for name, of in sources.items() if "quality" not in of[0] and name != "cost-decides"}
    for claim in (each for each in claims() if each["id"] in sources):
        name, question = claim["id"], claim["trial"]["decides"][0]
        results = six_regimes(read_judged(sources[name][:1]), question)

        def outcomes(change: Change, times: int, name: str = name, results: Results = results) -> Counter[str]:
            changed = (change(results, np.random.default_rng(number)) for number in range(times))
            verdicts = (verdicts_on(each, name).get(name) for each in changed)
            return Counter("no verdict" if verdict is None else verdict.outcome for verdict in verdicts)

        counts = outcomes(permute_between_arms if "against" in question else permute_in_time, rounds)
        asserted = sum(counts[outcome] for outcome in ASSERTED)
        failed |= asserted > most
        asserted_of_all, trials = asserted_of_all + asserted, trials + rounds
        others = ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common() if outcome not in ASSERTED)
        powers = []
        for change in (with_points(question, points) for points in GIVEN):
            given = outcomes(change, rounds // 4) if change else Counter[str]()
            said = given[Standing.SUPPORTED] + given[Standing.DEPENDS]
            powers.append(f"{said} of {rounds // 4}" if change else "–")
        print(f"| {name} | {asserted} | {others} | {powers[0]} | {powers[1]} |", flush=True)
    print(f"\nOf all claims: {asserted_of_all} of {trials}; chance allows {most_by_chance(trials)}.")
    return failed or asserted_of_all > most_by_chance(trials)


def seed_spread() -> np.ndarray:
    """How far each committed seed ends from its arm’s mean in the tier asked rarely, scaled for means of few seeds;
    of arms whose mean lies between 20% and 95%."""
    distances = list[float]()
    for experiment in quality_experiments(read(("cpu/quality", "cpu/quality_full"))):
        for each in experiment.arms if experiment.value("task") == TIERS_TASK else ():
            shares = np.array(each.values(final_share(RARELY)))
            if len(shares) >= REGIME_SEEDS and 0.2 < shares.mean() < 0.95:
                distances += ((shares - shares.mean()) * np.sqrt(len(shares) / (len(shares) - 1))).tolist()
    return np.array(distances)


def quality_table(rounds: int) -> int:
    """Print the outcomes of each claim on quality at true differences that are known; 0."""
    spread = seed_spread()
    print(f"{QUALITY_SEEDS} seeds, {100 * spread.std():.1f} points apart (standard deviation), {rounds} rounds.\n")
    print("| claim | records | equal | 2 points | 10 points |\n|---|---|---|---|---|")

    def shares(random: np.random.Generator, base: float) -> list[float]:
        return np.clip(base + random.choice(spread, QUALITY_SEEDS), 0.0, 1.0).tolist()

    def lower(random: np.random.Generator, gap: float, low: dict[str, Any], untrained: bool | None) -> list[Record]:
        """MHA beside an arm that levels off so much lower, and beside untrained latents that do so or not."""
        records = along_curves(shares(random, QUALITY_BASE), attention="mha")
        records += along_curves(shares(random, QUALITY_BASE - gap), **low)
        for latent in () if untrained is None else ("frozen", "slice"):
            level = QUALITY_BASE - gap * untrained
            records += along_curves(shares(random, level), **mla(64, **{"attention.latent": latent}))
        return records

    def chosen(random: np.random.Generator, gap: float, **extras: Any) -> list[Record]:
        """A trained latent that answers so much more of the middle tier than a frozen one and a slice."""
        records = []
        for latent, base in (("trained", QUALITY_BASE), ("frozen", QUALITY_BASE - gap), ("slice", QUALITY_BASE - gap)):
            finals = [(1.0, *ends) for ends in zip(shares(random, base), shares(random, 0.5), strict=True)]
            records += arm(finals, **mla(24, **{"attention.latent": latent}, **extras))
        return records

    def reversed_too(random: np.random.Generator, gap: float) -> list[Record]:
        """The same where nothing else before the cache is trained, and the third tier where it is asked the most."""
        usual = thirds(shares(random, 0.5), **mla(24))
        turned = thirds(shares(random, 0.9), **asked("reversed", **mla(24)))
        return [*usual, *turned, *chosen(random, gap, embeddings="frozen")]

    grouped = {"attention": "gqa", "extras": {"attention.kv_heads": 2}, "cache_bytes": 256.0}
    cases: list[tuple[str, str, Callable[[np.random.Generator, float], list[Record]]]] = [
        ("gqa-between", "GQA-2 below MHA", functools.partial(lower, low=grouped, untrained=None)),
        *(
            (claim, f"MLA below MHA, {words}", functools.partial(lower, low=mla(64), untrained=untrained))
            for claim in ("mla-lower-ceiling", "full-context-tasks")
            for words, untrained in UNTRAINED.items()
        ),
        ("information-tiers", "trained above untrained, middle tier", chosen),
        ("grading-automatic", "the same, embeddings frozen", reversed_too),
    ]
    for claim, words, make in cases:
        cells = []
        for gap in QUALITY_GAPS:
            counts = Counter[str]()
            for number in range(rounds):
                verdicts = verdicts_on(in_memory(*make(np.random.default_rng(number), gap)), claim)
                counts[verdicts[claim].outcome] += 1
            cells.append(", ".join(f"{outcome} {count}" for outcome, count in counts.most_common()))
        print(f"| {claim} | {words} | {' | '.join(cells)} |", flush=True)
    return 0


def count_outcomes(
    claims: dict[str, tuple[str, ...]], change: Change, rounds: int, read: Callable[[tuple[str, ...]], Results] = read
) -> dict[str, Counter[str]]:
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
    parser.add_argument("--only", choices=["regimes", "effects", "quality"], help="print that table alone")
    options = parser.parse_args(arguments)
    if options.only == "regimes":
        return int(regimes_table(options.rounds))
    if options.only == "effects":
        return effects_table(options.rounds)
    if options.only == "quality":
        return quality_table(options.rounds)
    rounds = options.rounds
    most, failed, asserted_of_all, trials = most_by_chance(rounds), False, 0, 0
    print(f"Assertions where nothing differs, of {rounds} rounds; chance allows {most} at a true rate of 5%.\n")
    print("| claim | removed | asserted | other outcomes |\n|---|---|---|---|")
    removals = (
        ("between arms", BETWEEN_ARMS, permute_between_arms),
        ("over time", OVER_TIME, permute_in_time),
        ("between variants", TIMED, deal_launches),
    )
    for removed, sources, change in removals:
        for claim_id, counts in count_outcomes(sources, change, rounds).items():
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
    if not options.without_effects:
        effects_table(rounds)
    return int(failed)


def effects_table(rounds: int) -> int:
    """Print what the card on GRPO and PPO says of known effects; 0."""
    print(f"\nKnown effects: verdicts on `grpo-sample-efficient`, of {rounds} rounds.\n")
    print("| GRPO is given | verdicts |\n|---|---|")
    for name, points in EFFECTS.items():
        claims = {"grpo-sample-efficient": ("cpu/rl_curves",)}
        counts = count_outcomes(claims, with_effect(points), rounds, read_judged)["grpo-sample-efficient"]
        print(f"| {name} | {', '.join(f'{outcome} {count}' for outcome, count in counts.most_common())} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
