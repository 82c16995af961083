"""What the page rules of each claim, from runs whose numbers can be added up by hand."""

import pytest

from suite.report.answers.claims import claims, verdicts_on
from suite.report.page.texts import load_texts
from tests.report.quality_records import (
    ALL_HEADS_ALIKE,
    ONE_FOR_ALL,
    ONE_HEAD_EACH,
    arm,
    asked,
    in_memory,
    mla,
    mqa,
    quality_record,
    recall,
    thirds,
    tiers,
)

EN = load_texts("en")
OPEN, EQUAL, SMALL = "no clear difference", "no difference that matters", "at most a small effect"
UNTESTED = "these runs cannot tell"
CLAIMS = [claim["id"] for claim in claims() if ".answers.quality." in claim["decided_by"]]
HIGH, LOW = [0.90, 0.92, 0.91, 0.90, 0.92], [0.50, 0.51, 0.49, 0.50, 0.50]
NEAR = [0.90, 0.93, 0.90, 0.90, 0.92]
"""Less HIGH: 0, 1, -1, 0, 0 points. Student's t with four degrees of freedom is 2.776 at 97.5 %, the standard error
0.707 / √5, so the interval is -0.88 to +0.88 and excludes a loss of two points."""
WIDE = [0.13, 0.51, 0.96, 0.90, 0.95]
"""Less HIGH: -77, -41, 5, 0, 3 points. The mean is -22, its standard error 36.1 / √5: -66.9 to +22.9."""
SELDOM = [0.13, 0.51, 1.0, 1.0, 1.0]
"""Below 1: by 87, 49, 0, 0, 0 points. The mean is 27.2, its standard error 39.7 / √5: -22.1 to +76.5."""


def verdict_on(claim, *records):
    return verdicts_on(in_memory(*records), claim).get(claim)


def ruling(claim, *records):
    """The verdict's word, and the numbers behind it."""
    found = verdict_on(claim, *records)
    if found is None:
        return "not measured here", ""
    return EN.render(found.word), " ".join(map(EN.render, found.evidence))


def test_what_comes_after_longer_training_is_no_lower_ceiling():
    short = [*recall(HIGH, attention="mha"), *recall(LOW, **mla(None))]
    longer = [*recall(HIGH, attention="mha", updates=4800), *recall(NEAR, updates=4800, **mla(None))]
    assert ruling("mla-lower-ceiling", *short)[0] == "supported"
    assert ruling("mla-lower-ceiling", *short, *longer)[0] == EQUAL
    wide = [*recall(HIGH, attention="mha", updates=4800), *recall(WIDE, updates=4800, **mla(None))]
    assert ruling("mla-lower-ceiling", *short, *wide)[0] == OPEN
    tiers_short = [*tiers(1.0, attention="mha"), *tiers(0.5, **mqa(16)), *tiers(0.2, **mla(None))]
    tiers_longer = [*tiers(1.0, attention="mha", updates=4800), *tiers(1.0, updates=4800, **mla(None))]
    assert ruling("mla-lower-ceiling", *tiers_short)[0] == "supported"
    assert "both at the top" in ruling("mla-lower-ceiling", *tiers_short, *tiers_longer)[1]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_without_its_records_has_no_verdict(claim):
    assert verdict_on(claim, *recall(HIGH, attention="mha")) is None


@pytest.mark.parametrize(
    ("usual", "narrow", "here"),
    [
        (LOW, LOW, "supported"),
        (NEAR, LOW, EQUAL),
        (NEAR, WIDE, EQUAL),
        (WIDE, WIDE, OPEN),
        (WIDE, LOW, OPEN),
        (None, LOW, "not measured here"),
        (LOW[:4], LOW[:4], UNTESTED),
        (NEAR[:4], NEAR[:4], UNTESTED),
    ],
)
def test_a_starved_rank_alone_puts_no_mla_below_mha(usual, narrow, here):
    records = [*recall(HIGH, attention="mha"), *recall(narrow, **mla(8))]
    records += recall(usual, **mla(None)) if usual else []
    assert ruling("mla-lower-ceiling", *records)[0] == here


def test_a_verdict_names_the_largest_differences():
    _, said = ruling(
        "mla-lower-ceiling", *recall(HIGH, attention="mha"), *recall(LOW, **mla(8)), *recall(NEAR, **mla(None))
    )
    assert "MLA rank 64 minus MHA +0.0 (-0.9 to +0.9) points, 5 seeds, no difference that matters" in said
    assert "MLA of other ranks minus MHA, share answered: -41.0" in said


def test_tasks_that_tell_nothing_apart_decide_nothing():
    all_of_it = [*recall([1.0] * 5, attention="mha"), *recall([1.0, 0.995, 0.99, 1.0, 1.0], **mla(None))]
    none_of_it = [*recall([0.03, 0.04] * 3, attention="mha"), *recall([0.03, 0.02] * 3, **mla(None))]
    for records, told in ((all_of_it, "both at the top"), (none_of_it, "neither beats guessing")):
        here, said = ruling("mla-lower-ceiling", *records)
        assert here == UNTESTED
        assert told in said


def test_mla_without_its_norm_speaks_for_no_mla():
    records = [*recall(HIGH, attention="mha"), *recall(LOW, **mla(None, **{"attention.latent_norm": False}))]
    assert ruling("mla-lower-ceiling", *records)[0] == "not measured here"


def test_a_higher_loss_counts_as_lower():
    records = [
        record
        for seed in range(5)
        for record in (
            *arm([0.5], seeds=[seed], task="plays", attention="mha", loss=1.5 + seed / 50),
            *arm([0.5], seeds=[seed], task="plays", loss=1.7 + 0.03 * seed, **mla(None)),
        )
    ]
    here, said = ruling("mla-lower-ceiling", *records)
    assert here == "supported"
    assert "MLA rank 64 minus MHA +0.220" in said


@pytest.mark.parametrize(
    ("gqa", "mqa_", "here"),
    [
        (LOW, LOW, "supported"),
        (NEAR, LOW, "supported"),
        (NEAR, NEAR, EQUAL),
        (NEAR, WIDE, OPEN),
        (WIDE, WIDE, OPEN),
    ],
)
def test_gqa_and_mqa_are_below_mha_or_not(gqa, mqa_, here):
    records = [
        *recall(HIGH, attention="mha"),
        *recall(gqa, attention="gqa", extras={"attention.kv_heads": 2}, cache_bytes=256.0),
        *recall(mqa_, **mqa(16)),
    ]
    assert ruling("gqa-between", *records)[0] == here


@pytest.mark.parametrize(
    ("full", "one", "here"),
    [
        (LOW, NEAR, "supported"),
        (LOW, LOW, "supported in part"),
        (LOW, None, "supported"),
        (NEAR, LOW, EQUAL),
        (WIDE, NEAR, OPEN),
    ],
)
def test_the_whole_context_is_harder_only_where_recall_is_not(full, one, here):
    records = [*recall(HIGH, task="copying", attention="mha"), *recall(full, task="copying", **mla(16))]
    records += [*recall(HIGH, attention="mha"), *recall(one, **mla(16))] if one else []
    assert ruling("full-context-tasks", *records)[0] == here


def test_one_hop_of_the_same_contexts_is_a_look_up_beside_two():
    def hops(one, two, **said):
        return [
            quality_record(
                one, task="two_hop", seed=seed, kinds={"one hop": one + nudge, "two hops": two + nudge}, **said
            )
            for seed, nudge in enumerate((0.0, 0.01, 0.0, 0.01, 0.005))
        ]

    here, said = ruling("full-context-tasks", *hops(0.9, 0.8, attention="mha"), *hops(0.9, 0.5, **mla(16)))
    assert here == "supported"
    assert "MLA rank 16 minus MHA -30.0" in said
    assert "look-up (recall of pairs, one hop), share answered: +0.0 (+0.0 to +0.0) points, no difference" in said


@pytest.mark.parametrize(
    ("falls", "here"),
    [
        (ONE_HEAD_EACH, "supported"),
        (ALL_HEADS_ALIKE, "contradicted"),
        (ONE_FOR_ALL, "contradicted"),
    ],
)
def test_heads_specialise_where_each_attribute_has_its_own(falls, here):
    verdict, said = ruling("heads-specialise", *tiers(1.0, attention="mha", falls=falls))
    assert verdict == here
    assert "25 % if all alike" in said


@pytest.mark.parametrize("seeds", [1, 4])
def test_few_seeds_leave_open_whether_heads_specialise(seeds):
    for falls in (ONE_HEAD_EACH, ALL_HEADS_ALIKE):
        assert ruling("heads-specialise", *tiers(1.0, seeds=seeds, attention="mha", falls=falls))[0] == OPEN


def differing_seeds(**said):
    """Shares of 100, 100, 100, 25 and 25 %: the mean is 70, its standard error 41.1 / √5, so 19 to 121 hold a half."""
    each = [ONE_HEAD_EACH] * 3 + [ALL_HEADS_ALIKE] * 2
    return [record for seed, falls in enumerate(each) for record in arm([1.0], seeds=[seed], falls=falls, **said)]


def test_seeds_that_differ_leave_open_whether_heads_specialise():
    wide = differing_seeds(attention="mha")
    assert ruling("heads-specialise", *wide)[0] == OPEN
    assert ruling("heads-specialise", *wide, *tiers(1.0, **mla(16), falls=ALL_HEADS_ALIKE))[0] == OPEN
    assert ruling("heads-specialise", *wide, *tiers(1.0, **mla(16), falls=ONE_HEAD_EACH))[0] == "supported in part"


def test_of_several_arms_more_is_asked_of_heads():
    def below_half(**said):
        """Shares of 30, 35, 45, 48 and 40 %: t is 3.15, p 0.034."""
        return [
            record
            for seed, share in enumerate((0.3, 0.35, 0.45, 0.48, 0.4))
            for record in arm([1.0], seeds=[seed], falls=falls_of(share), **said)
        ]

    def falls_of(share):
        rest = (1 - share) / 3
        return [[0.9 * (share if attribute % 4 == head else rest) for attribute in range(6)] for head in range(4)]

    assert ruling("heads-specialise", *below_half(attention="mha"))[0] == "contradicted"
    assert ruling("heads-specialise", *below_half(attention="mha"), *below_half(**mla(16)))[0] == OPEN


@pytest.mark.parametrize(
    ("latent", "grouped", "here"),
    [
        (0.3, None, "supported"),
        (1.0, None, SMALL),
        (0.3, 0.3, "supported in part"),
        (0.3, 0.6, "supported"),
        (0.3, 1.0, "supported"),
        (0.6, 0.3, "supported in part"),
    ],
)
def test_mla_grades_where_other_narrow_caches_keep_more(latent, grouped, here):
    records = [*tiers(1.0, attention="mha"), *tiers(latent, **mla(16))]
    records += tiers(grouped, **mqa(12)) if grouped else []
    assert ruling("information-tiers", *records)[0] == here


@pytest.mark.parametrize(
    ("latents", "grouped", "here"),
    [
        ({16: SELDOM}, None, OPEN),
        ({16: [1.0] * 5, 8: SELDOM}, None, OPEN),
        ({16: [0.3] * 4}, None, UNTESTED),
        # That others do not grade needs evidence, too; as far as they do, a pair that is wide shows no difference.
        ({16: [0.3] * 5}, SELDOM, "supported in part"),
        ({16: [0.3] * 5}, [1.0] * 4, "supported in part"),
    ],
)
def test_wide_intervals_leave_open_whether_mla_grades(latents, grouped, here):
    records = [*tiers(1.0, attention="mha"), *(one for rank in latents for one in thirds(latents[rank], **mla(rank)))]
    records += thirds(grouped, **mqa(12)) if grouped else []
    assert ruling("information-tiers", *records)[0] == here


def test_that_nothing_as_narrow_was_there_to_compare_is_said():
    _, said = ruling("information-tiers", *tiers(0.3, **mla(16)))
    assert "no grouped heads with as narrow a cache" in said
    assert "MLA rank 16 (of 1)" in said


@pytest.mark.parametrize(
    ("uneven", "swapped", "here"),
    [(0.2, 0.95, "supported in part"), (0.97, 1.0, OPEN), (0.3, 0.3, SMALL)],
)
def test_the_grading_follows_training_and_then_stays(uneven, swapped, here):
    records = [*tiers(uneven, **mla(16)), *tiers(swapped, **asked("reversed", **mla(16)))]
    verdict, said = ruling("grading-automatic", *records)
    assert verdict == here
    assert f"{100 * uneven:.0f} %" in said


def test_wide_intervals_leave_open_whether_grading_follows():
    def swapped(finals, rank):
        return thirds(finals, **asked("reversed", **mla(rank)))

    uneven = [*tiers(0.3, **mla(16)), *tiers(0.3, **mla(8))]
    level = [0.3, 0.31, 0.29, 0.305, 0.295]
    assert ruling("grading-automatic", *uneven, *swapped(level, 16), *swapped(level, 8))[0] == SMALL
    assert ruling("grading-automatic", *uneven, *swapped(SELDOM, 16), *swapped(SELDOM, 8))[0] == OPEN
    assert ruling("grading-automatic", *uneven, *swapped(SELDOM, 16), *swapped(level, 8))[0] == OPEN
    assert ruling("grading-automatic", *uneven, *swapped(level[:4], 16))[0] == UNTESTED


def test_shipped_ranks_lead_and_starved_ones_are_where_it_flips():
    records = [*recall(HIGH, attention="mha"), *recall(NEAR, **mla(None)), *recall(LOW, **mla(8))]
    found = verdict_on("mla-lower-ceiling", *records)
    assert found.outcome == "equal"
    assert EN.render(found.lead.about).startswith("MLA rank 64 minus MHA: share answered (recall")
    assert EN.render(found.flips).startswith(
        "With a smaller latent it loses detail: lower in 1 of 1 cases, the widest of them MLA rank 8, -41.0"
    )
    narrower = [*records, *recall([share - 0.2 for share in LOW], **mla(4))]
    assert "2 of 2 cases, the widest of them MLA rank 8, -41.0" in EN.render(
        verdict_on("mla-lower-ceiling", *narrower).flips
    )
    few = [*recall(HIGH[:3], attention="mha"), *recall(LOW[:3], **mla(None))]
    assert not verdict_on("mla-lower-ceiling", *few).suffices


def test_a_loss_leads_with_its_own_sign():
    records = [
        record
        for seed in range(5)
        for record in (
            *arm([0.5], seeds=[seed], task="plays", attention="mha", loss=1.5 + seed / 50),
            *arm([0.5], seeds=[seed], task="plays", loss=1.7 + 0.03 * seed, **mla(None)),
        )
    ]
    lead = verdict_on("mla-lower-ceiling", *records).lead
    assert lead.value == pytest.approx(0.22)
    assert lead.ends[0] < 0.22 < lead.ends[1]
    assert EN.render(lead.written) == "+0.220 nats of loss"
