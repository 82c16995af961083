"""One decoder trained on questions, read from its record: what it answered of each kind, and when.

A record may be old or foreign: what it lacks is absent here, and nothing but one evaluation is required.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from suite.records.derived import constant
from suite.records.quality_metrics import CACHED, DECODE, KNOCKED_OUT, below
from suite.records.record import STEP, Reading, Record, Status
from suite.records.rl_metrics import EVALUATE
from suite.report.alike import setting_of
from suite.report.model.results import CurrentRecord
from suite.report.timings import PLAUSIBLE_S, axis

ALL = ""
"""Stands for questions of every kind together."""
TELLING = {"two_hop": "two hops"}
"""Tasks whose name is that of one kind of their questions: it stands for the task, and the rest beside it."""
TIERS = ("often", "sometimes", "rarely")
"""Kinds of question of task=tiers, by how often they are asked where asking is uneven. Always the same attributes."""
ASKED, UNEVENLY = "task.asked", "unevenly"
LATENT_NORM, ROPE_DIM, RANK, KV_HEADS = (
    f"attention.{name}" for name in ("latent_norm", "qk_rope_head_dim", "kv_lora_rank", "kv_heads")
)
HEAD_DIM = "geometry.head_dim"
DEFAULTS = {ASKED: UNEVENLY, LATENT_NORM: "true"}
"""To name the default says no more than to name none."""
RATIO_OF_RANK = 4
"""DeepSeek-V2's latent is as wide as so many heads, where no rank is named (suite/theory/latent_shapes.py)."""
MOST, MOST_STEPS, MOST_HEADS = 1e15, 1 << 20, 1024

ByKind = Mapping[str, Mapping[int, float]]
"""By kind of question, then by the steps before the evaluation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QualityRun:
    """One record that ran."""

    current: CurrentRecord
    answered: ByKind
    loss: ByKind
    knocked_out: Mapping[str, Mapping[str, float]]
    """By head, then by kind: the share still answered without it, once trained."""
    recoverable: Mapping[str, float]
    """By kind: the share that a linear reader finds in the cache, once trained."""
    updates: Mapping[int, float]
    """Before each evaluation, as far as known."""
    questions: float | None
    """That it was trained on."""
    decode_s: float | None
    """Median time of a new token: CPU time of the process, and on a GPU by its own clock."""

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def seed(self) -> str:
        return axis(self.record, "seed")

    @property
    def task(self) -> str:
        return axis(self.record, "task")

    @property
    def attention(self) -> str:
        return axis(self.record, "attention")

    @property
    def telling(self) -> str:
        """The kind of question that the task is told by."""
        kind = TELLING.get(self.task, ALL)
        return kind if kind in self.answered else ALL

    def final(self, kind: str = ALL) -> float | None:
        return _last(self.answered.get(kind or self.telling))

    def final_loss(self) -> float | None:
        return _last(self.loss.get(ALL))

    def constant(self, metric: str) -> float | None:
        value = constant(self.record, "case", metric)
        return value if value is not None and value < MOST else None

    def chance(self, kind: str = ALL) -> float | None:
        kind = kind or self.telling
        value = constant(self.record, f"{EVALUATE}/{kind}" if kind else EVALUATE, "chance")
        return value if value is not None and value <= 1 else None

    def setting(self, name: str) -> str:
        """As the record resolved it, whether somebody named it or not; empty where it is none of this case, or at its
        default."""
        return setting_of(self.record, name, DEFAULTS)

    @property
    def asked(self) -> str:
        """How task=tiers asked."""
        return self.setting(ASKED) or UNEVENLY

    def curve(self, kind: str = ALL) -> tuple[Sequence[float], Sequence[float]]:
        """Updates and shares of the evaluations whose updates are known, in order."""
        shares = self.answered.get(kind or self.telling, {})
        found = sorted((self.updates[step], value) for step, value in shares.items() if step in self.updates)
        return [spent for spent, _ in found], [value for _, value in found]


def read_quality_run(current: CurrentRecord) -> QualityRun | None:
    """None for a run that did not end well, or was never evaluated."""
    if current.record.status is not Status.OK:
        return None
    readings = [one for one in current.record.readings if 0 <= one.step < MOST_STEPS and abs(one.value) < MOST]
    answered: dict[str, dict[int, float]] = defaultdict(dict)
    knocked_out: dict[str, dict[str, float]] = defaultdict(dict)
    recoverable: dict[str, float] = {}
    for one in sorted((one for one in readings if 0 <= one.value <= 1), key=lambda one: one.step):
        if one.metric == "answered" and (kind := _kind(one.span)) is not None:
            answered[kind][one.step] = one.value
        elif one.metric == "answered" and (behind := below(one.span, KNOCKED_OUT)) is not None:
            head, _, kind = behind.partition("/")
            if len(knocked_out) < MOST_HEADS:
                knocked_out[head][kind] = one.value
        elif one.metric == "recoverable" and (kind := below(one.span, CACHED)) is not None:
            recoverable[kind] = one.value
    if not answered.get(ALL):
        return None
    return QualityRun(
        current=current,
        answered=answered,
        loss=_losses(readings),
        knocked_out=knocked_out,
        recoverable=recoverable,
        updates=_updates(readings),
        questions=math.fsum(found) if (found := [one.value for one in _of_step(readings, "questions")]) else None,
        decode_s=decoded_s(readings, is_cpu=axis(current.record, "device") == "cpu")
        if current.is_of_one_machine
        else None,
    )


def _kind(span: str) -> str | None:
    return ALL if span == EVALUATE else below(span, EVALUATE)


def _last(by_step: Mapping[int, float] | None) -> float | None:
    return by_step[max(by_step)] if by_step else None


def _losses(readings: Sequence[Reading]) -> ByKind:
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for one in readings:
        if one.metric == "answer_loss" and one.value >= 0 and (kind := _kind(one.span)) is not None:
            found[kind][one.step] = one.value
    return found


def _of_step(readings: Sequence[Reading], metric: str) -> list[Reading]:
    return sorted(
        (one for one in readings if one.span == STEP and one.metric == metric and one.value >= 0),
        key=lambda one: one.step,
    )


def _updates(readings: Sequence[Reading]) -> dict[int, float]:
    spent = {0: 0.0}
    for one in _of_step(readings, "updates"):
        if one.step not in spent:  # a step is missing, and with it how many updates there were
            break
        spent[one.step + 1] = spent[one.step] + one.value
    return spent


def decoded_s(readings: Sequence[Reading], *, is_cpu: bool) -> float | None:
    """Median time of a new token, as QualityRun.decode_s has it."""
    timed = [one for one in readings if one.span == DECODE and one.metric == "latency_s"]
    taken = [one.process_cpu_s if is_cpu and one.process_cpu_s is not None else one.value for one in timed]
    usable = [value for value in taken if PLAUSIBLE_S[0] < value < PLAUSIBLE_S[1]]
    return median(usable) if usable else None
