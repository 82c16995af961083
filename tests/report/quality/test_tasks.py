"""What the page says of the tasks, from runs whose numbers can be added up by hand."""

import pytest

from suite.configuration.files import choices, read_choice
from suite.report.quality import tasks
from tests.report.quality_records import (
    OPEN,
    mla,
    mqa,
    quality_record,
    recall,
    section_of,
    study,
    table_of,
    tiers,
)

BY_VARIANT, MHA = "Results by variant", {"attention": "mha"}


def table(start, *records):
    return table_of(section_of(tasks, *records), start)


def figure(section, start):
    (match,) = [figure for figure in section.figures if figure.title.startswith(start)]
    return match


def test_a_task_has_shares_differences_and_updates_to_a_level():
    mha, narrow, matched = table(
        BY_VARIANT,
        *recall([1.0, 0.98, 0.99, 1.0, 0.98], **MHA),
        *recall([0.96, 0.2, 0.97, 0.9, 0.4], **mla(16)),
        *recall([0.6, 0.5, 0.4, 0.55, 0.45], match="params", **mla(16)),
    )
    # Evaluated after 0, 200 and 400 updates; half way it lies in the middle of start and end.
    assert (mha["Updates until 95%"], mha["Runs that reached it"], mha["Minus MHA (points)"]) == ("400", "5 of 5", "–")
    assert (narrow["Updates until 95%"], narrow["Runs that reached it"], narrow["Verdict"]) == ("–", "2 of 5", OPEN)
    # No matching changes MHA, so that of match=heads stands for it.
    assert (matched["Study"], matched["Minus MHA (points)"].split()[0]) == ("recall · at equal parameters", "-49.0")
    assert matched["Verdict"] == "lower"


def test_two_hops_are_told_by_questions_that_take_two():
    mha, narrow = table(
        BY_VARIANT,
        *(
            quality_record(0.6, task="two_hop", seed=seed, kinds={"one hop": 0.9, "two hops": two}, **variant)
            for variant, shares in ((MHA, (0.5, 0.52)), (mla(16), (0.3, 0.33)))
            for seed, two in enumerate(shares)
        ),
    )
    assert (mha["Answered"].split(" (")[0], narrow["Minus MHA (points)"].split()[0]) == ("51%", "-19.5")


def test_a_loss_that_is_higher_is_called_worse():
    losses = (
        (MHA, (1.5, 1.52, 1.5, 1.52, 1.51)),
        (mla(16), (1.7, 1.73, 1.71, 1.72, 1.72)),
        (mla(32), (1.3, 1.33, 1.31, 1.32, 1.32)),
    )
    records = [
        quality_record(0.5, task="plays", loss=loss, seed=seed, **variant)
        for variant, of_seeds in losses
        for seed, loss in enumerate(of_seeds)
    ]
    _, better, worse = table(BY_VARIANT, *records)
    assert (worse["Variant"], worse["Verdict"]) == ("MLA rank 16", "worse (higher loss)")
    # 0.2, 0.21, 0.21, 0.2, 0.21 nats: a standard error of 0.00548 / √5, and as one of two t(4, 98.75%) = 3.495; a bit
    # is 0.693 nats.
    assert worse["Minus MHA (bits)"] == "+0.297 (+0.285 to +0.310)"
    assert (better["Verdict"], better["Minus MHA (bits)"].split()[0]) == ("better (lower loss)", "-0.280")


def test_quality_over_bytes_has_a_line_for_what_nobody_trained():
    frozen, slice_ = {"attention.latent": "frozen"}, {"attention.latent": "slice"}
    records = [*tiers(1.0, **MHA), *tiers(0.5, **mqa(12))]
    for rank, share in ((8, 0.2), (16, 0.5)):
        records += [*tiers(share, **mla(rank)), *tiers(share + 0.2, **mla(rank, **frozen))]
        records += tiers(share, **mla(rank, **slice_))
    records += tiers(0.1, **mla(16, **{"attention.qk_rope_head_dim": 0}))
    over_bytes = section_of(tasks, *records).figures[0]
    traces = {trace["name"]: trace for trace in over_bytes.views[0].figure["data"]}
    trained, untrained = traces["MLA (rank)"], traces["MLA, frozen latent (rank)"]
    assert (trained["x"], trained["text"]) == ([64, 96], ["8", "16"])
    assert [round(y, 3) for y in untrained["y"]] == [0.4, 0.7]
    assert "clearly better in 0 and clearly worse in 2 of 4" in over_bytes.finding


def test_mla_without_rope_or_norm_stands_beside_itself():
    rows = table(
        "MLA without RoPE",
        *recall([0.9, 0.91, 0.9, 0.9, 0.91], **mla(16)),
        *recall([0.7, 0.8, 0.75, 0.72, 0.6], **mla(16, **{"attention.qk_rope_head_dim": 0})),
        *recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(16, **{"attention.latent_norm": False})),
        *recall([0.1] * 5, **mla(8)),
    )
    by_part = {row["Removed"]: row for row in rows}
    rope = by_part["RoPE"]
    assert (rope["Difference (points)"].split()[0], rope["Verdict"]) == ("-19.0", "lower")
    # -20, -11, -15, -18, -31: t is 5.65 and p 0.0048 alone, of two contrasts twice.
    assert (rope["p (t, Holm)"], rope["Cache (B / token)"]) == ("0.010", "64 / 96")
    assert by_part["norm"]["Verdict"] == OPEN


def test_an_untrained_latent_stands_beside_the_trained_one():
    rows = table(
        "MLA without RoPE",
        *recall([0.90, 0.91, 0.90, 0.90, 0.91], **mla(16)),
        *recall([0.90, 0.91, 0.91, 0.90, 0.90], **mla(16, **{"attention.latent": "frozen"})),
        *recall([0.70, 0.71, 0.72, 0.70, 0.71], **mla(16, **{"attention.latent": "slice"})),
    )
    verdicts = {row["Removed"]: (row["Variant"], row["Verdict"]) for row in rows}
    assert verdicts == {
        "training of the latent (frozen)": ("MLA rank 16", "no relevant difference (within 2 points)"),
        "projection to the latent (slice)": ("MLA rank 16", "lower"),
    }


def test_an_untrained_latent_is_no_plain_mla():
    control = mla(16, **{"attention.latent": "frozen"})
    section = section_of(tasks, *recall([0.9] * 5, **MHA), *recall([0.8] * 5, **control), *recall([0.7] * 5, **mla(16)))
    by_cache = figure(section, "Each task").views[0].figure["data"]
    assert [trace["name"] for trace in by_cache] == ["MLA rank 16"]


def test_by_width_by_cache_and_by_parameters_are_three_questions():
    section = section_of(tasks, *study(3), *recall([0.7] * 3, **mqa(12, **{"task.pairs": 4})))
    differences = figure(section, "Each task")
    by_cache = {trace["name"]: trace["x"] for trace in differences.views[1].figure["data"]}
    assert by_cache == {"MLA rank 16": [pytest.approx(-19.3, abs=0.05)]}


@pytest.mark.parametrize(("ranks", "p", "words"), [((), "0.013", "lower"), ((4, 8, 24, 32), "0.066", OPEN)])
def test_a_table_of_many_asks_more_and_all_places_agree(ranks, p, words):
    # 10 to 50 points lower: p is 0.0132 alone, and five times as much among five.
    records = [*recall([0.9] * 5, **MHA), *recall([0.8, 0.7, 0.6, 0.5, 0.4], **mla(16))]
    records += [record for rank in ranks for record in recall([0.95, 0.85, 0.9, 0.95, 0.86], **mla(rank))]
    section = section_of(tasks, *records)
    (row,) = [row for row in table_of(section, BY_VARIANT) if row["Variant"] == "MLA rank 16"]
    assert (row["Verdict"], row["p (t, Holm)"], row["p (sign flips)"]) == (words, p, "0.062")
    differences = figure(section, "Each task")
    (trace,) = [trace for trace in differences.views[0].figure["data"] if trace["name"] == "MLA rank 16"]
    assert trace["hovertext"][0].endswith(f"Verdict: {words}")


def test_a_quoted_table_names_its_source_and_fills_its_columns():
    section = section_of(tasks, quality_record())
    quoted = [table for table in section.tables if table.title.startswith("Published: ")]
    assert len(quoted) == len(choices("published_quality")) >= 5
    assert all("quoted, not measured here" in table.note for table in quoted)
    for name in choices("published_quality"):
        published = read_choice("published_quality", name)
        assert published["source"]
        assert all(len(values) == len(published["columns"]) for values in published["rows"].values())
