"""Records of workload=quality with chosen numbers, for tests of the report alone; nothing of it stands in results/."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Record, Status
from suite.report.model.results import CurrentRecord, Results
from suite.report.quality import tasks
from suite.report.quality import tiers as tiers_section
from tests.records.factory import ENVIRONMENT, PROVENANCE
from tests.report.reading import rows_of, said

AXES = {
    "task": "tiers",
    "attention": "mha",
    "geometry": "probe",
    "match": "heads",
    "updates": 400,
    "batch": 32,
    "lr": 0.003,
    "seed": 0,
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
}
SETTINGS: dict[str, Any] = {
    "geometry": {"head_dim": 16, "num_heads": 4, "num_layers": 1},
    "attention": {"kv_heads": None, "kv_lora_rank": None, "qk_rope_head_dim": None},
    "task": {"query_frequency": "skewed", "pairs": 4, "distance": 0},
    "eval_every": 200,
}
TIERS = ("often", "sometimes", "rarely")
ALIKE, OPEN = "alike (within 2 points)", "no clear difference (5 pairs)"
NUDGES = (0.0, 0.01, -0.01, 0.005, -0.005)
ONE_HEAD_EACH = [[0.9 if attribute % 4 == head else 0.0 for attribute in range(6)] for head in range(4)]
ALL_HEADS_ALIKE = [[0.2] * 6] * 4
ONE_FOR_ALL = [[0.9] * 6, *([[0.0] * 6] * 3)]
LAYER_HEADS = tuple(f"layer 0 head {head}" for head in range(4))


def quality_record(
    final: float | Sequence[float] = 1.0,
    *,
    kinds: Mapping[str, float] | None = None,
    start: float = 0.125,
    loss: float = 0.5,
    cached: Sequence[float] | None = None,
    falls: Sequence[Sequence[float]] | None = None,
    cache_bytes: float = 512.0,
    decode_s: float | None = 1e-3,
    chance: float = 0.125,
    extras: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    started_at: str = "2026-03-01T10:00:00+00:00",
    status: Status = Status.OK,
    **axes: Any,
) -> Record:
    """A run of two steps that is evaluated three times: at `start`, half way, and at `final`.

    `final`: of all questions, or of each tier, whose mean is that of all. `kinds`: at the end, of other kinds.
    `cached`: of each tier. `falls`: a row for each head, by how much each of six attributes falls without it.
    """
    axes = AXES | axes
    finals = [final] * len(TIERS) if isinstance(final, int | float) else list(final)
    return Record(
        case=Case(workload="quality", axes=axes, extras=dict(extras or {})),
        run_key="0123456789abcdef" * 4,
        status=status,
        reason=None if status is Status.OK else "it broke",
        evidence=Evidence.MEASURED,
        settings=SETTINGS | dict(settings or {}),
        environment=ENVIRONMENT,
        provenance=PROVENANCE | {"started_at": started_at},
        readings=[
            *_constants(cache_bytes, chance),
            *_evaluations(finals, start, loss, is_tiers=axes["task"] == "tiers"),
            *(
                Reading(step=2, span=f"evaluate/{kind}", metric="answer_accuracy", value=of)
                for kind, of in (kinds or {}).items()
            ),
            *_counted(axes["updates"]),
            *(_cached(cached) if cached else []),
            *(_without_heads(finals, falls) if falls else []),
            *([] if decode_s is None else _decoded(decode_s)),
        ]
        if status is Status.OK
        else [],
    )


def arm(finals: Sequence[float | Sequence[float]], *, seeds: Sequence[int] | None = None, **said: Any) -> list[Record]:
    """A run of each seed, from 0 on."""
    return [
        quality_record(final, seed=seed, **said)
        for seed, final in zip(seeds or range(len(finals)), finals, strict=True)
    ]


def tiers(third, *, seeds=5, **said):
    """Every seed answers the first two tiers, and this much of the third, give or take a point."""
    return arm([(1.0, 1.0, min(1.0, third + nudge)) for nudge in NUDGES[:seeds]], **said)


def thirds(finals, cached=None, **said):
    """Seeds that answer the first two tiers, and these shares of the third."""
    return [
        quality_record((1.0, 1.0, third), seed=seed, cached=(1.0, 1.0, cached[seed]) if cached else None, **said)
        for seed, third in enumerate(finals)
    ]


def recall(finals, *, task="recall", **said):
    return arm(finals, task=task, chance=1 / 32, **said)


def asked(form, **said):
    return said | {"extras": {**said.get("extras", {}), "task.query_frequency": form}}


def study(seeds=2):
    """Everything that a section can say something of; five seeds for what is judged."""
    every = [
        *tiers(1.0, attention="mha", falls=ONE_HEAD_EACH, cached=(1.0, 1.0, 1.0)),
        *tiers(0.5, **mqa(16)),
        *tiers(0.35, **mqa(12)),
        *tiers(0.2, **mla(16), falls=ALL_HEADS_ALIKE, cached=(1.0, 1.0, 0.5)),
        *tiers(0.5, **mla(24)),
        *tiers(0.98, **asked("uniform", **mla(16))),
        *tiers(1.0, **asked("reversed", **mla(16))),
        *tiers(0.6, updates=1600, **mla(16)),
        *tiers(0.1, **mla(16, **{"attention.qk_rope_head_dim": 0})),
        *(
            record
            for pairs in (4, 8)
            for record in (
                *recall([0.9, 0.92, 0.91, 0.9, 0.92], attention="mha", extras={"task.pairs": pairs}),
                *recall([0.5, 0.52, 0.50, 0.5, 0.51], **mla(16, **{"task.pairs": pairs})),
                *recall([0.9, 0.91, 0.93, 0.9, 0.92], match="params", **mla(16, **{"task.pairs": pairs})),
            )
        ),
        *recall([0.5] * 5, task="plays", attention="mha", loss=1.5),
        *recall([0.5] * 5, task="plays", loss=1.7, **mla(16)),
    ]
    return [record for record in every if record.case.axes["seed"] < seeds]


def section_of(module, *records, lang="en"):
    return said(module.build(in_memory(*records)), lang)


def table_of(section, start):
    (table,) = [table for table in section.tables if table.title.startswith(start)]
    return rows_of(table)


def details(results):
    """The sentences of the sections' headlines, the tiers first."""
    sections = [said(module.build(results)) for module in (tiers_section, tasks)]
    return [one.detail for section in sections if section for one in section.headlines]


def in_memory(*records: Record, **labelled: Sequence[Record]) -> Results:
    """What is read of records under one label, or of lists of records by label, without writing them."""
    by_label = labelled or {"results": records}
    return Results(
        labels=list(by_label),
        records=[
            CurrentRecord(label=label, record=one, folder=Path("run"), superseded=0, settings_changed=False)
            for label, part in by_label.items()
            for one in part
        ],
        every=[(label, one) for label, part in by_label.items() for one in part],
        damaged=[],
        unfinished=[],
        judgements=[],
    )


def mla(rank: int | None = 16, **extras: Any) -> dict[str, Any]:
    """What makes an arm MLA of a rank, with a rotary part of eight."""
    rotary = 0 if extras.get("attention.qk_rope_head_dim") == 0 else 8
    return {
        "attention": "mla",
        "extras": {"attention.kv_lora_rank": rank, **extras},
        "cache_bytes": 4.0 * ((rank or 64) + rotary),
    }


def mqa(width: int = 16, **extras: Any) -> dict[str, Any]:
    """One key-value head, of any width."""
    return {
        "attention": "mqa",
        "extras": {"geometry.head_dim": width, **extras},
        "cache_bytes": 4.0 * 2 * width,
    }


def _constants(cache_bytes: float, chance: float) -> Iterable[Reading]:
    said = {
        ("case", "model_parameter_count"): 50_000,
        ("case", "cache_bytes_per_token"): cache_bytes,
        ("evaluate", "chance"): chance,
        **{(f"evaluate/{tier}", "chance"): chance for tier in TIERS},
    }
    return [Reading(step=0, span=span, metric=metric, value=value) for (span, metric), value in said.items()]


def _evaluations(finals: Sequence[float], start: float, loss: float, *, is_tiers: bool) -> Iterable[Reading]:
    kinds = {"": sum(finals) / len(finals)}
    if is_tiers:
        kinds |= dict(zip(TIERS, finals, strict=True))
        kinds |= {f"attribute {number + 1}": finals[number // 2] for number in range(2 * len(finals))}
    for kind, final in kinds.items():
        span = f"evaluate/{kind}" if kind else "evaluate"
        for step, share in enumerate((start, (start + final) / 2, final)):
            yield Reading(step=step, span=span, metric="answer_accuracy", value=share)
    for step, value in enumerate((2.0, (2.0 + loss) / 2, loss)):
        yield Reading(step=step, span="evaluate", metric="answer_loss", value=value)


def _counted(updates: int) -> Iterable[Reading]:
    for step in range(2):
        counted = {"updates": updates / 2, "questions": updates * 288, "training_loss": 1.0}
        yield from (Reading(step=step, span="step", metric=name, value=value) for name, value in counted.items())


def _cached(cached: Sequence[float]) -> Iterable[Reading]:
    for tier, share in zip(TIERS, cached, strict=True):
        yield Reading(step=2, span=f"cached/{tier}", metric="linear_probe_accuracy", value=share)


def _without_heads(finals: Sequence[float], falls: Sequence[Sequence[float]]) -> Iterable[Reading]:
    for head, row in zip(LAYER_HEADS, falls, strict=False):
        for number, fall in enumerate(row):
            left = max(0.0, finals[number // 2] - fall)
            yield Reading(
                step=2, span=f"head_ablation/{head}/attribute {number + 1}", metric="answer_accuracy", value=left
            )
        for place, tier in enumerate(TIERS):
            left = max(0.0, finals[place] - (row[2 * place] + row[2 * place + 1]) / 2)
            yield Reading(step=2, span=f"head_ablation/{head}/{tier}", metric="answer_accuracy", value=left)


def _decoded(decode_s: float) -> Iterable[Reading]:
    """The process takes as long; its own thread half of it, and the wall clock three times."""
    for factor in (0.9, 1.0, 1.4):
        taken = decode_s * factor
        yield Reading(step=2, span="decode", metric="latency_s", value=taken / 2, wall_s=3 * taken, process_cpu_s=taken)
