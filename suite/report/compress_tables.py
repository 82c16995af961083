"""Tables of workload=compress: which words go first, whether the parts agree, every method, and layer by layer."""

from collections.abc import Sequence
from statistics import fmean

from suite.records import numbers
from suite.report.blocks import MOST_ROWS_OPEN, Column, Kind, Table, Text, cell, joined, say
from suite.report.compress_losses import (
    added,
    own_loss,
    perplexity,
    times_perplexity,
    value_of,
)
from suite.report.compress_names import (
    change_text,
    line_name,
    nats_text,
    perplexity_text,
    plain_nats,
    run_name,
    share_text,
    titled,
    told,
    with_origin,
)
from suite.report.compress_rulings import RISE, FirstRise, first_rises, ranking_told
from suite.report.compress_run import CLASSES, INT8, CompressRun
from suite.report.compress_runs import Line, Study
from suite.report.quality.design import ALL
from suite.report.timings import axis
from suite.report.verdicts import loss_verdict
from suite.statistics.paired import NATS_MARGIN, Outcome, changes

ROUNDING = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 5e-2}
"""By dtype: relative changes of logits up to which sums in another order, over some dozens of layers, explain them."""
LAYERS_NAMED = 3


def tables_of(study: Study, *, is_lone: bool) -> list[Table]:
    """`is_lone`: no other study stands on the page, so none need be named."""
    built = (_first_losses, _checks, _by_method, _layers)
    return [table for build in built if (table := build(study, is_lone)) is not None]


def _table(
    study: Study,
    is_lone: bool,
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    note: str,
    folded: bool = False,
) -> Table | None:
    if not rows:
        return None
    return Table(
        title=titled(say(f"compress.table.{name}"), study, is_lone=is_lone),
        columns=columns,
        rows=rows,
        note=with_origin(note, study),
        folded=folded,
        facets=study.facets,
    )


def _first_losses(study: Study, is_lone: bool) -> Table | None:
    rises = first_rises(study)
    return _table(
        study,
        is_lone,
        "first",
        [
            Column(title=say("compress.method")),
            Column(title=say("compress.first_rank")),
            Column(title=say("compress.change"), kind=Kind.NUMBER),
            Column(title=say("compress.measured")),
            Column(title=say("compress.most")),
        ],
        [
            [line_name(line), *cells]
            for line in (study.lines if study.reference else [])
            for cells in (_of_first(rises[line], study) if line in rises else _no_rise(line, study))
        ],
        note=joined(
            "sentence",
            [
                say("compress.first_note", rise=numbers.percent(RISE), own=_own_losses(study)),
                say("verdict.note"),
            ],
        ),
    )


def _no_rise(line: Line, study: Study) -> list[list[str]]:
    found_times = [one for run in line.runs if (one := times_perplexity(run, study.reference)) is not None]
    largest = max(found_times, key=lambda one: one.mean, default=None)
    said = say("compress.no_rise", rise=numbers.percent(RISE)) if largest else numbers.NOTHING
    return [[said, told(largest, change_text), numbers.NOTHING, numbers.NOTHING]]


def _of_first(found: FirstRise, study: Study) -> list[list[str]]:
    """A row by word, and one over each class's own loss."""
    rank, share = found.run.rank, _share_of(found.run.cache_bytes, study.full_bytes)
    at = say("compress.at_rank", rank=rank, share=share) if rank else say("compress.at_share", share=share)
    change = told(found.times, change_text)
    return [
        [at, change, say(f"compress.by.{name}"), ranking_told(ranked, text)]
        for name, ranked, text in (("nats", found.a_word, nats_text), ("share", found.a_share, share_text))
    ]


def _own_losses(study: Study) -> Text:
    parts = [
        say("compress.own", name=say(f"compress.class.{name}"), nats=plain_nats(value.mean))
        for name in CLASSES
        if study.reference and (value := own_loss(study.reference, name)) is not None
    ]
    return joined("list", parts) or numbers.NOTHING


def _checks(study: Study, is_lone: bool) -> Table | None:
    whole = [run for run in study.runs if study.is_full(run) and run.logits_change is not None]
    eight = [run for run in study.runs if run.method == INT8]
    return _table(
        study,
        is_lone,
        "checks",
        [
            Column(title=say("compress.check")),
            Column(title=say("compress.found"), kind=Kind.NUMBER),
            Column(title=say("rl_efficiency.in_words")),
        ],
        [
            *([run_name(run), *_unchanged(run)] for run in whole),
            *([run_name(run), *_nearly(run, study)] for run in eight),
        ],
        note=say("compress.checks_note"),
    )


def _unchanged(run: CompressRun) -> list[str]:
    change, dtype = run.logits_change or 0.0, axis(run.record, "dtype")
    limit = ROUNDING.get(dtype)
    outcome = "unknown" if limit is None else "unchanged" if change <= limit else "changed"
    return [say("compress.logits_by", change=f"{change:.1e}"), say(f"compress.check.{outcome}", dtype=dtype)]


def _nearly(run: CompressRun, study: Study) -> list[str]:
    """Return the change of perplexity and what may be said of it; a study has one run in eight bits, so it is alone."""
    times = times_perplexity(run, study.reference)
    less = changes([-nats for nats in added(run, study.reference, ALL)], margin=NATS_MARGIN)
    if times is None or less is None:
        return [numbers.NOTHING] * 2
    is_few = less.outcome is Outcome.FEW
    said = say("compress.check.few", count=less.pairs) if is_few else loss_verdict(less)
    return [say("compress.perplexity_by", change=told(times, change_text)), said]


def _by_method(study: Study, is_lone: bool) -> Table | None:
    runs = study.runs
    lengths = sorted({run.decode_len for run in runs if run.decode_s is not None})
    return _table(
        study,
        is_lone,
        "methods",
        [
            Column(title=say("compress.method")),
            Column(title=say("compress.rank"), kind=Kind.NUMBER),
            Column(title=say("quality.bytes"), kind=Kind.NUMBER),
            Column(title=say("compress.of_own"), kind=Kind.NUMBER),
            Column(title=say("compress.of_mha"), kind=Kind.NUMBER),
            Column(title=say("compress.perplexity"), kind=Kind.NUMBER),
            Column(title=say("compress.change"), kind=Kind.NUMBER),
            *(Column(title=say(f"compress.added.{name}"), kind=Kind.NUMBER) for name in CLASSES),
            Column(title=say("compress.logits"), kind=Kind.NUMBER),
            Column(title=say("quality.decode"), kind=Kind.NUMBER),
        ],
        [
            *([_row(study.reference, "", study, lengths)] if study.reference else []),
            *(_row(run, line.calibration, study, lengths) for line in study.lines for run in line.runs),
        ],
        note=say(
            "compress.methods_note",
            windows=numbers.count(max(len(run.text[ALL]) for run in runs)),
            plays=joined("list", runs[0].plays) or numbers.NOTHING,
            lengths=joined("list", filter(None, lengths)) or numbers.NOTHING,
        ),
        folded=len(runs) > MOST_ROWS_OPEN,
    )


def _row(run: CompressRun, calibration: str, study: Study, lengths: Sequence[str]) -> list[str]:
    is_own, kept = run is study.reference, run.cache_bytes
    line = Line(method=run.method, calibration=calibration, runs=[run])
    return [
        line_name(line),
        numbers.NOTHING if run.rank is None else numbers.count(run.rank),
        cell(kept, numbers.count),
        _share_of(kept, study.full_bytes),
        _share_of(kept, run.cache_bytes_mha),
        told(perplexity(run), perplexity_text),
        told(None if is_own else times_perplexity(run, study.reference), change_text),
        *(told(None if is_own else value_of(added(run, study.reference, name)), nats_text) for name in CLASSES),
        cell(run.logits_change, lambda change: f"{change:.2g}"),
        _decoded(run, lengths),
    ]


def _share_of(kept: float | None, whole: float | None) -> str:
    return numbers.percent(kept / whole) if kept and whole else numbers.NOTHING


def _decoded(run: CompressRun, lengths: Sequence[str]) -> Text:
    """With its context, where not all have the same."""
    if run.decode_s is None:
        return numbers.NOTHING
    taken = numbers.seconds(run.decode_s)
    return say("compress.behind", time=taken, tokens=run.decode_len) if len(lengths) > 1 else taken


def _layers(study: Study, is_lone: bool) -> Table | None:
    runs = [(line, run) for line in study.lines for run in line.runs if run.kept and not study.is_full(run)]
    return _table(
        study,
        is_lone,
        "layers",
        [
            Column(title=say("compress.method")),
            Column(title=say("compress.rank"), kind=Kind.NUMBER),
            Column(title=say("compress.lost"), kind=Kind.NUMBER),
            Column(title=say("compress.lose_most")),
            Column(title=say("compress.lose_least")),
        ],
        [
            [
                line_name(line),
                numbers.NOTHING if run.rank is None else numbers.count(run.rank),
                numbers.percent(1 - fmean(share for _, share in run.kept)),
                _lost(sorted(run.kept, key=lambda pair: pair[1])[:LAYERS_NAMED]),
                _lost(sorted(run.kept, key=lambda pair: -pair[1])[:1]),
            ]
            for line, run in runs
        ],
        note=say("compress.layers_note"),
        folded=True,
    )


def _lost(layers: Sequence[tuple[int, float]]) -> Text:
    return joined(
        "list", (say("compress.layer", number=number, share=numbers.percent(1 - share)) for number, share in layers)
    )
