"""What a step of reinforcement learning holds, and which cases of it stand side by side.

A case is projected for a geometry, or measured in a run. Arms of one experiment differ in the algorithm and in what it
sets; a setting that applies to some algorithms only, as a critic's does, tells arms apart and no experiments. An owner
or a kind that this suite does not know counts as nobody's and as other, so that the parts of a peak add up to it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from suite.records.derived import noted
from suite.records.holdings import ALLOCATOR_PEAK, KINDS, NOBODY, OTHER, OWNERS, PART, PEAK, REFERENCE, parts_of
from suite.records.record import Reading, Record, Status
from suite.records.rl_metrics import PHASES
from suite.report.blocks import Text, dotted
from suite.report.model.experiment import Arm, Design, Experiment, arms_of, differing, experiments, grouped, runs_of
from suite.report.model.labels import ALGORITHM, label_of, rank_of
from suite.report.model.results import Results
from suite.report.model.run import LABEL, MOST, MOST_STEPS, SEED, Pairs, Run, defaults_in, named_in, number_of, text_of

MODELS = {"rl_memory": "geometry", "rl": "policy"}
"""The workloads, and the axis that names the model of a case."""
EVIDENCE = "evidence"
TITLED = {EVIDENCE, LABEL, *MODELS.values()}
"""What a title or a column of its own says."""
FACTORS = (ALGORITHM, "kl_coef")
"""What an algorithm sets, and in which arms of one experiment may so differ."""
UNSAID = (SEED, "threads", "track_memory", "lr", "critic_lr", "lam")
"""What changes no size: of records that differ in it alone, the one that held most counts."""
MOST_PROJECTED, MOST_MEASURED = 3, 2
"""Experiments that are drawn."""
MOST_BYTES = 1 << 60
SLACK = 1 + 1e-9
"""Rounding of sums."""
BASELINE = "ppo"
PARAMETERS = "parameters"

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
    """What one case holds."""

    @cached_property
    def phases(self) -> dict[str, Phase]:
        """Return its phases in the order of a step; at least one."""
        return phases_of(self.record)

    @cached_property
    def said(self) -> dict[str, str]:
        """Return every axis and further setting of its case; empty where it does not apply."""
        return said_by(self.record)

    @property
    def seed(self) -> str:
        return ""  # It changes no size.

    @property
    def workload(self) -> str:
        return self.record.case.workload

    @property
    def algorithm(self) -> str:
        return self.said.get(ALGORITHM, "")

    @property
    def model(self) -> str:
        return next(filter(None, (self.said.get(name, "") for name in MODELS.values())), "")

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

    def devices_needed(self, size_gb: int) -> int | None:
        """Return the fewest such GPUs that hold it; None where no number that was tried does."""
        count = noted(self.record, f"gpu_{size_gb}", "devices_needed")
        return int(count) if count is not None and 1 <= count <= MOST_STEPS else None


MemoryArm = Arm[StepMemory]
MemoryExperiment = Experiment[StepMemory]


def phases_of(record: Record) -> dict[str, Phase]:
    """Read the peaks of a record's phases; none where it tracks no memory or did not end well."""
    if record.status is not Status.OK:
        return {}
    peaks: dict[str, dict[int, float]] = defaultdict(dict)
    parts: dict[tuple[str, int], dict[Part, float]] = defaultdict(lambda: defaultdict(float))
    for reading in filter(_is_possible, record.readings):
        if reading.metric == PEAK:
            peaks[reading.span][reading.step] = reading.value
        elif reading.metric == PART and (part := parts_of(reading.span)) is not None:
            phase, owner, kind = part
            known = owner if owner in OWNERS else NOBODY, kind if kind in KINDS else OTHER
            parts[phase, reading.step][known] += reading.value
    highest = {phase: max(found, key=lambda step: (found[step], -step)) for phase, found in peaks.items()}
    return {
        phase: _phase(record, phase, peaks[phase][step], parts.get((phase, step), {}))
        for phase in PHASES
        if (step := highest.get(phase)) is not None
    }


def _is_possible(reading: Reading) -> bool:
    return 0 <= reading.step < MOST_STEPS and 0 < reading.value < MOST_BYTES


def _phase(record: Record, phase: str, peak: float, parts: Mapping[Part, float]) -> Phase:
    held = dict(parts)
    if sum(held.values()) > peak * SLACK:
        held = {}  # They cannot be this peak's.
    rest = peak - sum(held.values())
    if rest > peak * (SLACK - 1):
        held[NOBODY, OTHER] = held.get((NOBODY, OTHER), 0.0) + rest
    allocator = [one for one in record.readings if one.span == phase and one.metric == ALLOCATOR_PEAK]
    most = max((one.value for one in filter(_is_possible, allocator)), default=None)
    return Phase(peak=peak, parts=held, allocator=most)


def memory_experiments(results: Results) -> list[MemoryExperiment]:
    """Return projections, then runs, of either the largest model first, and of a model those with the most arms."""
    found = [experiment for workload in MODELS for experiment in _experiments(results, workload)]
    sizes = {one: max(arm.first.parameters or 0.0 for arm in one.arms) for one in found}
    return sorted(found, key=lambda one: (first_of(one).is_measured, -sizes[one], -len(one.arms), one.key))


def _experiments(results: Results, workload: str) -> list[MemoryExperiment]:
    current = [one for one in results.records if one.record.case.workload == workload and phases_of(one.record)]
    design = _design(workload, [one.record for one in current])
    steps = runs_of(replace(results, records=current), design, weight=lambda step, _: step.peak)
    names = _arm_names(arm.key for arm in arms_of(steps, design.is_factor))

    def named(arms: Sequence[MemoryArm]) -> list[MemoryArm]:
        ordered = sorted(arms, key=lambda arm: (rank_of(ALGORITHM, arm.first.algorithm), arm.key))
        return [replace(arm, name=names[arm.key]) for arm in ordered]

    return experiments(steps, design, has_labels=results.several, named=named)


def _design(workload: str, records: Sequence[Record]) -> Design[StepMemory]:
    factors = {*FACTORS, *_bound_to_an_algorithm(records)}
    return Design(
        workload=workload,
        read=lambda one, key: StepMemory(current=one, key=((EVIDENCE, str(one.record.evidence)), *key)),
        is_factor=lambda name: name in factors,
        ignored=UNSAID,
        defaults=defaults_in(records, named_in(records, ignored=UNSAID)),
        heads=(MODELS[workload],),
    )


def said_by(record: Record) -> dict[str, str]:
    """Return the axes and the further settings of a case as its id writes them."""
    return {name: text_of(value) for name, value in (*record.case.axes.items(), *sorted(record.case.extras.items()))}


def _bound_to_an_algorithm(records: Iterable[Record]) -> set[str]:
    """Return settings that some algorithms always have and others never, so that the two cannot agree in them."""
    given, empty = set[tuple[str, str]](), set[tuple[str, str]]()
    for said in map(said_by, records):
        for name, value in said.items():
            (given if value else empty).add((said.get(ALGORITHM, ""), name))
    sometimes = {name for _, name in given & empty}
    return ({name for _, name in given} & {name for _, name in empty}) - sometimes


def _arm_names(keys: Iterable[Pairs]) -> dict[Pairs, Text]:
    """Call an arm by its algorithm, and by what tells it from others of that name in any experiment."""
    names: dict[Pairs, Text] = {}
    for algorithm, alike in grouped(dict.fromkeys(keys), lambda key: dict(key).get(ALGORITHM, "")).items():
        differ = differing(alike)
        names |= {key: dotted(label_of(ALGORITHM, algorithm), *written(key, differ)) for key in alike}
    return names


def written(key: Pairs, names: Collection[str]) -> list[str]:
    """Write these settings of a key."""
    return [f"{name}={value}" for name, value in key if name in names and value]


def own_settings(arm: MemoryArm) -> list[str]:
    """Write what other algorithms cannot have, such as the order in which a critic is updated."""
    return written(arm.key, {name for name, _ in arm.key} - {*FACTORS})


def first_of(experiment: MemoryExperiment) -> StepMemory:
    """Return a case for what all of them share."""
    return experiment.arms[0].first


def drawn_experiments(found: Sequence[MemoryExperiment]) -> list[MemoryExperiment]:
    """Return for each model the experiment with the most arms, and of those the most usual; of the largest models,
    those where arms stand side by side before the others."""
    usual = usual_of([experiment.key for experiment in found])
    best: dict[tuple[bool, str], MemoryExperiment] = {}
    for one in sorted(found, key=lambda one: (-len(one.arms), len(unusual(one.key, usual)))):
        best.setdefault((first_of(one).is_measured, first_of(one).model), one)
    chosen = sorted((one for one in found if one in best.values()), key=lambda one: len(one.arms) == 1)
    return [
        *[one for one in chosen if not first_of(one).is_measured][:MOST_PROJECTED],
        *[one for one in chosen if first_of(one).is_measured][:MOST_MEASURED],
    ]


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
        value = self.arm.first.parameters if over == PARAMETERS else number_of(self.arm.said(over))
        return value if value is not None and 0 < value < MOST else None


def savings(found: Iterable[MemoryExperiment]) -> list[Saving]:
    """Return each algorithm without a critic beside each PPO of its experiment."""
    return [
        Saving(baseline=baseline, arm=arm)
        for experiment in found
        for baseline in experiment.arms
        if baseline.first.algorithm == BASELINE
        for arm in experiment.arms
        if not arm.first.algorithm.startswith(BASELINE)
    ]


def telling_pairs(found: Sequence[Saving]) -> list[list[Saving]]:
    """Return the savings of the algorithm with a reference that most experiments have, and of the one without; the
    projected and the measured ones apart."""
    kinds = grouped(found, lambda one: (one.arm.first.is_measured, not one.arm.first.has_reference))
    return [
        max(grouped(kinds[kind], lambda one: (one.arm.key, one.baseline.key)).values(), key=len)
        for kind in sorted(kinds)
    ]


SAME_COUNTS = ("policy_parameter_count", "critic_parameter_count")
SAME_SETTINGS = (
    *("attention", "num_generations", "prompts_per_step", "micro_batch", "kl_coef", "critic", "update_order"),
    *("optimiser", "logits_chunk", "dtype"),
)
"""In what a run and its projection agree, where both say it."""
OF_A_RUN = {"checkpointing": "false", "reference": "device", "reward_model": "none", "engine": "shared", "shards": "1"}
"""What a run has that does not say otherwise."""
OTHERWISE = {"micro_batch": "minibatch", "dtype": "precision"}
"""What holds where a setting is not given: a whole minibatch at once, and a projection's word for its dtype."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Check:
    """One phase of a run, and its projection."""

    arm: MemoryArm
    phase: str
    measured: float
    allocator: float | None
    projected: float | None
    """Of the same model and settings, its tokens aside, which a run samples as they come."""
    tokens: str
    """Of a prompt and its completion in the projection."""


def checks(found: Sequence[MemoryExperiment]) -> list[Check]:
    """Return phases of runs that a projection or an allocator can be compared with, a row for each projection."""
    every = [arm for experiment in found for arm in experiment.arms]
    projections = [arm.first for arm in every if not arm.first.is_measured]
    rows: list[Check] = []
    for arm in every:
        if arm.first.is_measured:
            alike: list[StepMemory | None] = [one for one in projections if _is_same(arm.first, one)]
            rows += [_check(arm, phase, one) for one in alike or [None] for phase in arm.first.phases]
    return [row for row in rows if row.projected is not None or row.allocator is not None]


def _check(arm: MemoryArm, phase: str, projection: StepMemory | None) -> Check:
    measured, projected = arm.first.phases[phase], projection.phases.get(phase) if projection else None
    return Check(
        arm=arm,
        phase=phase,
        measured=measured.peak,
        allocator=measured.allocator,
        projected=projected.peak if projected else None,
        tokens=projection.said.get("seq_len", "") if projection else "",
    )


def _is_same(run: StepMemory, projection: StepMemory) -> bool:
    counts = [[noted(one.record, "case", name) for one in (run, projection)] for name in SAME_COUNTS]
    if counts[0][0] is None or any(measured != projected for measured, projected in counts):
        return False
    pairs = [(_setting(run, name), _setting(projection, name)) for name in SAME_SETTINGS]
    pairs += [(_setting(run, name) or usual, _setting(projection, name)) for name, usual in OF_A_RUN.items()]
    alike = all(ours == theirs for ours, theirs in pairs if ours and theirs)
    settled = (ALGORITHM, "lora_rank")
    return alike and all(_setting(run, name) == _setting(projection, name) for name in settled)


def _setting(step: StepMemory, name: str) -> str:
    """Return a setting of the case, or one that its record resolved."""
    names = filter(None, (name, OTHERWISE.get(name)))
    return next(filter(None, (step.said.get(one) or text_of(step.record.settings.get(one)) for one in names)), "")
