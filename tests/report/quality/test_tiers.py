"""What the page says of tiers, from runs whose numbers can be added up by hand."""

from dataclasses import replace

import pytest

from suite.report.quality import tiers as tiers_section
from suite.report.quality.families import families
from tests.report.quality_records import (
    ALIKE,
    ALL_HEADS_ALIKE,
    ONE_FOR_ALL,
    ONE_HEAD_EACH,
    OPEN,
    asked,
    in_memory,
    mla,
    mqa,
    quality_record,
    section_of,
    table_of,
    thirds,
    tiers,
)

THIRDS = (0.30, 0.32, 0.31, 0.30, 0.32)


def table(start, *records):
    return table_of(section_of(tiers_section, *records), start)


@pytest.mark.parametrize(
    ("ours", "theirs", "difference", "words"),
    [
        # t(4, 97.5%) = 2.776; differences of -5, -4, -6, -5, -5 points have a standard error of 0.707 / √5 = 0.316.
        ((0.25, 0.28, 0.25, 0.25, 0.27), THIRDS, "-5.0 (-5.9 to -4.1)", "lower"),
        # 0, 1, -1, 0, 0 have the same, and lie within two points; of 0, 6, -6, 3, -3 it is 4.743 / √5 = 2.121.
        ((0.30, 0.33, 0.30, 0.30, 0.32), THIRDS, "+0.0 (-0.9 to +0.9)", ALIKE),
        ((0.30, 0.38, 0.25, 0.33, 0.29), THIRDS, "+0.0 (-5.9 to +5.9)", OPEN),
        # -0.5, -1, -0.5, -0.5, -1: 0.274 / √5 = 0.122; and -1, -1, -2, -1, -1: 0.447 / √5 = 0.2.
        ((0.995, 0.99, 0.995, 0.995, 0.99), (1.0,) * 5, "-0.7 (-1.0 to -0.4)", "both answer 99% or more"),
        (
            (0.12, 0.13, 0.12, 0.12, 0.12),
            (0.13, 0.14, 0.14, 0.13, 0.13),
            "-1.2 (-1.8 to -0.6)",
            "neither side beats guessing (12%)",
        ),
        # t(3, 97.5%) = 3.182 and 0.816 / √4: an interval that excludes zero, of too few seeds.
        ((0.25, 0.28, 0.25, 0.25), THIRDS[:4], "-5.0 (-6.3 to -3.7)", "too few seeds (4; at least 5 are needed)"),
    ],
)
def test_a_latent_meets_grouped_heads_of_its_cache_by_seed(ours, theirs, difference, words):
    wider = thirds([0.9] * len(theirs), **mqa(16))
    (row,) = table("Is it MLA", *thirds(ours, **mla(16)), *thirds(theirs, **mqa(12)), *wider)
    assert (row["MLA"], row["Compared with"], row["Cache ratio"]) == ("MLA rank 16", "MQA with heads of 12", "=")
    assert (row["Tier"], row["Seeds"]) == ("Third tier (3%)", str(len(ours)))
    assert (row["Difference (points)"], row["Verdict"]) == (difference, words)


def test_only_seeds_that_both_have_are_compared():
    latents = [
        quality_record((1.0, 1.0, third), seed=seed, **mla(16)) for seed, third in ((1, 0.2), (2, 0.2), (7, 0.9))
    ]
    (row,) = table("Is it MLA", *latents, *thirds((0.9, 0.3, 0.31), **mqa(12)))
    assert (row["Seeds"], row["Difference (points)"].split()[0]) == ("2", "-10.5")


def test_the_nearest_cache_is_named_and_one_too_far_is_left_out():
    (row,) = table("Is it MLA", *tiers(0.2, **mla(4)), *tiers(0.3, **mqa(8)), *tiers(0.9, **mla(56)))
    assert (row["MLA"], row["Compared with"], row["Cache ratio"]) == ("MLA rank 4", "MQA with heads of 8", "1.33×")


def test_a_form_of_training_is_compared_with_the_uneven_one():
    rows = table(
        "One decoder trained on different queries",
        *tiers(0.2, **mla(16)),
        *tiers(0.9, **asked("uniform", **mla(16))),
        *tiers(0.1, **asked("uniform_weighted", **mla(16))),
        *tiers(0.2, updates=1600, **mla(16)),
        *tiers(1.0, **asked("uniform", attention="mha")),
    )
    assert [(row["Training"], row["Verdict"]) for row in rows] == [
        ("skewed queries: 85 / 12 / 3", "–"),
        ("uniform queries", "higher"),
        ("uniform queries, loss weighted 85 / 12 / 3", "lower"),
        ("skewed queries: 85 / 12 / 3, 4 × the updates", ALIKE),
    ]
    assert rows[1]["Third tier, minus skewed (points)"] == "+70.0 (+70.0 to +70.0)"


@pytest.mark.parametrize(
    ("cached", "words"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), "the cache holds more than is answered"),
        ((0.1, 0.1, 0.1, 0.1, 0.1), "more is answered than a linear probe finds"),
        # Less what is answered: ± 5, 0, ± 3 points, whose standard error is 4.12 / √5; and 1, -1, 0, 0, 0.
        ((0.25, 0.16, 0.22, 0.23, 0.18), OPEN),
        ((0.21, 0.20, 0.22, 0.20, 0.21), ALIKE),
        ((0.5, 0.5, 0.5), "too few seeds (3; at least 5 are needed)"),
    ],
)
def test_the_cache_is_compared_with_the_answers(cached, words):
    answered = (0.2, 0.21, 0.22, 0.2, 0.21)[: len(cached)]
    first, _, third = table("Is a detail missing", *thirds(answered, cached, **mla(16)))
    assert (first["Verdict"], third["Verdict"]) == ("answered", words)


def test_heads_are_told_by_their_share_and_how_many_come_first():
    rows = table(
        "Do heads",
        *tiers(1.0, attention="mha", falls=ONE_HEAD_EACH),
        *tiers(1.0, **mla(16), falls=ALL_HEADS_ALIKE),
        *tiers(1.0, **mla(8), falls=ONE_FOR_ALL),
    )
    names = ("Variant", "Largest share of one head", "If all heads were equal", "Most important heads")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("MHA", "100% (100–100)", "25%", "4.0"),
        ("MLA rank 16", "25% (25–25)", "25%", "1.0"),
        ("MLA rank 8", "100% (100–100)", "25%", "1.0"),
    ]


def test_no_head_carries_an_attribute_that_was_never_learnt():
    tables = section_of(tiers_section, *tiers(1.0, attention="mha", falls=[[0.01] * 6] * 4)).tables
    assert not [table for table in tables if table.title.startswith("Do heads")]


def test_an_arm_without_its_cache_size_stands_in_tables_alone():
    record = quality_record((1.0, 1.0, 0.2))
    section = section_of(tiers_section, replace(record, readings=[r for r in record.readings if r.span != "case"]))
    assert section.figures == []
    assert table_of(section, "Results of training with skewed queries")[0]["Cache (B / token)"] == "–"


def test_several_results_stand_side_by_side_and_are_never_pooled():
    results = in_memory(before=tiers(0.2, **mla(16)), after=tiers(0.9, **mla(16)))
    assert [len(family.main.arms[0].runs) for family in families(results)] == [5, 5]
