"""Cases of the memory of a step of reinforcement learning, and which of them are compared.

A case is projected for a geometry, or measured in a run. Arms of one experiment differ in the algorithm and in what it
sets; a setting that applies to some algorithms only, as a critic's does, tells arms apart and no experiments. An owner
or a kind that this suite does not know counts as nobody's and as other, so that the parts of a peak add up to it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from suite.records.derived import noted
from suite.records.holdings import ALLOCATOR_PEAK, KINDS, NOBODY, OTHER, OWNERS, PART, PEAK, REFERENCE, parts_of
from suite.records.labels import differing
from suite.records.metrics import PHASES
from suite.records.record import Record, Status
from suite.report.blocks import Text, dotted
from suite.report.model.experiment import Arm, Design, Experiment, arms_of, experiments, grouped, runs_of
from suite.report.model.labels import ALGORITHM, label_of, rank_of, setting_text
from suite.report.model.results import Results
from suite.report.model.run import LABEL, MOST, MOST_STEPS, SEED, Pairs, Run, defaults_in, named_in, number_of, text_of
from suite.report.rl.design import OfSteps, numbers_by_step

MODELS = {"rl_memory": "geometry", "rl": "policy"}
"""The workloads, and the axis that names the model of a case."""
EVIDENCE = "evidence"
TITLED = {EVIDENCE, LABEL, *MODELS.values()}
"""Settings that a title or a column of its own says."""
FACTORS = (ALGORITHM, "kl_coef", "critic_model")
"""Settings of an algorithm, in which arms of one experiment may differ."""
UNSAID = (SEED, "threads", "track_memory", "lr", "critic_lr", "lam")
"""Settings that change no size: of records that differ in them alone, the one that held most counts."""
MOST_PROJECTED, MOST_MEASURED = 16, 4
"""Experiments that are drawn, one for each model."""
SLACK = 1 + 1e-9
"""Rounding of sums."""
PARAMETERS = "parameters"
BATCH_THAT_FITS = ("rollout_batch", "fit")
"""A setting that is said even where nobody names it: older cases sampled all at once, as nobody named either."""
GPUS, SHARDS = "gpus", "shards"
COUNTS = (1, 2, 4, 8)
"""Numbers of devices that a projection divides its states among."""

Part = tuple[str, str]
"""Owner and kind."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of a step at its peak."""

    peak: float
    parts: Mapping[Part, float]
    """Their sum is the peak."""
    allocator: float | None
    """The most that the allocator of a GPU held meanwhile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepMemory(Run):
    """The memory of one case."""

    @cached_property
    def phases(self) -> dict[str, Phase]:
        """Return its phases in the order of a step; at least one."""
        return phases_of(self.record)

    @cached_property
    def case_settings(self) -> dict[str, str]:
        """Return every axis and further setting of its case as its id writes them; empty where it does not apply."""
        return _case_settings(self.record)

    @property
    def workload(self) -> str:
        return self.record.case.workload

    @property
    def evidence(self) -> str:
        return "measured" if self.is_measured else "projected"

    @property
    def model(self) -> str:
        return next(filter(None, (self.case_settings.get(name, "") for name in MODELS.values())), "")

    @property
    def peak_phase(self) -> str:
        return max(self.phases, key=lambda phase: self.phases[phase].peak)

    @property
    def peak(self) -> float:
        return self.phases[self.peak_phase].peak

    @property
    def parameters(self) -> float | None:
        """Return the policy's."""
        return self.constant("policy_parameter_count")

    @property
    def has_reference(self) -> bool:
        held = any(owner == REFERENCE for phase in self.phases.values() for owner, _ in phase.parts)
        return held or self.constant("reference_parameter_count") is not None


MemoryArm = Arm[StepMemory]
MemoryExperiment = Experiment[StepMemory]


def phases_of(record: Record) -> dict[str, Phase]:
    """Read the peaks of a record's phases; none where it tracks no memory or did not end well."""
    if record.status is not Status.OK:
        return {}
    found = numbers_by_step(record, above=0)
    return {phase: _phase(found, phase) for phase in PHASES if PEAK in found.get(phase, {})}


def _phase(of_spans: Mapping[str, OfSteps], phase: str) -> Phase:
    """A phase at the step that held most."""
    peaks, allocator = (of_spans[phase].get(metric, {}) for metric in (PEAK, ALLOCATOR_PEAK))
    at = max(peaks, key=lambda step: (peaks[step], -step))
    peak, held = peaks[at], defaultdict[Part, float](float)
    for span, of_span in of_spans.items():
        of, owner, kind = parts_of(span) or ("", "", "")
        if of == phase and (size := of_span.get(PART, {}).get(at)):
            held[owner if owner in OWNERS else NOBODY, kind if kind in KINDS else OTHER] += size
    if sum(held.values()) > peak * SLACK:
        held.clear()  # They cannot be this peak's.
    rest = peak - sum(held.values())
    if rest > peak * (SLACK - 1):
        held[NOBODY, OTHER] += rest
    return Phase(peak=peak, parts=held, allocator=max(allocator.values(), default=None))


def memory_experiments(results: Results) -> list[MemoryExperiment]:
    """Return projections, then runs, of either the largest model first, and of a model those with the most arms."""
    found = [experiment for workload in MODELS for experiment in _experiments(results, workload)]

    def place(experiment: MemoryExperiment) -> tuple[bool, float, int, Pairs]:
        size = max(arm.first.parameters or 0.0 for arm in experiment.arms)
        return first_of(experiment).is_measured, -size, -len(experiment.arms), experiment.key

    return sorted(found, key=place)


def _experiments(results: Results, workload: str) -> list[MemoryExperiment]:
    of_workload = [current for current in results.records if current.record.case.workload == workload]
    tracked = [current for current in of_workload if phases_of(current.record)]
    records = [current.record for current in tracked]
    defaults = defaults_in(records, named_in(records, ignored=UNSAID) - {*BATCH_THAT_FITS})
    design = Design(
        workload=workload,
        read=lambda current, key: StepMemory(current=current, key=_key_of(current.record, key)),
        is_factor={*FACTORS, *_bound_to_an_algorithm(records)}.__contains__,
        repeats="",  # Of all seeds one counts.
        ignored=UNSAID,
        defaults=defaults,
        heads=(MODELS[workload],),
    )
    steps = runs_of(tracked, design, weight=lambda step, _: step.peak)
    # What tells an arm from others of its algorithm in any experiment is in its name.
    of_algorithm = grouped(arms_of(steps, design.is_factor), lambda arm: arm.value(ALGORITHM))
    differ = {algorithm: differing([arm.key for arm in arms]) for algorithm, arms in of_algorithm.items()}

    def name(arm: MemoryArm) -> Text:
        algorithm = arm.value(ALGORITHM)
        return dotted(label_of(ALGORITHM, algorithm), *written(arm.key, differ[algorithm]))

    def named(arms: Sequence[MemoryArm]) -> list[MemoryArm]:
        ordered = sorted(arms, key=lambda arm: (rank_of(ALGORITHM, arm.value(ALGORITHM)), arm.key))
        return [replace(arm, name=name(arm)) for arm in ordered]

    return experiments(steps, design, has_labels=results.several, named=named)


def _key_of(record: Record, key: Pairs) -> Pairs:
    """A case's key with what it is evidence of, and that its rollout's batch is one that fits."""
    name, value = BATCH_THAT_FITS
    unsaid = [BATCH_THAT_FITS] if record.settings.get(name) == value and name not in dict(key) else []
    return ((EVIDENCE, str(record.evidence)), *unsaid, *key)


def _case_settings(record: Record) -> dict[str, str]:
    return {name: text_of(value) for name, value in (*record.case.axes.items(), *sorted(record.case.extras.items()))}


def _bound_to_an_algorithm(records: Iterable[Record]) -> set[str]:
    """Settings that some algorithms always have and others never, so that the two cannot agree in them."""
    given, empty = set[tuple[str, str]](), set[tuple[str, str]]()
    for settings in map(_case_settings, records):
        for name, value in settings.items():
            (given if value else empty).add((settings.get(ALGORITHM, ""), name))
    sometimes = {name for _, name in given & empty}
    return ({name for _, name in given} & {name for _, name in empty}) - sometimes


def written(key: Pairs, names: Collection[str]) -> list[Text]:
    """Write these settings of a key in plain words."""
    return [setting_text(name, value) for name, value in key if name in names and value]


def own_settings(arm: MemoryArm) -> list[Text]:
    """Write what other algorithms cannot have, such as the order in which a critic is updated."""
    return written(arm.key, {name for name, _ in arm.key} - {*FACTORS})


def devices_needed(size_gb: int, arm: MemoryArm) -> int | None:
    """Return the fewest such GPUs that hold an arm; None where no number that was tried does.

    A record says it for some sizes, and for the others the peak on each number of devices and what is kept back.
    """
    count = noted(arm.first.record, f"gpu_{size_gb}", "devices_needed")
    if count is not None:
        return int(count) if 1 <= count <= MOST_STEPS else None
    reserve = number_of(arm.first.setting("reserve_bytes_per_device"))
    if reserve is None:
        return None
    peaks = {shards: peak for shards in COUNTS if (peak := peak_of_one(shards, arm)) is not None}
    return min((shards for shards, peak in peaks.items() if peak <= size_gb * 1e9 - reserve), default=None)


def answered(arms: Iterable[MemoryArm]) -> list[MemoryArm]:
    """Return the arms that say whether the GPUs at hand hold them."""
    return [arm for arm in arms if noted(arm.first.record, GPUS, "step_fits") is not None]


def arms_in(found: Iterable[MemoryExperiment]) -> list[MemoryArm]:
    """Return the arms of all experiments."""
    return [arm for experiment in found for arm in experiment.arms]


def first_of(experiment: MemoryExperiment) -> StepMemory:
    """Return a case for what all of them share."""
    return experiment.arms[0].first


def drawn_experiments(found: Sequence[MemoryExperiment]) -> list[MemoryExperiment]:
    """Return for each model the experiment with the most arms, and of those the most usual; of the largest models,
    those where arms stand side by side before the others.
    """
    usual = usual_of([experiment.key for experiment in found])
    best: dict[tuple[bool, str], MemoryExperiment] = {}
    for experiment in sorted(found, key=lambda other: (-len(other.arms), len(unusual(other.key, usual)))):
        best.setdefault((first_of(experiment).is_measured, first_of(experiment).model), experiment)
    chosen = sorted(filter([*best.values()].__contains__, found), key=lambda experiment: len(experiment.arms) == 1)
    by_evidence = grouped(chosen, lambda experiment: first_of(experiment).is_measured)
    return by_evidence.get(False, [])[:MOST_PROJECTED] + by_evidence.get(True, [])[:MOST_MEASURED]


def usual_of(keys: Sequence[Pairs]) -> dict[str, str]:
    """Return the value that most have of each setting in which they differ."""
    return {name: Counter(dict(key).get(name, "") for key in keys).most_common(1)[0][0] for name in differing(keys)}


def unusual(key: Pairs, usual: Mapping[str, str]) -> set[str]:
    """Return the settings in which one is not as most are, of those that it has."""
    return {name for name, value in key if name in usual and usual[name] != value}


@dataclass(frozen=True, kw_only=True, eq=False)
class Saving:
    """An algorithm without a critic beside PPO."""

    baseline: MemoryArm
    arm: MemoryArm

    @property
    def share(self) -> float:
        """Return how much of PPO's peak is not held; below zero where the arm holds more."""
        return 1 - self.arm.first.peak / self.baseline.first.peak

    def at(self, over: str) -> float | None:
        """Return the policy's parameters, or a setting that is a number."""
        value = self.arm.first.parameters if over == PARAMETERS else number_of(self.arm.value(over))
        return value if value is not None and 0 < value < MOST else None


def savings(found: Iterable[MemoryExperiment]) -> list[Saving]:
    """Return each algorithm without a critic beside each PPO of its experiment."""
    return [
        Saving(baseline=baseline, arm=arm)
        for experiment in found
        for baseline in experiment.arms
        if baseline.value(ALGORITHM) == "ppo"
        for arm in experiment.arms
        if not arm.value(ALGORITHM).startswith("ppo")
    ]


def telling_pairs(found: Sequence[Saving]) -> list[list[Saving]]:
    """Return the savings of the algorithm with a reference that most experiments have, and of the one without; the
    projected and the measured ones apart.
    """
    kinds = grouped(found, lambda saving: (saving.arm.first.is_measured, not saving.arm.first.has_reference))
    pairs = [grouped(kinds[kind], lambda saving: (saving.arm.key, saving.baseline.key)) for kind in sorted(kinds)]
    return [max(of_pair.values(), key=len) for of_pair in pairs]


SAME_COUNTS = ("policy_parameter_count", "critic_parameter_count")
SAME_SETTINGS = (
    *("attention", "num_generations", "prompts_per_step", "micro_batch", "kl_coef", "critic", "update_order"),
    *("optimiser", "logits_chunk", "dtype"),
)
"""In what a run and its projection agree, where both say it."""
OF_A_RUN = {"checkpointing": "false", "reference": "device", "reward_model": "none", "engine": "shared", "shards": "1"}
"""Settings of a run that does not say otherwise."""
OTHERWISE = {"micro_batch": "minibatch", "dtype": "precision"}
"""Stand-ins for a setting that is not given: a whole minibatch at once, and a projection's word for its dtype."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Check:
    """One phase of a run, and of a projection of the same model and settings, where there is one.

    Its tokens may differ: a run samples them as they come.
    """

    arm: MemoryArm
    phase: str
    projection: StepMemory | None

    @property
    def measured(self) -> float:
        return self.arm.first.phases[self.phase].peak

    @property
    def allocator(self) -> float | None:
        return self.arm.first.phases[self.phase].allocator

    @property
    def projected(self) -> float | None:
        found = self.projection.phases.get(self.phase) if self.projection else None
        return found.peak if found else None

    @property
    def tokens(self) -> str:
        """Return those of a prompt and its completion in the projection."""
        return self.projection.case_settings.get("seq_len", "") if self.projection else ""


def checks(found: Sequence[MemoryExperiment]) -> list[Check]:
    """Return phases of runs that a projection or an allocator can be compared with, a row for each projection."""
    by_evidence = grouped(arms_in(found), lambda arm: arm.first.is_measured)
    rows = []
    for arm in by_evidence.get(True, []):
        alike = [other.first for other in by_evidence.get(False, []) if _is_same(arm.first, other.first)]
        phases = product(alike or (None,), arm.first.phases)
        rows += [Check(arm=arm, phase=phase, projection=projection) for projection, phase in phases]
    return [row for row in rows if row.projected is not None or row.allocator is not None]


def _is_same(run: StepMemory, projection: StepMemory) -> bool:
    counts = [[noted(step.record, "case", name) for step in (run, projection)] for name in SAME_COUNTS]
    if counts[0][0] is None or any(measured != projected for measured, projected in counts):
        return False
    pairs = [(_setting(run, name), _setting(projection, name)) for name in SAME_SETTINGS]
    pairs += [(_setting(run, name) or usual, _setting(projection, name)) for name, usual in OF_A_RUN.items()]
    alike = all(ours == theirs for ours, theirs in pairs if ours and theirs)
    settled = (ALGORITHM, "lora_rank")
    return alike and all(_setting(run, name) == _setting(projection, name) for name in settled)


def _setting(step: StepMemory, name: str) -> str:
    """A setting of the case, or one that its record resolved."""
    value = step.case_settings.get(name) or text_of(step.record.settings.get(name))
    return value or (_setting(step, OTHERWISE[name]) if name in OTHERWISE else "")


def peak_of_one(shards: int, arm: MemoryArm) -> float | None:
    """Return the peak of each of several devices that share a step."""
    return noted(arm.first.record, f"shards_{shards}", "peak_bytes_per_device")
