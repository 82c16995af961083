"""Records of workload=quality with chosen numbers, for tests of the report alone; nothing of it stands in results/."""

from dataclasses import replace
from pathlib import Path

from suite.records.case import Case
from suite.records.record import Evidence, Reading, Record, Status
from suite.report.model.results import CurrentRecord, Results
from suite.report.quality import tasks
from suite.report.quality import tiers as tiers_section
from tests.records.factory import build
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
SETTINGS = {
    "geometry": {"head_dim": 16, "num_heads": 4, "num_layers": 1},
    "attention": {"kv_heads": None, "kv_lora_rank": None, "qk_rope_head_dim": None},
    "task": {"query_frequency": "skewed", "pairs": 4, "distance": 0},
    "eval_every": 200,
}
TIERS = ("often", "sometimes", "rarely")
ALIKE, OPEN = "no relevant difference (within 2 points)", "no clear difference (5 pairs)"
NUDGES = (0.0, 0.01, -0.01, 0.005, -0.005)
ONE_HEAD_EACH = [[0.9 if attribute % 4 == head else 0.0 for attribute in range(6)] for head in range(4)]
ALL_HEADS_ALIKE = [[0.2] * 6] * 4
ONE_FOR_ALL = [[0.9] * 6, *([[0.0] * 6] * 3)]


def quality_record(
    final=1.0,
    *,
    kinds=None,
    loss=0.5,
    cached=None,
    falls=None,
    cache_bytes=512.0,
    decode_s=1e-3,
    chance=0.125,
    extras=None,
    settings=None,
    started_at="2026-03-01T10:00:00+00:00",
    status=Status.OK,
    **axes,
) -> Record:
    """A run of two steps that is evaluated three times: where it guesses one of eight, half way, and at `final`.

    `final`: of all questions, or of each tier, whose mean is that of all. `kinds`: at the end, of other kinds.
    `cached`: of each tier. `falls`: a row for each head, by how much each of six attributes falls without it.
    """
    axes = AXES | axes
    finals = [final] * len(TIERS) if isinstance(final, int | float) else list(final)
    answered = {"evaluate": sum(finals) / len(finals)}
    if axes["task"] == "tiers":
        answered |= {f"evaluate/{tier}": share for tier, share in zip(TIERS, finals, strict=True)}
        answered |= {f"evaluate/attribute {number + 1}": finals[number // 2] for number in range(6)}
    readings = noted(
        {
            ("case", "model_parameter_count"): 50_000,
            ("case", "cache_bytes_per_token"): cache_bytes,
            **{(span, "chance"): chance for span in ("evaluate", *(f"evaluate/{tier}" for tier in TIERS))},
        }
    )
    for step in range(3):
        readings += noted({("evaluate", "answer_loss"): 2.0 + (loss - 2.0) * step / 2}, step)
        shares = {span: 0.125 + (share - 0.125) * step / 2 for span, share in answered.items()}
        readings += noted({(span, "answer_accuracy"): share for span, share in shares.items()}, step)
    for step in range(2):
        counted = {"updates": axes["updates"] / 2, "questions": axes["updates"] * 288, "training_loss": 1.0}
        readings += noted({("step", metric): value for metric, value in counted.items()}, step)
    last = {(f"evaluate/{kind}", "answer_accuracy"): share for kind, share in (kinds or {}).items()}
    last |= {
        (f"cached/{tier}", "linear_probe_accuracy"): share for tier, share in zip(TIERS, cached or (), strict=False)
    }
    for head, by_attribute in enumerate(falls or ()):
        parts = {f"attribute {number + 1}": (finals[number // 2], fall) for number, fall in enumerate(by_attribute)}
        means = [sum(by_attribute[place : place + 2]) / 2 for place in (0, 2, 4)]
        parts |= {tier: (share, fall) for tier, share, fall in zip(TIERS, finals, means, strict=True)}
        last |= {
            (f"head_ablation/layer 0 head {head}/{part}", "answer_accuracy"): max(0.0, share - fall)
            for part, (share, fall) in parts.items()
        }
    readings += [*noted(last, 2), *decoded(decode_s, 2)]
    settings, facts = SETTINGS | (settings or {}), {"started_at": started_at}
    return finished("quality", axes, readings, status=status, extras=extras, settings=settings, provenance=facts)


def finished(workload, axes, readings, *, status=Status.OK, evidence=Evidence.MEASURED, extras=None, **facts):
    """A record of any workload, without readings where it did not end well."""
    is_ok = status is Status.OK
    record = build(status=status, reason=None if is_ok else "it broke", **facts)
    case = Case(workload=workload, axes=axes, extras=extras or {})
    return replace(record, case=case, evidence=evidence, readings=readings if is_ok else [])


def noted(values, step=0):
    """A reading of each span and metric."""
    return [Reading(step=step, span=span, metric=metric, value=value) for (span, metric), value in values.items()]


def decoded(decode_s, step):
    """The process takes as long; its own thread half of it, and the wall clock three times."""
    return [
        Reading(step=step, span="decode", metric="latency_s", value=time / 2, wall_s=3 * time, process_cpu_s=time)
        for time in ([] if decode_s is None else (0.9 * decode_s, decode_s, 1.4 * decode_s))
    ]


def arm(finals, *, seeds=None, **facts):
    """A run of each seed, from 0 on."""
    return [
        quality_record(final, seed=seed, **facts)
        for seed, final in zip(seeds or range(len(finals)), finals, strict=True)
    ]


def tiers(third, *, seeds=5, **facts):
    """Every seed answers the first two tiers, and this much of the third, give or take a point."""
    return arm([(1.0, 1.0, min(1.0, third + nudge)) for nudge in NUDGES[:seeds]], **facts)


def thirds(finals, cached=None, **facts):
    """Seeds that answer the first two tiers, and these shares of the third."""
    return [
        quality_record((1.0, 1.0, third), seed=seed, cached=(1.0, 1.0, cached[seed]) if cached else None, **facts)
        for seed, third in enumerate(finals)
    ]


def recall(finals, *, task="recall", **facts):
    return arm(finals, task=task, chance=1 / 32, **facts)


def along_curves(levels, middle=300.0, *, evaluations=13, **facts):
    """A run of each level, whose share answered rises to it along a sigmoid, half of it after so many updates: as many
    in each run, or a list of them."""
    runs, middles = [], middle if isinstance(middle, list) else [middle] * len(levels)
    for seed, (level, middle) in enumerate(zip(levels, middles, strict=True)):
        run = quality_record(task="counting", seed=seed, chance=0.0, updates=100 * evaluations, **facts)
        readings = [reading for reading in run.readings if reading.span == "case" or reading.metric == "chance"]
        for step in range(evaluations):
            share = level / (1 + (middle / (100 * step)) ** 6) if step else 0.0
            readings += noted({("evaluate", "answer_accuracy"): share, ("step", "updates"): 100}, step)
        runs.append(replace(run, readings=readings))
    return runs


def asked(form, **facts):
    return facts | {"extras": {**facts.get("extras", {}), "task.query_frequency": form}}


def mla(rank=16, **extras):
    """What makes an arm MLA of a rank, with a rotary part of eight."""
    rotary = 0 if extras.get("attention.qk_rope_head_dim") == 0 else 8
    extras = {"attention.kv_lora_rank": rank, **extras}
    return {"attention": "mla", "extras": extras, "cache_bytes": 4.0 * ((rank or 64) + rotary)}


def mqa(width=16, **extras):
    """One key-value head, of any width."""
    extras = {"geometry.head_dim": width, **extras}
    return {"attention": "mqa", "extras": extras, "cache_bytes": 4.0 * 2 * width}


def study(seeds=2):
    """Everything that a section can say something of; five seeds for what is judged."""
    records = [
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
    return [record for record in records if record.case.axes["seed"] < seeds]


def section_of(module, *records, lang="en"):
    return said(module.build(in_memory(*records)), lang)


def table_of(section, start):
    (table,) = [table for table in section.tables if table.title.startswith(start)]
    return rows_of(table)


def details(results):
    """The sentences of the sections' headlines, the tiers first."""
    sections = [said(module.build(results)) for module in (tiers_section, tasks)]
    return [headline.detail for section in sections if section for headline in section.headlines]


def in_memory(*records, **labelled) -> Results:
    """What is read of records under one label, or of lists of records by label, without writing them."""
    by_label = labelled or {"results": records}
    return Results(
        labels=list(by_label),
        records=[
            CurrentRecord(label=label, record=record, folder=Path("run"), superseded=0, settings_changed=False)
            for label, part in by_label.items()
            for record in part
        ],
        all_records=[(label, record) for label, part in by_label.items() for record in part],
        damaged=[],
        unfinished=[],
    )
