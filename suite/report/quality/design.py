"""Decoders trained on questions: their records as runs, arms and experiments, and what an arm is called.

Two arms are paired by their seed: one seed is asked the same questions in the same order, whatever the variant. Arms
stand in one experiment where everything but the variant and its sizes agrees.
"""

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count, takewhile
from statistics import median

from suite.records import numbers
from suite.records.metrics import CACHED, DECODE, EVALUATE, HEAD_ABLATION, below
from suite.records.record import STEP, Reading, Record
from suite.report.blocks import Text, joined, say
from suite.report.model.experiment import (
    Arm,
    ArmQuantity,
    Contrast,
    Design,
    Experiment,
    contrast,
    experiments,
    grouped,
    judged,
    runs_of,
    with_value,
    without,
)
from suite.report.model.formats import nats, points
from suite.report.model.labels import VARIANT, name_facets, rank, style_of, variant_label
from suite.report.model.results import CurrentRecord, Results
from suite.report.model.run import (
    LABEL,
    MOST,
    MOST_STEPS,
    PLAUSIBLE_S,
    Pairs,
    Run,
    axis,
    number_of,
    share,
    whole_number,
)
from suite.statistics.paired import NATS_MARGIN, SHARE_MARGIN

ALL = ""
"""Stands for questions of every kind together, or for tokens of every class."""
TELLING = {"two_hop": "two hops"}
"""Tasks whose name is that of one kind of their questions: it stands for the task."""
TIERS = ("often", "sometimes", "rarely")
"""Kinds of question of task=tiers, by how often they are asked where asking is uneven. Always the same attributes."""
RARELY = TIERS[-1]
TIERS_TASK, RECALL, PLAYS = "tiers", "recall", "plays"
TASKS = (TIERS_TASK, RECALL, "two_hop", "copying", "counting", PLAYS)
"""In the order of tables; a task that is not here stands behind them."""
TASK_SETTING, FREQUENCY, SKEWED, UPDATES = "task.", "task.query_frequency", "skewed", "updates"
LATENT_NORM, ROPE_DIM = "attention.latent_norm", "attention.qk_rope_head_dim"
RANK, KV_HEADS = "attention.kv_lora_rank", "attention.kv_heads"
HEAD_DIM = "geometry.head_dim"
"""Heads narrower than MHA's make a narrow cache without a latent."""
NAMED = (RANK, KV_HEADS, HEAD_DIM, LATENT_NORM)
"""Sizes that an arm's name says in words."""
MARKERS_WITHOUT = {(ROPE_DIM, "0"): "triangle-left", (LATENT_NORM, "false"): "triangle-right"}
"""Marks of variants that lack a part, by the setting that takes it away."""
WITHOUT_EFFECT = ("eval_every", "decode_len", "checkpoint_seconds")
"""Settings that change nothing of what is learnt."""
RATIO_OF_RANK = 4
"""DeepSeek-V2's latent is as wide as so many heads, where no rank is named (suite/theory/layers/latent_shapes.py)."""

BySpan = Mapping[str, Mapping[int, float]]
"""Numbers by the part behind a span, mostly a kind of question; then by the steps before the evaluation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityRun(Run):
    """One decoder trained on questions: what it answered of each kind, and when."""

    answered: BySpan = field(default_factory=dict)
    loss: BySpan = field(default_factory=dict)
    without_heads: BySpan = field(default_factory=dict)
    """The share still answered without a head, by head and kind: `head/kind`."""
    recoverable: BySpan = field(default_factory=dict)
    """The share that a linear reader finds in the cache."""
    updates: Mapping[int, float] = field(default_factory=dict)
    """Before each evaluation, as far as known."""
    questions: float | None = None
    """That it was trained on."""
    decode_s: float | None = None
    """Median time of a new token: CPU time of the process, and on a GPU by its own clock."""
    is_wide: bool = True
    """True if its heads are as wide as most."""
    experiment_name: Text = ""

    @property
    def ended(self) -> bool:
        return self.is_ok and ALL in self.answered

    @property
    def task(self) -> str:
        return self.axis("task")

    @property
    def attention(self) -> str:
        return self.axis(VARIANT)

    @property
    def facets(self) -> dict[str, Text]:
        return name_facets(self.record.case.axes) | {LABEL: self.label}

    @property
    def telling(self) -> str:
        """The kind of question that the task is told by."""
        kind = TELLING.get(self.task, ALL)
        return kind if kind in self.answered else ALL

    def final(self, kind: str = ALL) -> float | None:
        """The share answered once trained."""
        return last(self.answered, kind or self.telling)

    def final_loss(self) -> float | None:
        """The loss on a held-out answer once trained, in nats."""
        return last(self.loss, ALL)

    def chance(self, kind: str = ALL) -> float | None:
        """The share that guessing answers."""
        return share(self.constant("chance", "/".join(filter(None, [EVALUATE, kind or self.telling]))))

    def curve(self) -> tuple[Sequence[float], Sequence[float]]:
        """Updates and shares of the evaluations whose updates are known, in order."""
        shares = self.answered.get(self.telling, {})
        curve = sorted((self.updates[step], value) for step, value in shares.items() if step in self.updates)
        return [spent for spent, _ in curve], [value for _, value in curve]


QualityArm = Arm[QualityRun]
QualityExperiment = Experiment[QualityRun]
QualityContrast = Contrast[QualityRun]
Value = Callable[[QualityRun], float | None]


def read_run(current: CurrentRecord, key: Pairs) -> QualityRun:
    """Read a record; one that did not end well, or was never evaluated, gives a run that has nothing."""
    run = QualityRun(current=current, key=key)
    readings = possible_readings(current.record)
    shares = [reading for reading in readings if reading.value <= 1]
    answered = by_span(shares, "answer_accuracy", EVALUATE)
    if not run.is_ok or ALL not in answered:
        return run
    asked = by_span(readings, "questions", STEP).get(ALL)
    # Behind a missing step nobody knows how many updates there were.
    by_step = by_span(readings, "updates", STEP).get(ALL, {})
    counted = takewhile(lambda step: by_step.get(step, -1.0) >= 0, count())
    return replace(
        run,
        answered=answered,
        loss=by_span(readings, "answer_loss", EVALUATE),
        without_heads=by_span(shares, "answer_accuracy", HEAD_ABLATION),
        recoverable=by_span(shares, "linear_probe_accuracy", CACHED),
        updates=dict(enumerate(accumulate((by_step[step] for step in counted), initial=0.0))),
        questions=math.fsum(asked.values()) if asked else None,
        decode_s=decoded_s(current.record) if current.is_of_one_machine else None,
    )


def possible_readings(record: Record) -> list[Reading]:
    """The readings whose step and value can be; nothing of these workloads is below zero."""
    return list(filter(_is_possible, record.readings))


def _is_possible(reading: Reading) -> bool:
    return 0 <= reading.step < MOST_STEPS and 0 <= reading.value < MOST


def decoded_s(record: Record) -> float | None:
    """The median time of a new token, as QualityRun.decode_s has it."""
    timed = [reading for reading in record.series("latency_s", DECODE) if _is_possible(reading)]
    is_cpu = axis(record, "device") == "cpu"
    taken = [
        reading.process_cpu_s if is_cpu and reading.process_cpu_s is not None else reading.value for reading in timed
    ]
    usable = [value for value in taken if PLAUSIBLE_S[0] < value < PLAUSIBLE_S[1]]
    return median(usable) if usable else None


def last(numbers_by_span: BySpan, kind: str) -> float | None:
    """The number of the last evaluation."""
    by_step = numbers_by_span.get(kind)
    return by_step[max(by_step)] if by_step else None


def by_span(readings: Iterable[Reading], metric: str, span: str) -> BySpan:
    """A metric by what stands behind a span, and by step; ALL stands for the span itself."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for reading in readings:
        behind = ALL if reading.span == span else below(reading.span, span)
        if reading.metric == metric and behind is not None:
            values[behind][reading.step] = reading.value
    return dict(values)


DESIGN = Design(
    workload="quality",
    read=read_run,
    is_factor=lambda name: name == VARIANT or name.startswith(("attention.", HEAD_DIM)),
    ignored=WITHOUT_EFFECT,
    belongs={VARIANT: (HEAD_DIM,)},
    defaults={FREQUENCY: SKEWED, LATENT_NORM: "true"},
    heads=("task",),
    unsaid={("match", "heads")},
)


@functools.lru_cache(maxsize=1)
def quality_experiments(results: Results) -> Sequence[QualityExperiment]:
    """Every experiment, task by task, those with the most arms first.

    MHA is the baseline; where only match=heads has it, that one, which no matching changes.
    """
    runs = runs_of(results.records, DESIGN)
    ended = {run.key for run in runs if run.ended}
    widths = Counter(run.setting(HEAD_DIM) for run in runs if run.ended)
    usual = max(widths, key=widths.__getitem__, default="")
    of_ended = [replace(run, is_wide=run.setting(HEAD_DIM) == usual) for run in runs if run.key in ended]
    named = [_named(experiment) for experiment in experiments(of_ended, DESIGN, has_labels=results.several, named=list)]
    own = {experiment.key: next(filter(is_mha, experiment.arms), None) for experiment in named}
    labels = list(results.labels)
    return sorted(
        (replace(each, baseline=own[each.key] or own.get(with_value(each.key, "match", "heads"))) for each in named),
        key=lambda experiment: (
            labels.index(experiment.label),
            task_rank(experiment.value("task")),
            -len(experiment.arms),
            [(name, number_of(value) or 0.0, value) for name, value in experiment.key],
        ),
    )


def task_experiments(results: Results) -> list[QualityExperiment]:
    """Those of tasks other than the tiers."""
    return [experiment for experiment in quality_experiments(results) if experiment.value("task") != TIERS_TASK]


def task_rank(task: str) -> tuple[int, str]:
    """Sort tasks, those that we do not know last."""
    return (TASKS.index(task) if task in TASKS else len(TASKS), task)


def order(arm: QualityArm) -> tuple[tuple[int, str], float, Pairs]:
    """Sort arms from the widest kind of cache to the most compressed, and of a kind the widest first."""
    return rank(arm.first.attention), -(cache_bytes(arm) or 0.0), arm.key


def _named(experiment: QualityExperiment) -> QualityExperiment:
    arms = []
    for arm in sorted(experiment.arms, key=order):
        runs = [replace(run, experiment_name=experiment.name) for run in arm.runs]
        style = style_of(VARIANT, arm.first.attention)
        without_a_part = (marker for (name, value), marker in MARKERS_WITHOUT.items() if arm.value(name) == value)
        style = replace(style, marker=next(without_a_part, style.marker))
        arms.append(replace(arm, name=variant_name(arm), style=style, runs=runs))
    return replace(experiment, arms=arms)


def is_latent(arm: QualityArm) -> bool:
    """Whether it caches a latent."""
    return arm.first.attention.split("_")[0] == "mla"


def is_mha(arm: QualityArm) -> bool:
    """Whether it is MHA as it is laid over the geometry, which the others are compared with."""
    return arm.first.attention == "mha" and arm.first.is_wide


def is_plain(arm: QualityArm) -> bool:
    """Whether it is a variant as others know it: with rotary embedding, and with its latent's norm."""
    return arm.value(ROPE_DIM) != "0" and not arm.value(LATENT_NORM)


def is_plain_mla(arm: QualityArm) -> bool:
    """Whether it is MLA as others know it."""
    return is_latent(arm) and is_plain(arm)


def latent_rank(arm: QualityArm) -> int | None:
    """Its latent's rank; where none is named, as the variant lays it over heads of this width."""
    return (whole_number(arm.first.setting(RANK)) or _default_rank(arm)) if is_latent(arm) else None


def has_default_rank(arm: QualityArm) -> bool:
    """Whether its latent is as wide as DeepSeek-V2's."""
    default = _default_rank(arm)
    return is_latent(arm) and default is not None and latent_rank(arm) == default


def _default_rank(arm: QualityArm) -> int | None:
    head_dim = whole_number(arm.first.setting(HEAD_DIM))
    return head_dim and RATIO_OF_RANK * head_dim


def is_by_loss(arm: QualityArm) -> bool:
    """Whether its task has no right answer, and the loss says how good a guess was."""
    return arm.first.task == PLAYS


def cache_bytes(arm: QualityArm) -> float | None:
    """The cache of a token, over all layers."""
    return arm.first.constant("cache_bytes_per_token")


def decode_s(arm: QualityArm) -> float | None:
    """The mean of the seeds' medians."""
    return arm.mean(lambda run: run.decode_s)


def variant_name(arm: QualityArm) -> Text:
    """What people call it: MLA rank 16, GQA-2, MQA with heads of 8, MLA rank 16 without RoPE."""
    sizes, name = dict(arm.key), variant_label(arm.first.attention)
    sized: Text = name
    if latent_rank(arm) is not None:
        sized = say("quality.name.rank", name=name, rank=latent_rank(arm))
    elif sizes.get(KV_HEADS):
        sized = f"{name}-{sizes[KV_HEADS]}"
    if not arm.first.is_wide:
        sized = say("quality.name.heads", name=sized, width=sizes.get(HEAD_DIM) or numbers.NOTHING)
    rest = [
        f"{size.partition('.')[2]}={value}"
        for size, value in arm.key
        if "." in size and size not in NAMED and (size, value) != (ROPE_DIM, "0")
    ]
    return joined(" ", [without_parts(sized, arm), f"({', '.join(rest)})" if rest else ""])


def without_parts(name: Text, arm: QualityArm) -> Text:
    """A name with the parts of MLA that an arm lacks."""
    if arm.value(ROPE_DIM) == "0":
        name = say("quality.name.no_rope", name=name)
    return say("quality.name.no_norm", name=name) if arm.value(LATENT_NORM) == "false" else name


def share_of(kind: str) -> Value:
    """Gives a run's share of questions of a kind."""
    return lambda run: run.final(kind)


LOSS: ArmQuantity[QualityRun] = ArmQuantity(
    name="loss",
    value=lambda run: None if (loss := run.final_loss()) is None else -loss,
    text="{:.3f}".format,
    difference=nats,
    unit="nats",
    margin=NATS_MARGIN,
)
"""With its sign turned, so that higher is better."""


def compared(arm: QualityArm, other: QualityArm, kind: str = ALL, *, by_loss: bool = False) -> QualityContrast | None:
    """Compare two arms by the questions of a kind; `by_loss`: by the loss where a task has no right answers."""
    answered = ArmQuantity(
        name="answered",
        value=share_of(kind),
        text=numbers.percent,
        difference=points,
        unit="points",
        margin=SHARE_MARGIN,
        bounds=(arm.first.chance(kind), 1.0),
    )
    return contrast(arm, other, LOSS if by_loss and is_by_loss(arm) else answered, about=kind)


def against_mha(experiment: QualityExperiment, kind: str = ALL, *, by_loss: bool = False) -> list[QualityContrast]:
    """Compare every other arm with MHA, all of an experiment together; none where MHA is missing."""
    mha = experiment.baseline
    return [] if mha is None else judged(compared(arm, mha, kind, by_loss=by_loss) for arm in experiment.others)


def longest_against_mha(
    every: Iterable[QualityExperiment], is_chosen: Callable[[QualityArm], bool], kind: str = ALL
) -> list[QualityContrast]:
    """Compare arms with MHA, of those that differ in their updates alone the last: what comes late is no ceiling."""
    with_mha = [experiment for experiment in every if experiment.baseline is not None]
    others = [arm for experiment in with_mha for arm in experiment.others]
    alike = grouped(others, lambda arm: (without(arm.setting, [UPDATES]), arm.key)).values()
    longest = {max(arms, key=lambda arm: number_of(arm.value(UPDATES)) or 0.0) for arms in alike}
    return [
        pair
        for experiment in with_mha
        for pair in against_mha(experiment, kind, by_loss=True)
        if pair.arm in longest and is_chosen(pair.arm)
    ]
