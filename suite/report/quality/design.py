"""Decoders trained on questions: their records as runs, arms and experiments, and what an arm is called.

Two arms are paired by their seed: one seed is asked the same questions in the same order, whatever the variant. Arms
stand in one experiment where everything but the variant and its sizes agrees.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count, takewhile
from statistics import median

from suite.records import numbers
from suite.records.metrics import CACHED, DECODE, EVALUATE, HEAD_ABLATION, below
from suite.records.record import STEP, Record
from suite.report.blocks import Text, joined, say
from suite.report.model.experiment import (
    Arm,
    Contrast,
    Design,
    Experiment,
    drop_settings,
    experiments,
    grouped,
    with_value,
    workload_runs,
)
from suite.report.model.labels import VARIANT, name_facets, option_style, variant_label, variant_sort_key
from suite.report.model.results import CurrentRecord, Results, cached_by_results
from suite.report.model.run import (
    LABEL,
    MOST,
    MOST_STEPS,
    PLAUSIBLE_S,
    MetricsBySpan,
    Pairs,
    Run,
    SeriesByName,
    axis,
    numbers_by_span,
    parse_number,
    parse_whole_number,
    share,
)

ALL = ""  # stands for questions of every kind together, or for tokens of every class
TELLING = {"two_hop": "two hops"}
"""Tasks whose name is that of one kind of their questions: it stands for the task."""
TIERS = ("often", "sometimes", "rarely")
"""Kinds of question of task=tiers, by how often they are asked where asking is uneven. Always the same attributes."""
RARELY = TIERS[-1]
TIERS_TASK, PLAYS = "tiers", "plays"
TASKS = (TIERS_TASK, "recall", "two_hop", "copying", "counting", PLAYS)  # in the order of tables; others stand behind
FREQUENCY, SKEWED, UPDATES = "task.query_frequency", "skewed", "updates"
RATE = "lr"  # of an arm, since each may be trained at the best for itself
LATENT, LATENT_NORM, ROPE_DIM = "attention.latent", "attention.latent_norm", "attention.qk_rope_head_dim"
TAKEN_AWAY = {
    ROPE_DIM: {"0": "triangle-left"},
    LATENT_NORM: {"false": "triangle-right"},
    LATENT: {"frozen": "hourglass", "slice": "bowtie"},
}
"""Parts that MLA can do without (of its latent, the training), and the values that say so, each with its marker."""
RANK, KV_HEADS = "attention.kv_lora_rank", "attention.kv_heads"
HEAD_DIM = "geometry.head_dim"  # heads narrower than MHA's make a narrow cache without a latent
NAMED = (RANK, KV_HEADS, HEAD_DIM, LATENT_NORM, LATENT)  # sizes that an arm's name says in words
WITHOUT_EFFECT = ("eval_every", "ablate_heads", "decode_len", "checkpoint_seconds")
"""Settings that change nothing of what is learnt."""
# DeepSeek-V2's latent is as wide as so many heads, where no rank is named (suite/theory/layers/latent_shapes.py).
RATIO_OF_RANK = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityRun(Run):
    """One decoder trained on questions: what it answered of each kind, and when.

    Series are by the kind of question, or whatever stands behind the span, then by the steps before the evaluation.
    """

    answered: SeriesByName = field(default_factory=dict)
    loss: SeriesByName = field(default_factory=dict)
    without_heads: SeriesByName = field(default_factory=dict)
    """The share still answered without a head, by head and kind: `head/kind`."""
    recoverable: SeriesByName = field(default_factory=dict)
    """The share that a linear reader finds in the cache."""
    updates: Mapping[int, float] = field(default_factory=dict)  # before each evaluation, as far as known
    questions: float | None = None  # that it was trained on
    decode_s: float | None = None
    """Median time of a new token: CPU time of the process, and on a GPU by its own clock."""
    is_wide: bool = True  # no other heads of its experiment are wider
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
    def telling_kind(self) -> str:
        """The kind of question that a run of this task is judged by; ALL where it was asked none of that kind."""
        kind = TELLING.get(self.task, ALL)
        return kind if kind in self.answered else ALL

    def final(self, kind: str = ALL) -> float | None:
        """The share answered at the last evaluation, of one kind of question; by default of the telling kind."""
        return last(self.answered, kind or self.telling_kind)

    def final_loss(self) -> float | None:
        """The loss on a held-out answer at the last evaluation, in bits. The answers of the task that is judged by it
        are bytes."""
        loss_nats = last(self.loss, ALL)
        return None if loss_nats is None else loss_nats / math.log(2)

    def chance(self, kind: str = ALL) -> float | None:
        """The share that guessing answers, of one kind of question; by default of the telling kind."""
        return share(self.constant("chance", "/".join(filter(None, [EVALUATE, kind or self.telling_kind]))))

    def curve(self, kind: str = ALL) -> tuple[Sequence[float], Sequence[float]]:
        """Updates, and shares of a kind of question, by default the telling one, at the evaluations whose updates are
        known, in order."""
        shares = self.answered.get(kind or self.telling_kind, {})
        curve = sorted((self.updates[step], value) for step, value in shares.items() if step in self.updates)
        return [updates for updates, _ in curve], [value for _, value in curve]


QualityArm = Arm[QualityRun]
QualityExperiment = Experiment[QualityRun]
QualityContrast = Contrast[QualityRun]
Value = Callable[[QualityRun], float | None]


def read_run(current: CurrentRecord, key: Pairs) -> QualityRun:
    """Read a record; one that did not end well, or was never evaluated, gives a run without any series."""
    run, values = QualityRun(current=current, key=key), numbers_by_span(current.record)
    answered = series_below(values, "answer_accuracy", EVALUATE, most=1)
    if not run.is_ok or ALL not in answered:
        return run
    questions = series_below(values, "questions", STEP).get(ALL)
    # Behind a missing step nobody knows how many updates there were.
    updates = series_below(values, "updates", STEP).get(ALL, {})
    steps = takewhile(updates.__contains__, count())
    return replace(
        run,
        answered=answered,
        loss=series_below(values, "answer_loss", EVALUATE),
        without_heads=series_below(values, "answer_accuracy", HEAD_ABLATION, most=1),
        recoverable=series_below(values, "linear_probe_accuracy", CACHED, most=1),
        updates=dict(enumerate(accumulate((updates[step] for step in steps), initial=0.0))),
        questions=math.fsum(questions.values()) if questions else None,
        decode_s=median_decode_s(current.record) if current.is_of_one_machine else None,
    )


def series_below(values: MetricsBySpan, metric: str, span: str, *, most: float = MOST) -> SeriesByName:
    """A metric by step, for each part below a span (ALL is the span itself). Values below 0 or above `most` are
    dropped, and parts without a value. `most`: 1 for a share."""
    series = {}
    for name, metrics in values.items():
        part = ALL if name == span else below(name, span)
        by_step = {step: value for step, value in metrics.get(metric, {}).items() if 0 <= value <= most}
        if part is not None and by_step:
            series[part] = by_step
    return series


def median_decode_s(record: Record) -> float | None:
    """The median time of a new token in seconds, as QualityRun.decode_s has it; None where no time is plausible."""
    rows, times = record.series("latency_s", DECODE), list[float]()
    clock = rows.column("process_cpu_s" if axis(record, "device") == "cpu" else "value")
    for step, value, seconds in zip(rows.column("step"), rows.column("value"), clock, strict=True):
        if 0 <= step < MOST_STEPS and 0 <= value < MOST:
            times.append(value if seconds is None else seconds)
    plausible = [time for time in times if PLAUSIBLE_S[0] < time < PLAUSIBLE_S[1]]
    return median(plausible) if plausible else None


def last(series: SeriesByName, kind: str) -> float | None:
    """A series' value at the last evaluation, of one kind; None where it has none."""
    by_step = series.get(kind)
    return by_step[max(by_step)] if by_step else None


DESIGN = Design(
    workload="quality",
    read=read_run,
    is_factor=lambda name: name in (VARIANT, RATE) or name.startswith(("attention.", HEAD_DIM)),
    ignored=WITHOUT_EFFECT,
    belongs={VARIANT: (HEAD_DIM,)},
    defaults={FREQUENCY: SKEWED, LATENT_NORM: "true"},
    heads=("task",),
    unsaid={("match", "heads")},
)


@cached_by_results
def quality_experiments(results: Results) -> Sequence[QualityExperiment]:
    """Every experiment, task by task, those with the most arms first. MHA is the baseline; where only match=heads has
    it, that one, which no matching changes."""
    runs = workload_runs(results.records, DESIGN)
    ended_keys = {run.key for run in runs if run.ended}
    runs = [run for run in runs if run.key in ended_keys]
    unnamed = experiments(runs, DESIGN, has_labels=results.several, named=lambda arms: sorted(arms, key=arm_order))
    named_experiments = [replace(each, arms=_named(each)) for each in unnamed]
    mha = {each.key: next(filter(is_mha, tuned_arms(each.arms)), None) for each in named_experiments}
    labels = list(results.labels)
    return sorted(
        (
            replace(each, baseline=mha[each.key] or mha.get(with_value(each.key, "match", "heads")))
            for each in named_experiments
        ),
        key=lambda experiment: (
            labels.index(experiment.label),
            task_order(experiment.value("task")),
            -len(experiment.arms),
            [(name, parse_number(value) or 0.0, value) for name, value in experiment.key],
        ),
    )


def task_experiments(results: Results) -> list[QualityExperiment]:
    """The experiments of every task but the tiers."""
    return [experiment for experiment in quality_experiments(results) if experiment.value("task") != TIERS_TASK]


def task_order(task: str) -> tuple[int, str]:
    """The sort key of a task: its place in TASKS, those that we do not know last."""
    return (TASKS.index(task) if task in TASKS else len(TASKS), task)


def arm_order(arm: QualityArm) -> tuple[tuple[int, str], float, Pairs]:
    """The sort key of an arm: the kind of cache, the widest kind first, then its bytes, the most first."""
    return variant_sort_key(arm.first.attention), -(cache_bytes(arm) or 0.0), arm.key


def tuned_arms(arms: Iterable[QualityArm]) -> list[QualityArm]:
    """Of arms that differ in their learning rate alone, the one with the most runs: rates are tuned on few seeds, and
    the best has more."""
    by_rest = grouped(arms, lambda arm: drop_settings(arm.key, [RATE])).values()
    return [max(siblings, key=lambda arm: len(arm.ended)) for siblings in by_rest]


def _named(experiment: QualityExperiment) -> list[QualityArm]:
    """The arms with their names, styles (a part that they lack has a marker) and, in their runs, the experiment's name.
    The learning rate is named where arms differ in nothing else."""
    arms, but_rate = [], Counter(drop_settings(arm.key, [RATE]) for arm in experiment.arms)
    # Heads narrower than the geometry's are one way to a small cache; wider ones are not.
    widths = [arm.first.setting(HEAD_DIM) for arm in experiment.arms]
    full_width = max(widths, key=lambda width: parse_number(width) or 0.0)
    for unnamed in experiment.arms:
        runs = [
            replace(run, experiment_name=experiment.name, is_wide=run.setting(HEAD_DIM) == full_width)
            for run in unnamed.runs
        ]
        arm = replace(unnamed, runs=runs)
        style = option_style(VARIANT, arm.first.attention)
        markers = (TAKEN_AWAY[part][arm.value(part)] for part in TAKEN_AWAY if lacks(arm, part))
        name = variant_name(arm, has_rate=but_rate[drop_settings(arm.key, [RATE])] > 1)
        arms.append(replace(arm, name=name, style=replace(style, marker=next(markers, style.marker))))
    return arms


def whole_arm(experiment: QualityExperiment, arm: QualityArm, part: str) -> QualityArm | None:
    """The latent of an experiment that has a part of MLA and is like this arm in all else but its learning rate; None
    where the arm has the part itself."""
    key = drop_settings(arm.key, [part, RATE])
    latents = [
        each for each in tuned_arms(experiment.arms) if is_latent(each) and drop_settings(each.key, [RATE]) == key
    ]
    return next(iter(latents), None) if lacks(arm, part) else None


def is_latent(arm: QualityArm) -> bool:
    """Whether an arm caches a latent: MLA, in any of its forms."""
    return arm.first.attention.split("_")[0] == "mla"


def is_mha(arm: QualityArm) -> bool:
    """Whether an arm is MHA with heads of the geometry's own width: the reference of comparisons."""
    return arm.first.attention == "mha" and arm.first.is_wide


def lacks(arm: QualityArm, part: str) -> bool:
    """Whether a part of MLA, one of TAKEN_AWAY, is turned off in an arm."""
    return arm.value(part) in TAKEN_AWAY[part]


def is_plain(arm: QualityArm) -> bool:
    """Whether an arm has its variant's published form: rotary embedding, and a latent that is trained and normed."""
    return not any(lacks(arm, part) for part in TAKEN_AWAY)


def is_plain_mla(arm: QualityArm) -> bool:
    """Whether an arm is MLA with all of its parts."""
    return is_latent(arm) and is_plain(arm)


def latent_rank(arm: QualityArm) -> int | None:
    """The rank of MLA's latent; where none is set, its variant's default for this head width. None without a latent."""
    return (parse_whole_number(arm.first.setting(RANK)) or _default_rank(arm)) if is_latent(arm) else None


def has_default_rank(arm: QualityArm) -> bool:
    """Whether an arm's latent is as wide as DeepSeek-V2's: RATIO_OF_RANK heads."""
    default = _default_rank(arm)
    return is_latent(arm) and default is not None and latent_rank(arm) == default


def _default_rank(arm: QualityArm) -> int | None:
    head_dim = parse_whole_number(arm.first.setting(HEAD_DIM))
    return head_dim and RATIO_OF_RANK * head_dim


def is_by_loss(arm: QualityArm) -> bool:
    """Whether an arm is judged by its loss, since its task has no right answer."""
    return arm.first.task == PLAYS


def cache_bytes(arm: QualityArm) -> float | None:
    """The bytes that an arm caches for a token, over all layers."""
    return arm.first.constant("cache_bytes_per_token")


def decode_s(arm: QualityArm) -> float | None:
    """The seconds of a new token: the mean over an arm's seeds of their medians."""
    return arm.mean(lambda run: run.decode_s)


def variant_name(arm: QualityArm, *, has_rate: bool = False) -> Text:
    """An arm's variant with its sizes: MLA rank 16, GQA-2, MQA with heads of 8, MLA rank 16 without RoPE."""
    sizes, name = dict(arm.key), variant_label(arm.first.attention)
    sized: Text = name
    if latent_rank(arm) is not None:
        sized = say("quality.name.rank", name=name, rank=latent_rank(arm))
    elif sizes.get(KV_HEADS):
        sized = f"{name}-{sizes[KV_HEADS]}"
    if not arm.first.is_wide:
        sized = say("quality.name.heads", name=sized, width=sizes.get(HEAD_DIM) or numbers.NOTHING)
    further = [
        f"{size.rpartition('.')[2]}={value}"
        for size, value in arm.key
        if ("." in size and size not in NAMED and (size, value) != (ROPE_DIM, "0")) or (has_rate and size == RATE)
    ]
    return joined(" ", [name_without_parts(sized, arm), f"({', '.join(further)})" if further else ""])


def name_without_parts(name: Text, arm: QualityArm) -> Text:
    """A name and behind it the parts of MLA that an arm lacks: MLA without RoPE."""
    if lacks(arm, ROPE_DIM):
        name = say("quality.name.no_rope", name=name)
    if lacks(arm, LATENT_NORM):
        name = say("quality.name.no_norm", name=name)
    return say(f"quality.name.{arm.value(LATENT)}", name=name) if lacks(arm, LATENT) else name


def final_share(kind: str) -> Value:
    """A function that gives a run's final share of questions of a kind."""
    return lambda run: run.final(kind)
