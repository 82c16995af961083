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
from suite.records.holdings import KINDS, NOBODY, OF_GPU, OTHER, OWNERS, PART, PEAK, REFERENCE, holder_parts
from suite.records.labels import differing
from suite.records.metrics import PHASES
from suite.records.record import Record, Status
from suite.report.blocks import Text, dotted, say
from suite.report.model import run
from suite.report.model.by_setting import belongs_to
from suite.report.model.experiment import Arm, Design, Experiment, experiments, grouped, make_arms, workload_runs
from suite.report.model.labels import ALGORITHM, option_label, option_sort_key, setting_text
from suite.report.model.results import CurrentRecord, Results, cached_by_results
from suite.report.rl.design import DESIGN

MODELS = {"rl_memory": "geometry", "rl": "policy"}
"""The workloads, and the axis that names the model of a case."""
EVIDENCE = "evidence"
TITLED = {EVIDENCE, run.LABEL, *MODELS.values()}  # settings that a title or a column of its own says
UNSAID = (run.SEED, "threads", "track_memory", "lr", "critic_lr", "lam")
"""Settings that change no size: of records that differ in them alone, the one that held most counts."""
MOST_PROJECTED, MOST_MEASURED = 16, 4  # experiments that are drawn, one for each model
SLACK = 1 + 1e-9  # rounding of sums
# Said even where nobody names it: older cases sampled all at once, as nobody named either.
BATCH_THAT_FITS = ("rollout_batch", "fit")
GPUS, SHARDS = "gpus", "shards"
COUNTS = (1, 2, 4, 8)  # numbers of devices that a projection divides its states among
Part = tuple[str, str]
"""Owner and kind."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of a step at its peak."""

    peak: float
    parts: Mapping[Part, float]  # their sum is the peak
    of_gpu: Mapping[str, float]  # by metric of OF_GPU, the most that was counted on a GPU meanwhile; empty on a CPU


@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryCase(run.Run):
    """The memory of a step."""

    phases: Mapping[str, Phase]
    """At least one, in the order of a step."""

    @cached_property
    def case_settings(self) -> dict[str, str]:
        """Every axis and further setting of its case as its id writes them; empty where it does not apply."""
        case = self.record.case
        return {name: run.plain_text(value) for name, value in (*case.axes.items(), *sorted(case.extras.items()))}

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
        return self.constant("policy_parameter_count")

    @property
    def has_reference(self) -> bool:
        """Whether a reference model is held beside the policy."""
        owners = {owner for phase in self.phases.values() for owner, _ in phase.parts}
        return REFERENCE in owners or self.constant("reference_parameter_count") is not None


def case_facets(case: MemoryCase) -> dict[str, Text]:
    """The facets by which a reader chooses the figure of a case's model."""
    return {"model": case.model, "evidence": say(f"evidence.{case.evidence}"), "label": case.label}


MemoryArm = Arm[MemoryCase]
MemoryExperiment = Experiment[MemoryCase]


def read_phases(record: Record) -> dict[str, Phase]:
    """Each phase of a record at the step that held most; empty where it tracks no memory or did not end well. What no
    part accounts for is nobody's."""
    if record.status is not Status.OK or not any((phase, PEAK) in record.by_span for phase in PHASES):
        return {}
    sizes = {
        (span, metric): {step: size for step, size in by_step.items() if size > 0}
        for span, metrics in run.numbers_by_span(record).items()
        for metric, by_step in metrics.items()
    }
    phases = {}
    for phase in PHASES:
        if not (peaks := sizes.get((phase, PEAK))):
            continue
        at = max(peaks, key=lambda step: (peaks[step], -step))
        parts = defaultdict[Part, float](float)
        for (span, metric), by_step in sizes.items():
            part_phase, owner, kind = holder_parts(span) or ("", "", "")
            if part_phase == phase and metric == PART and at in by_step:
                parts[owner if owner in OWNERS else NOBODY, kind if kind in KINDS else OTHER] += by_step[at]
        if sum(parts.values()) > peaks[at] * SLACK:
            parts.clear()  # They cannot be this peak's.
        rest = peaks[at] - sum(parts.values())
        if rest > peaks[at] * (SLACK - 1):
            parts[NOBODY, OTHER] += rest
        counted = {metric: sizes.get((phase, metric), {}) for metric in OF_GPU}
        of_gpu = {metric: max(by_step.values()) for metric, by_step in counted.items() if by_step}
        phases[phase] = Phase(peak=peaks[at], parts=parts, of_gpu=of_gpu)
    return phases


@cached_by_results
def memory_experiments(results: Results) -> Sequence[MemoryExperiment]:
    """Projected experiments, then measured ones; each by model size, largest first, then by number of arms."""

    def order(experiment: MemoryExperiment) -> tuple[bool, float, int, run.Pairs]:
        size = max(arm.first.parameters or 0.0 for arm in experiment.arms)
        return experiment.arms[0].first.is_measured, -size, -len(experiment.arms), experiment.key

    return sorted((experiment for workload in MODELS for experiment in _experiments(results, workload)), key=order)


def _experiments(results: Results, workload: str) -> list[MemoryExperiment]:
    """A workload's experiments on tracked memory; of cases that differ in no size the highest peak counts."""
    phases = {
        id(current): of_step
        for current in results.records
        if current.record.case.workload == workload and (of_step := read_phases(current.record))
    }
    tracked = [current for current in results.records if id(current) in phases]
    records = [current.record for current in tracked]
    # By setting, its value in the records whose case does not name it, where these have a single one.
    defaults = dict[str, str]()
    for name in run.named_settings(records, ignored=UNSAID) - {*BATCH_THAT_FITS}:
        unnamed = [record for record in records if name not in record.case.extras]
        values = {run.resolved_setting(record, name) for record in unnamed} - {""}
        if len(values) == 1:
            defaults[name] = values.pop()

    def read(current: CurrentRecord, key: run.Pairs) -> MemoryCase:
        """A case, whose key says its evidence, too, and that its rollout's batch is one that fits."""
        record, (name, value) = current.record, BATCH_THAT_FITS
        fits = [BATCH_THAT_FITS] if record.settings.get(name) == value and name not in dict(key) else []
        key = ((EVIDENCE, str(record.evidence)), *fits, *key)
        return MemoryCase(current=current, key=key, phases=phases[id(current)])

    design = Design(
        workload=workload,
        read=read,
        is_factor=belongs_to(replace(DESIGN, workload=workload), ALGORITHM),
        repeats="",  # Of all seeds one counts.
        ignored=UNSAID,
        defaults=defaults,
        heads=(MODELS[workload],),
    )
    cases = workload_runs(tracked, design, weight=lambda case, _: case.peak)
    # What tells an arm from others of its algorithm in any experiment is in its name.
    by_algorithm = grouped(make_arms(cases, design.is_factor), lambda arm: arm.value(ALGORITHM))
    differ = {algorithm: differing([arm.key for arm in arms]) for algorithm, arms in by_algorithm.items()}

    def named(arms: Sequence[MemoryArm]) -> list[MemoryArm]:
        """Name arms by algorithm and by the settings in which its arms differ, and sort them."""
        by_rank = sorted(arms, key=lambda arm: (option_sort_key(ALGORITHM, arm.value(ALGORITHM)), arm.key))
        algorithms = [arm.value(ALGORITHM) for arm in by_rank]
        return [
            replace(arm, name=dotted(option_label(ALGORITHM, name), *settings_in_words(arm.key, differ[name])))
            for arm, name in zip(by_rank, algorithms, strict=True)
        ]

    return experiments(cases, design, has_labels=results.several, named=named)


def settings_in_words(key: run.Pairs, names: Collection[str]) -> list[Text]:
    """The named settings of a key that have a value, in words."""
    return [setting_text(name, value) for name, value in key if name in names and value]


def devices_needed(size_gb: int, arm: MemoryArm) -> int | None:
    """The fewest GPUs of a size that hold an arm's step; None where no number tried does. A record says it for some
    sizes; for others it follows from the peak per device and what is kept back."""
    count = noted(arm.first.record, f"gpu_{size_gb}", "devices_needed")
    if count is not None:
        return int(count) if 1 <= count <= run.MOST_STEPS else None
    reserve = run.parse_number(arm.first.setting("reserve_bytes_per_device"))
    if reserve is None:
        return None
    peaks = {shards: peak for shards in COUNTS if (peak := peak_per_device(shards, arm)) is not None}
    return min((shards for shards, peak in peaks.items() if peak <= size_gb * 1e9 - reserve), default=None)


def peak_per_device(shards: int, arm: MemoryArm) -> float | None:
    """The peak in bytes of each of several devices that share a step; None where the record does not say."""
    return noted(arm.first.record, f"shards_{shards}", "peak_bytes_per_device")


def on_gpu(metric: str, arm: MemoryArm) -> float | None:
    """The most bytes of any phase by a metric of OF_GPU; None where there are none, as on a CPU."""
    return max((each.of_gpu[metric] for each in arm.first.phases.values() if metric in each.of_gpu), default=None)


def experiments_to_draw(candidates: Sequence[MemoryExperiment]) -> list[MemoryExperiment]:
    """For each model and evidence the experiment with the most arms, of these the most usual; the first MOST_PROJECTED
    and MOST_MEASURED, those with several arms first."""
    oddity = count_unusual_settings([experiment.key for experiment in candidates])
    by_model = grouped(candidates, lambda each: (each.arms[0].first.is_measured, each.arms[0].first.model))
    best = [
        min(model_experiments, key=lambda each: (-len(each.arms), oddity[each.key]))
        for model_experiments in by_model.values()
    ]
    best.sort(key=lambda experiment: len(experiment.arms) == 1)
    by_evidence = grouped(best, lambda experiment: experiment.arms[0].first.is_measured)
    return by_evidence.get(False, [])[:MOST_PROJECTED] + by_evidence.get(True, [])[:MOST_MEASURED]


def count_unusual_settings(keys: Sequence[run.Pairs]) -> dict[run.Pairs, int]:
    """For each key the number of its settings whose value is not the one that most keys have."""
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
    """Pair each PPO arm with each arm of its experiment that is not PPO, which has no critic."""
    return [
        Saving(baseline=baseline, arm=arm)
        for experiment in compared
        for baseline in experiment.arms
        if baseline.value(ALGORITHM) == "ppo"
        for arm in experiment.arms
        if not arm.value(ALGORITHM).startswith("ppo")
    ]
