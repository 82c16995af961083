"""What the page says of a real model's compressed cache, from runs whose numbers can be added up by hand."""

import math
from dataclasses import replace

import pytest

from suite.quality.compression.plan import LOW_RANK as SUITES_LOW_RANK
from suite.quality.compression.plan import METHODS as SUITES_METHODS
from suite.quality.compression.text import CLASSES as SUITES_CLASSES
from suite.records.record import Status
from suite.report.answers.claims import verdicts_on
from suite.report.page.texts import load_texts
from suite.report.quality import compress
from suite.report.quality.compress_design import (
    BALANCED,
    CLASSES,
    LOW_RANK,
    METHODS,
    best_latent,
    compress_experiments,
)
from tests.records.factory import build
from tests.report.compress_records import WEIGHTS, compress_record
from tests.report.quality_records import in_memory, mla, table_of, thirds
from tests.report.reading import said

EN = load_texts("en")
# 50 tokens: 0.05 nats per token more; and 0.3.
A_LITTLE = {"rare": 0.5}
NOTICEABLE = {"rare": (2.0, 2.1, 1.9, 2.0, 2.0), "frequent": (0.25, 0.2, 0.3, 0.25, 0.25), "other": 0.05}
ALL, FIRST = "Every method", "Which words are lost first"


def section_of(*records, **labelled):
    return said(compress.build(in_memory(*records, **labelled)), "en")


def table(start, *records):
    return table_of(section_of(*records), start)


def details(*records, **labelled):
    return [headline.detail for headline in section_of(*records, **labelled).headlines]


def only_study(*records):
    (experiment,) = compress_experiments(in_memory(*records))
    return experiment


def study():
    """Everything that the section can say something of."""
    return [
        compress_record(),
        compress_record("int8", added={"rare": (0.01, -0.01, 0.0, 0.0, 0.0)}, logits_change=0.02),
        compress_record("svd", 192, added={"frequent": 4.0, "rare": 9.0}, kept=(1.0, 0.9, 0.8), logits_change=1.2),
        compress_record("svd", 64, added={"frequent": 9.0}, kept=(0.5, 0.9, 0.8), logits_change=2.0),
        compress_record("activation_svd", 384, kept=(1.0, 1.0, 1.0), logits_change=1e-6),
        compress_record("activation_svd", 256, added=A_LITTLE, kept=(0.999, 0.99, 0.98), logits_change=0.1),
        compress_record("activation_svd", 192, added=NOTICEABLE, kept=(0.99, 0.97, 0.98), logits_change=0.3),
    ]


def test_without_such_records_there_is_no_such_section():
    assert section_of(build(), compress_record(status=Status.FAILED)) is None


def test_methods_and_classes_are_the_workloads():
    assert (set(METHODS), set(LOW_RANK), CLASSES) == (set(SUITES_METHODS), set(SUITES_LOW_RANK), SUITES_CLASSES)


def test_a_hard_window_counts_no_more_than_an_easy_one():
    plain, cut = table(ALL, compress_record(), compress_record("svd", 192, added=A_LITTLE))
    assert (plain["Perplexity"], plain["Verdict"]) == (f"{math.exp(128 / 50):.2f}", "–")
    # Windows differ threefold, but each has 5 × 0.5 nats more for its 50 tokens: e^0.05, whatever the window.
    assert cut["Change of perplexity"] == "+5.1% (+5.1 to +5.1%)"
    assert cut["Rare (nats per word)"] == "+0.500 (+0.500 to +0.500)"
    assert (cut["Frequent (nats per word)"], plain["Rare (nats per word)"]) == ("+0.000 (+0.000 to +0.000)", "–")
    assert (cut["Share of its own cache"], cut["Share of MHA’s"]) == ("50%", "17%")


def test_a_window_counts_by_its_words():
    windows = {"counts": [{"rare": (2, 1)}, {"rare": (18, 9)}], "windows": 2}
    _, cut = table(ALL, compress_record(**windows), compress_record("svd", 192, added={"rare": (1.0, 2.0)}, **windows))
    # (1 + 18) / 10, and not the mean of 1 and 2; t(1, 97.5%) = 12.706, and both windows lie 0.9 · 0.2 off it.
    assert cut["Rare (nats per word)"].startswith("+1.900 (-0.387 to +4.187)")


def test_only_windows_of_the_same_tokens_are_compared():
    cut = compress_record("svd", 192, added={"rare": (1.0, 1.0, 7.0, 1.0, 1.0)})
    readings = [replace(r, value=r.value + ((r.metric, r.step) == ("text_words", 2))) for r in cut.readings]
    row = table(ALL, compress_record(), replace(cut, readings=readings))[1]
    assert row["Rare (nats per word)"] == "+1.000 (+1.000 to +1.000)"


def test_words_go_first_at_the_widest_cache_that_costs_a_tenth():
    rows = table(FIRST, *study())
    by_method = {(row["Method"], row["Added"]): row for row in rows}
    first = by_method["SVD by text", "per word"]
    assert first["Rank (cache)"] == "rank 192 (50%)"
    assert first["Change of perplexity"].startswith("+36.1% (")  # (5 · 2 + 20 · 0.25 + 8 · 0.05) / 50 = 0.308
    # The gaps are 1.75, 1.9, 1.6, 1.75 and 1.75, their standard error 0.1061 / √5; t(4, 99.375%) = 3.961.
    ranking = "rare words +2.000, then frequent words +0.250: difference +1.750 (+1.562 to +1.938)"
    assert first["Class with the largest rise"] == ranking
    relative = by_method["SVD by text", "relative"]["Class with the largest rise"]
    assert relative.startswith("rare words +25.0%, then frequent words +12.5%: difference +12.5% (")
    assert table(ALL, *study())[-2]["Names, punctuation (nats per token)"].startswith("+0.050 (")
    assert rows[0]["Rank (cache)"].startswith("rank 192")
    (int8,) = [row for row in rows if row["Method"] == "int8"]
    assert int8["Rank (cache)"] == "none: within 10%"
    assert int8["Change of perplexity"].startswith("+0.00% (")


@pytest.mark.parametrize(
    ("added", "by_word", "relative"),
    [
        ({"rare": 2.0, "common": 1.9}, "rare words +2.000", "common words +47.5%"),
        ({"rare": (3, 1, 2, 3, 1), "common": (1, 3, 2, 1, 2.9)}, "rare words +2.000 and common", "common words +49.5%"),
    ],
)
def test_the_first_by_word_need_not_be_the_first_by_its_own_loss(added, by_word, relative):
    rows = table(FIRST, compress_record(), compress_record("svd", 192, added=added))
    first, second = (row["Class with the largest rise"] for row in rows)
    assert (first.startswith(by_word), second.startswith(relative)) == (True, True)
    assert ("no clear difference in 5 windows" in first) == (" and common" in by_word)


def test_a_table_of_many_methods_asks_more_of_each():
    # 0.5 to 2.5 nats a word more: p is 0.0132, and relative to its own loss about as much; six times it is above 0.05.
    cut = compress_record("activation_svd", 192, added={"rare": (0.5, 1.0, 1.5, 2.0, 2.5)})
    noise = {"rare": (3, 1, 2, 3, 1), "common": (1, 3, 2, 1, 2.9)}
    noisy = [compress_record("svd", 192, added=noise), compress_record(BALANCED, 192, added=noise)]
    for records, ranking in (([cut], "rare words +1.500, then"), ([cut, *noisy], "rare words +1.500 and")):
        rows = table(FIRST, compress_record(), *records)
        (row,) = [row for row in rows if (row["Method"], row["Added"]) == ("SVD by text", "per word")]
        assert row["Class with the largest rise"].startswith(ranking)


@pytest.mark.parametrize(
    ("added", "verdict"),
    [
        ((0.1, 0.1, 0.11, 0.1, 0.1), "worse (higher loss)"),
        ((-0.1, -0.1, -0.11, -0.1, -0.1), "better (lower loss)"),
        # Five of a window's 50 tokens are rare words, so ± 0.01 and ± 0.1 nats per token.
        ((0.1, -0.1, 0.0, 0.0, 0.0), "no relevant difference (within 0.02 nats)"),
        ((1.0, -1.0, 0.0, 1.0, -1.0), "no clear difference (5 pairs)"),
        ((0.1, 0.1, 0.11), "too few windows (3)"),
    ],
)
def test_a_method_is_judged_by_the_rule(added, verdict):
    cut = compress_record("int8", added={"rare": added}, windows=len(added))
    _, row = table(ALL, compress_record(windows=len(added)), cut)
    assert (row["Method"], row["Verdict"]) == ("int8", verdict)


def test_the_weights_origin_stands_at_every_figure_and_table():
    section = section_of(*study())
    texts = [figure.caption for figure in section.figures] + [table.note for table in section.tables]
    assert all(text.endswith(f"Weights: {WEIGHTS}.") for text in texts)
    mixed = section_of(compress_record(), compress_record("svd", 192, weights="other.gguf"))
    assert mixed.figures[0].caption.endswith(f"Weights: {WEIGHTS}; other.gguf.")
    assert section_of(compress_record(weights=None)).tables[0].note.endswith("do not name the weights.")


def test_without_the_model_as_it_is_nothing_is_compared():
    section = section_of(*study()[1:])
    assert (section.figures, section.headlines) == ([], [])
    assert {row["Change of perplexity"] for row in table_of(section, ALL)} == {"–"}


def test_perplexity_is_drawn_over_that_of_the_model_as_it_is():
    (figure,) = section_of(*study()).figures
    whole = {trace["name"]: trace for trace in figure.views[0].figure["data"]}
    line = whole["SVD by text"]
    assert line["x"] == [1536.0, 1024.0, 768.0]
    assert line["y"] == pytest.approx([1.0, math.exp(0.05), math.exp(0.308)], rel=1e-4)
    # 0.308, 0.298, 0.318, 0.308 and 0.308 nats a token: 0.00707 / √5, times t(4, 97.5%) = 2.776, is 0.00878.
    assert line["error_y"]["array"][2] == pytest.approx(math.exp(0.308) * (math.exp(0.00878) - 1), rel=1e-2)


SHAPE = {"attention": "mla", "attention.kv_lora_rank": 96, "geometry.head_dim": 64, "cache_dtype": None}


def step_record(rank=96, **changes):
    """A decode step of MLA with a latent of this rank, whose kernel takes 0.4 ms, behind 4,096 tokens."""
    settings = {"attention": {"kv_lora_rank": rank}, "geometry": {"head_dim": 64}, "cache_dtype": None}
    settings |= {"phase": "decode", "dtype": "float32", "device": "cpu", "threads": 1} | changes
    return build(latencies_s=(1e-3, 1e-3, 1e-3), settings=settings, dtype=settings["dtype"])


def test_bytes_loss_tasks_and_time_of_a_step_stand_side_by_side():
    cut = compress_record("svd", 96, added=A_LITTLE, tasks={"copying": 15}, decode_settings=SHAPE)
    others = [step_record(rank=95), step_record(dtype="bfloat16"), step_record(cache_dtype="int8")]
    plain, row = table(ALL, compress_record(), cut, step_record(), *others)
    assert (row["Cache (B / token)"], row["Change of perplexity"]) == ("384", "+5.1% (+5.1 to +5.1%)")
    assert (row["Copying"], row["Step after 4,096 tokens"]) == ("75% (25%)", "400 µs")
    assert (plain["Copying"], plain["Step after 4,096 tokens"]) == ("–", "–")
    assert not {"Copying", "Step after 4,096 tokens"} & table(ALL, *study())[0].keys()


def test_latents_of_other_settings_are_arms_of_their_own():
    facts = ({}, {"extras": {"rope_width": 16, "latent_dtype": "int8"}}, {"calibration_windows": 32})
    cuts = [compress_record("svd", 96, **one) for one in facts]
    assert [len(arm.runs) for arm in only_study(compress_record(), *cuts).others] == [1, 1, 1]
    windows = compress_experiments(in_memory(compress_record(), compress_record("svd", 192, window=99)))
    assert [len(experiment.arms) for experiment in windows] == [1, 1]


def test_the_smallest_taught_cache_comes_first():
    taught = {"rope_width": 16, "distill_updates": 100}
    cuts = [(32, A_LITTLE, taught), (96, {}, taught), (192, {"rare": 4.0}, {}), (384, {}, {"rope_width": 64})]
    records = [compress_record("svd", rank, added=added, extras=extras) for rank, added, extras in cuts]
    assert "With 8.3% of the bytes (MLA: 16 " in details(compress_record(), *records)[0]
    assert best_latent(only_study(compress_record(), *records)).first.rank == 192


def test_that_full_rank_holds_is_no_merit_of_one_way_to_choose():
    records = [
        compress_record(),
        compress_record("activation_svd", 384),
        compress_record("activation_svd", 192, added={"rare": 4.0}),
        compress_record(BALANCED, 192, added={"rare": 2.0}),
    ]
    assert best_latent(only_study(*records)).first.method == BALANCED
    (alone,) = section_of(*records[:3]).headlines
    assert alone.text == "SVD by text keeps perplexity within 10% only at full rank"


def test_runs_are_compared_by_their_text_and_the_newest_counts():
    old = compress_record("svd", 192, added={"rare": 9.0}, started_at="2026-01-01T10:00:00+00:00")
    new = compress_record("svd", 192, added=A_LITTLE, extras={"decode_len": 512}, calibration_windows=8)
    (arm,) = only_study(compress_record(), old, new).others
    assert [run.record for run in arm.runs] == [new]


def test_several_results_stand_side_by_side_and_are_never_paired():
    results = in_memory(before=[compress_record()], after=[compress_record("svd", 192)])
    experiments = [(each.label, each.baseline is None) for each in compress_experiments(results)]
    assert experiments == [("before", False), ("after", True)]
    assert [detail.split(":")[0] for detail in details(before=study(), after=study())] == ["before", "after"]


def test_a_real_model_stands_beside_the_claim_without_deciding():
    records = [*thirds([1.0, 1.0, 0.99, 1.0, 0.995], attention="mha"), *thirds([0.2, 0.21, 0.19, 0.2, 0.2], **mla(16))]
    results = in_memory(*records), in_memory(*records, *study())
    alone, with_model = (verdicts_on(each, "information-tiers")["information-tiers"] for each in results)
    assert alone.outcome == with_model.outcome
    first, second = (" ".join(map(EN.render, verdict.evidence)) for verdict in (alone, with_model))
    assert second.startswith(first)
    assert WEIGHTS in second.removeprefix(first)
