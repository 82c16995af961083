"""The headline of workload=compress: what a smaller cache costs a real model, and which words pay first."""

import math

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.compress_losses import times_perplexity
from suite.report.compress_names import change_text, line_name, method_name, nats_text, run_name, share_text, told
from suite.report.compress_rulings import RISE, FirstRise, all_lose_more, first_rises, holds_until, ranking_told
from suite.report.compress_run import INT8, CompressRun
from suite.report.compress_runs import Line, Study, compress_studies
from suite.report.model.results import Results
from suite.report.quality_run import ALL
from suite.report.timings import axis

BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def compress_headlines(results: Results) -> list[Text]:
    """A sentence for each label, of its study with the most runs."""
    first: dict[str, Study] = {}
    for study in compress_studies(results):
        first.setdefault(study.label, study)
    found = [(label, sentence) for label, study in first.items() if (sentence := _of_study(study))]
    return [joined(": ", [label, sentence]) if results.several else sentence for label, sentence in found]


def _of_study(study: Study) -> Text:
    reference = study.reference
    if reference is None:
        return ""
    parts = [_eight_bits(run, study) for run in study.runs if run.method == INT8]
    line = best_line(study)
    if line is not None:
        parts.append(_holds(line, study))
        parts.append(what_goes_first(first_rises(study).get(line)))
    told_parts = list(filter(None, parts))
    if not told_parts:
        return ""
    return say(
        "compress.headline",
        weights=reference.weights or numbers.NOTHING,
        windows=numbers.count(len(reference.text[ALL])),
        told=joined("notes", told_parts),
    )


def best_line(study: Study) -> Line | None:
    """The way to choose a latent whose perplexity holds with the fewest bytes; of several the one that rises least
    behind it."""
    known = [line for line in study.low_rank if any(times_perplexity(run, study.reference) for run in line.runs)]
    rises = first_rises(study)

    def cost(line: Line) -> tuple[float, float]:
        held, rise = holds_until(line, study.reference), rises.get(line)
        # That full rank holds is no merit of one of them.
        kept = held.cache_bytes if held else study.full_bytes
        return kept or math.inf, rise.times.mean if rise else 0.0

    return min(known, key=cost, default=None)


def what_goes_first(found: FirstRise | None) -> Text:
    """At the first rank where perplexity rises; empty where it does not."""
    if found is None or found.a_word is None or found.a_share is None:
        return ""
    return say(
        "compress.headline_first",
        name=line_name(found.line),
        rank=found.run.rank or numbers.NOTHING,
        change=change_text(found.times.mean),
        a_word=ranking_told(found.a_word, nats_text, is_brief=True),
        a_share=ranking_told(found.a_share, share_text, is_brief=True),
    )


def compressed_told(study: Study) -> Text:
    """The same as a sentence beside a claim, of the best way to choose a latent."""
    line = best_line(study)
    told_first = what_goes_first(first_rises(study).get(line)) if line else ""
    if not line or not told_first:
        return ""
    return say(
        "claim.tiers.compressed",
        weights=line.runs[0].weights or numbers.NOTHING,
        told=told_first,
    )


def _eight_bits(run: CompressRun, study: Study) -> Text:
    times = times_perplexity(run, study.reference)
    if times is None:
        return ""
    return say(
        "compress.headline_int8",
        name=method_name(run.method),
        share=_share(run, study),
        of_half=_of_half(run, study),
        change=told(times, change_text),
        best=_no_latent_is_as_good(run, study),
    )


def _of_half(run: CompressRun, study: Study) -> Text:
    """The share of what the model as it is keeps in bfloat16; empty where it keeps no more than that."""
    full, dtype = study.full_bytes, axis(run.record, "dtype")
    if not run.cache_bytes or not full or BYTES.get(dtype, 0) <= BYTES["bfloat16"]:
        return ""
    half = full * BYTES["bfloat16"] / BYTES[dtype]
    return say("compress.headline_of_half", dtype=dtype, share=numbers.percent(run.cache_bytes / half))


def _no_latent_is_as_good(run: CompressRun, study: Study) -> Text:
    """Said where every latent that leaves something out loses more than eight bits, by the rule of evidence."""
    cut = [other for line in study.low_rank for other in line.runs if not study.is_full(other)]
    if not cut or not all_lose_more(cut, run, study.reference):
        return ""
    changes = [(change, other) for other in cut if (change := times_perplexity(other, study.reference)) is not None]
    change, best = min(changes, key=lambda one: one[0].mean)
    return say(
        "compress.headline_best",
        name=run_name(best),
        share=_share(best, study),
        change=change_text(change.mean),
    )


def _holds(line: Line, study: Study) -> Text:
    run = holds_until(line, study.reference)
    times = times_perplexity(run, study.reference) if run else None
    if run is None or times is None:
        return ""
    if study.is_full(run):
        return say("compress.headline_only_full", name=line_name(line), rise=numbers.percent(RISE))
    return say(
        "compress.headline_holds",
        name=line_name(line),
        rise=numbers.percent(RISE),
        share=_share(run, study),
        rank=run.rank or numbers.NOTHING,
        change=change_text(times.mean),
    )


def _share(run: CompressRun, study: Study) -> str:
    full = study.full_bytes
    return numbers.percent(run.cache_bytes / full) if run.cache_bytes and full else numbers.NOTHING
