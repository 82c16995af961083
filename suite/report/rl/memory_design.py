"""Cases of the memory of a step of reinforcement learning, and which of them are compared.

A case is projected for a geometry, or measured in a run. Arms of one experiment differ in the algorithm and in what it
sets; a setting that applies to some algorithms only, as a critic's does, tells arms apart and no experiments. An owner
or a kind that this suite does not know counts as nobody's and as other, so that the parts of a peak add up to it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from suite.records.derived import noted
from suite.records.holdings import ALLOCATOR_PEAK, KINDS, NOBODY, OTHER, OWNERS, PART, PEAK, REFERENCE, holder_parts
from suite.records.labels import differing
from suite.records.metrics import PHASES
from suite.records.record import Record, Status
from suite.report.blocks import Text, dotted
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import Arm, Design, Experiment, arms_of, experiments, grouped, runs_of
from suite.report.model.labels import ALGORITHM, label_of, rank_of, setting_text
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import LABEL, MOST_STEPS, SEED, Pairs, Run, defaults_in, named_in, number_of, plain_text
from suite.report.rl.design import DESIGN, OfSteps, numbers_by_step

MODELS = {"rl_memory": "geometry", "rl": "policy"}
"""The workloads, and the axis that names the model of a case."""
EVIDENCE = "evidence"
TITLED = {EVIDENCE, LABEL, *MODELS.values()}
"""Settings that a title or a column of its own says."""
UNSAID = (SEED, "threads", "track_memory", "lr", "critic_lr", "lam")
"""Settings that change no size: of records that differ in them alone, the one that held most counts."""
MOST_PROJECTED, MOST_MEASURED = 16, 4
"""Experiments that are drawn, one for each model."""
SLACK = 1 + 1e-9
"""Rounding of sums."""
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
class MemoryCase(Run):
    """The memory of a step."""

    phases: Mapping[str, Phase]
    """At least one, in the order of a step."""

    @cached_property
    def case_settings(self) -> dict[str, str]:
        """Every axis and further setting of its case as its id writes them; empty where it does not apply."""
        case = self.record.case
        return {name: plain_text(value) for name, value in (*case.axes.items(), *sorted(case.extras.items()))}

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
        """The policy's."""
        return self.constant("policy_parameter_count")

    @property
    def has_reference(self) -> bool:
        is_held = any(owner == REFERENCE for phase in self.phases.values() for owner, _ in phase.parts)
        return is_held or self.constant("reference_parameter_count") is not None

    @property
    def allocator(self) -> float | None:
        """The most that the allocator of a GPU held in any phase."""
        return max((held for phase in self.phases.values() if (held := phase.allocator)), default=None)


MemoryArm = Arm[MemoryCase]
MemoryExperiment = Experiment[MemoryCase]


def phases_of(record: Record) -> dict[str, Phase]:
    """The peaks of a record's phases; none where it tracks no memory or did not end well."""
    if record.status is not Status.OK:
        return {}
    of_span = numbers_by_step(record, above=0)
    return {phase: _phase(of_span, phase) for phase in PHASES if PEAK in of_span.get(phase, {})}


def _phase(of_spans: Mapping[str, OfSteps], phase: str) -> Phase:
    """A phase at the step that held most."""
    peaks, allocator = (of_spans[phase].get(metric, {}) for metric in (PEAK, ALLOCATOR_PEAK))
    at = max(peaks, key=lambda step: (peaks[step], -step))
    peak, parts = peaks[at], defaultdict[Part, float](float)
    for span, of_span in of_spans.items():
        of, owner, kind = holder_parts(span) or ("", "", "")
        if of == phase and (size := of_span.get(PART, {}).get(at)):
            parts[owner if owner in OWNERS else NOBODY, kind if kind in KINDS else OTHER] += size
    if sum(parts.values()) > peak * SLACK:
        parts.clear()  # They cannot be this peak's.
    rest = peak - sum(parts.values())
    if rest > peak * (SLACK - 1):
        parts[NOBODY, OTHER] += rest
    return Phase(peak=peak, parts=parts, allocator=max(allocator.values(), default=None))


def memory_experiments(results: Results) -> list[MemoryExperiment]:
    """Projections, then runs, of either the largest model first, and of a model those with the most arms."""

    def place(experiment: MemoryExperiment) -> tuple[bool, float, int, Pairs]:
        size = max(arm.first.parameters or 0.0 for arm in experiment.arms)
        return experiment.arms[0].first.is_measured, -size, -len(experiment.arms), experiment.key

    return sorted((experiment for workload in MODELS for experiment in _experiments(results, workload)), key=place)


def _experiments(results: Results, workload: str) -> list[MemoryExperiment]:
    tracked = [
        current for current in results.records if current.record.case.workload == workload and phases_of(current.record)
    ]
    records = [current.record for current in tracked]
    design = Design(
        workload=workload,
        read=_read,
        is_factor=belongs_to(replace(DESIGN, workload=workload), ALGORITHM),
        repeats="",  # Of all seeds one counts.
        ignored=UNSAID,
        defaults=defaults_in(records, named_in(records, ignored=UNSAID) - {*BATCH_THAT_FITS}),
        heads=(MODELS[workload],),
    )
    cases = runs_of(tracked, design, weight=lambda case, _: case.peak)
    # What tells an arm from others of its algorithm in any experiment is in its name.
    of_algorithm = grouped(arms_of(cases, design.is_factor), lambda arm: arm.value(ALGORITHM))
    differ = {algorithm: differing([arm.key for arm in arms]) for algorithm, arms in of_algorithm.items()}

    def named(arm: MemoryArm) -> MemoryArm:
        algorithm = arm.value(ALGORITHM)
        return replace(arm, name=dotted(label_of(ALGORITHM, algorithm), *written(arm.key, differ[algorithm])))

    def ordered(arms: Sequence[MemoryArm]) -> list[MemoryArm]:
        return [named(arm) for arm in sorted(arms, key=lambda arm: (rank_of(ALGORITHM, arm.value(ALGORITHM)), arm.key))]

    return experiments(cases, design, has_labels=results.several, named=ordered)


def _read(current: CurrentRecord, key: Pairs) -> MemoryCase:
    """A case, whose key says what it is evidence of too, and that its rollout's batch is one that fits."""
    record, (name, value) = current.record, BATCH_THAT_FITS
    unsaid = [BATCH_THAT_FITS] if record.settings.get(name) == value and name not in dict(key) else []
    key = ((EVIDENCE, str(record.evidence)), *unsaid, *key)
    return MemoryCase(current=current, key=key, phases=phases_of(record))


def written(key: Pairs, names: Collection[str]) -> list[Text]:
    """These settings of a key in plain words."""
    return [setting_text(name, value) for name, value in key if name in names and value]


def devices_needed(size_gb: int, arm: MemoryArm) -> int | None:
    """The fewest such GPUs that hold an arm; None where no number that was tried does.

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


def peak_of_one(shards: int, arm: MemoryArm) -> float | None:
    """The peak of each of several devices that share a step."""
    return noted(arm.first.record, f"shards_{shards}", "peak_bytes_per_device")


def drawn_experiments(candidates: Sequence[MemoryExperiment]) -> list[MemoryExperiment]:
    """For each model the experiment with the most arms, and of those the most usual; of the largest models, those where
    arms stand side by side before the others.
    """
    oddity = unusual([experiment.key for experiment in candidates])
    of_model = grouped(candidates, lambda each: (each.arms[0].first.is_measured, each.arms[0].first.model))
    best = [min(alike, key=lambda each: (-len(each.arms), oddity[each.key])) for alike in of_model.values()]
    best.sort(key=lambda experiment: len(experiment.arms) == 1)
    by_evidence = grouped(best, lambda experiment: experiment.arms[0].first.is_measured)
    return by_evidence.get(False, [])[:MOST_PROJECTED] + by_evidence.get(True, [])[:MOST_MEASURED]


def unusual(keys: Sequence[Pairs]) -> dict[Pairs, int]:
    """In how many settings each key is not as most are, of those that it has."""
    usual = {name: Counter(dict(key).get(name, "") for key in keys).most_common(1)[0][0] for name in differing(keys)}
    return {key: sum(usual.get(name, value) != value for name, value in key) for key in keys}


@dataclass(frozen=True, kw_only=True, eq=False)
class Saving:
    """An algorithm without a critic beside PPO."""

    baseline: MemoryArm
    arm: MemoryArm

    @property
    def share(self) -> float:
        """How much of PPO's peak is not held; below zero where the arm holds more."""
        return 1 - self.arm.first.peak / self.baseline.first.peak


def savings(compared: Iterable[MemoryExperiment]) -> list[Saving]:
    """Each algorithm without a critic beside each PPO of its experiment."""
    return [
        Saving(baseline=baseline, arm=arm)
        for experiment in compared
        for baseline in experiment.arms
        if baseline.value(ALGORITHM) == "ppo"
        for arm in experiment.arms
        if not arm.value(ALGORITHM).startswith("ppo")
    ]
