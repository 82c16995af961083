"""What the page rules of each claim on quality, from runs whose numbers can be added up by hand."""

import math

import pytest

from suite.report.answers.claims import Standing, claims
from tests.report.answers.ruled import EN, ruling, verdict_on
from tests.report.quality_records import (
    ALL_HEADS_ALIKE,
    ONE_FOR_ALL,
    ONE_HEAD_EACH,
    along_curves,
    arm,
    asked,
    mla,
    mqa,
    quality_record,
    recall,
    thirds,
    tiers,
)

SUPPORTED, CONTRADICTED, PARTLY = "supported", "contradicted", "partly supported"
OPEN, EQUAL, UNTESTED = "no clear difference", "no relevant difference", "cannot be decided from these runs"
UNDECIDED = "undecided"
NONE = "not measured here"
CLAIMS = [claim["id"] for claim in claims() if ".answers.quality." in claim["decided_by"]]
HIGH, LOW = [0.90, 0.92, 0.91, 0.90, 0.92], [0.50, 0.51, 0.49, 0.50, 0.50]
NEAR = [0.90, 0.93, 0.90, 0.90, 0.92]
"""Less HIGH: 0, 1, -1, 0, 0 points. Student's t with four degrees of freedom is 2.776 at 97.5%, the standard error
0.707 / √5, so the interval is -0.88 to +0.88 and excludes a loss of two points."""
WIDE = [0.13, 0.51, 0.96, 0.90, 0.95]
"""Less HIGH: -77, -41, 5, 0, 3 points. The mean is -22, its standard error 36.1 / √5: -66.9 to +22.9."""
SELDOM = [0.13, 0.51, 1.0, 1.0, 1.0]
"""Below 1: by 87, 49, 0, 0, 0 points. The mean is 27.2, its standard error 39.7 / √5: -22.1 to +76.5."""


MHA, GROUPED = {"attention": "mha"}, {"attention": "gqa", "extras": {"attention.kv_heads": 2}, "cache_bytes": 256.0}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_without_its_records_has_no_verdict(claim):
    assert verdict_on(claim, *recall(HIGH, attention="mha")) is None


def test_what_comes_after_longer_training_is_no_lower_ceiling():
    short = [*recall(HIGH, attention="mha"), *recall(LOW, **mla(None))]
    assert ruling("mla-lower-ceiling", *short)[0] == SUPPORTED
    for longer, word in ((NEAR, EQUAL), (WIDE, OPEN)):
        trained = [*recall(HIGH, attention="mha", updates=4800), *recall(longer, updates=4800, **mla(None))]
        assert ruling("mla-lower-ceiling", *short, *trained)[0] == word
    of_tiers = [*tiers(1.0, attention="mha"), *tiers(0.5, **mqa(16)), *tiers(0.2, **mla(None))]
    word, numbers = ruling("mla-lower-ceiling", *short, *of_tiers)
    assert (word, "asked rarely (3%): the result is -79.7" in numbers) == (SUPPORTED, True)
    of_tiers += [*tiers(1.0, attention="mha", updates=4800), *tiers(1.0, updates=4800, **mla(None))]
    assert "both score as high as possible" in ruling("mla-lower-ceiling", *of_tiers)[1]


@pytest.mark.parametrize(
    ("usual", "narrow", "word"),
    [
        (LOW, LOW, SUPPORTED),
        (NEAR, LOW, EQUAL),
        (NEAR, WIDE, EQUAL),
        (WIDE, WIDE, OPEN),
        (WIDE, LOW, OPEN),
        (None, LOW, NONE),
        (LOW[:4], LOW[:4], UNTESTED),
        (NEAR[:4], NEAR[:4], UNTESTED),
    ],
)
def test_a_starved_rank_alone_puts_no_mla_below_mha(usual, narrow, word):
    records = [*recall(HIGH, attention="mha"), *recall(narrow, **mla(8))]
    records += recall(usual, **mla(None)) if usual else []
    assert ruling("mla-lower-ceiling", *records)[0] == word
    verdict = verdict_on("mla-lower-ceiling", *records)
    assert verdict is None or verdict.suffices is (word != UNTESTED)


def test_shipped_ranks_lead_and_starved_ones_are_where_it_flips():
    records = [*recall(HIGH, attention="mha"), *recall(NEAR, **mla(None)), *recall(LOW, **mla(8))]
    verdict = verdict_on("mla-lower-ceiling", *records)
    assert (verdict.lead.value, EN.render(verdict.word)) == (pytest.approx(0, abs=1e-9), EQUAL)
    narrower = verdict_on("mla-lower-ceiling", *records, *recall([share - 0.2 for share in LOW], **mla(4)))
    for flips, count in ((verdict.flips, 1), (narrower.flips, 2)):
        assert f"in {count} of {count} cases" in EN.render(flips)
        assert "MLA rank 8: -41.0" in EN.render(flips)


def test_tasks_that_tell_nothing_apart_decide_nothing():
    all_of_it = [*recall([1.0] * 5, attention="mha"), *recall([1.0, 0.995, 0.99, 1.0, 1.0], **mla(None))]
    none_of_it = [*recall([0.03, 0.04] * 3, attention="mha"), *recall([0.03, 0.02] * 3, **mla(None))]
    for records, reason in ((all_of_it, "both score as high as possible"), (none_of_it, "no better than guessing")):
        word, numbers = ruling("mla-lower-ceiling", *records)
        assert (word, reason in numbers) == (UNTESTED, True)


def test_mla_without_its_norm_speaks_for_no_mla():
    records = [*recall(HIGH, attention="mha"), *recall(LOW, **mla(None, **{"attention.latent_norm": False}))]
    assert ruling("mla-lower-ceiling", *records)[0] == NONE


def test_a_higher_loss_counts_as_lower_with_its_own_sign():
    records = []
    for seed in range(5):
        records += arm([0.5], seeds=[seed], task="plays", attention="mha", loss=1.5 + seed / 50)
        records += arm([0.5], seeds=[seed], task="plays", loss=1.7 + 0.03 * seed, **mla(None))
    word, numbers = ruling("mla-lower-ceiling", *records)
    bits = 0.22 / math.log(2)
    assert (word, "the result is +0.317 (" in numbers) == (SUPPORTED, True)
    lead = verdict_on("mla-lower-ceiling", *records).lead
    assert lead.value == pytest.approx(bits)
    assert lead.ends[0] < bits < lead.ends[1]
    assert EN.render(lead.written) == "+0.317 bits per byte"


@pytest.mark.parametrize(
    ("gqa", "mqa_", "word"),
    [(LOW, LOW, SUPPORTED), (NEAR, LOW, SUPPORTED), (NEAR, NEAR, EQUAL), (NEAR, WIDE, OPEN), (WIDE, WIDE, OPEN)],
)
def test_gqa_and_mqa_are_below_mha_or_not(gqa, mqa_, word):
    records = [*recall(HIGH, **MHA), *recall(gqa, **GROUPED), *recall(mqa_, **mqa(16))]
    assert ruling("gqa-between", *records)[0] == word


@pytest.mark.parametrize(
    ("full", "look_up", "word"),
    [(LOW, NEAR, SUPPORTED), (LOW, LOW, PARTLY), (LOW, None, SUPPORTED), (NEAR, LOW, EQUAL), (WIDE, NEAR, OPEN)],
)
def test_the_whole_context_is_harder_only_where_recall_is_not(full, look_up, word):
    records = [*recall(HIGH, task="copying", attention="mha"), *recall(full, task="copying", **mla(16))]
    records += [*recall(HIGH, attention="mha"), *recall(look_up, **mla(16))] if look_up else []
    assert ruling("full-context-tasks", *records)[0] == word


def test_one_hop_of_the_same_contexts_is_a_look_up_beside_two():
    def hops(one, two, **facts):
        nudged = [{"one hop": one + nudge, "two hops": two + nudge} for nudge in (0.0, 0.01, 0.0, 0.01, 0.005)]
        return [
            quality_record(one, task="two_hop", seed=seed, kinds=kinds, **facts) for seed, kinds in enumerate(nudged)
        ]

    word, numbers = ruling("full-context-tasks", *hops(0.9, 0.8, attention="mha"), *hops(0.9, 0.5, **mla(16)))
    assert (word, "-30.0" in numbers, "one hop) is +0.0" in numbers) == (SUPPORTED, True, True)


def differing_seeds(**facts):
    """Shares of 100, 100, 100, 25 and 25%: the mean is 70, its standard error 41.1 / √5, so 19 to 121 hold a half."""
    each = [ONE_HEAD_EACH] * 3 + [ALL_HEADS_ALIKE] * 2
    return [record for seed, falls in enumerate(each) for record in arm([1.0], seeds=[seed], falls=falls, **facts)]


def below_half(**facts):
    """Shares of 30, 35, 45, 48 and 40%: t is 3.15, p 0.034."""
    records = []
    for seed, share in enumerate((0.3, 0.35, 0.45, 0.48, 0.4)):
        heads = [[share if attribute % 4 == head else (1 - share) / 3 for attribute in range(6)] for head in range(4)]
        records += arm([1.0], seeds=[seed], falls=[[0.9 * fall for fall in head] for head in heads], **facts)
    return records


@pytest.mark.parametrize(
    ("records", "word"),
    [
        (tiers(1.0, falls=ONE_HEAD_EACH, **MHA), SUPPORTED),
        (tiers(1.0, falls=ALL_HEADS_ALIKE, **MHA), CONTRADICTED),
        (tiers(1.0, falls=ONE_FOR_ALL, **MHA), CONTRADICTED),
        (tiers(1.0, falls=ONE_HEAD_EACH, seeds=4, **MHA), UNTESTED),
        (tiers(1.0, falls=ALL_HEADS_ALIKE, seeds=1, **MHA), UNTESTED),
        (differing_seeds(**MHA), OPEN),
        (below_half(**MHA), CONTRADICTED),
        ([*differing_seeds(**MHA), *tiers(1.0, **mla(16), falls=ALL_HEADS_ALIKE)], OPEN),
        (
            [*tiers(1.0, falls=ONE_HEAD_EACH, **MHA), *tiers(1.0, **mla(16), falls=ALL_HEADS_ALIKE)],
            "depends on the attention variant and the latent’s rank",
        ),
    ],
)
def test_heads_specialise_where_each_attribute_has_its_own(records, word):
    assert ruling("heads-specialise", *records)[0] == word


@pytest.mark.parametrize(
    ("latents", "grouped", "word"),
    [
        ({16: [0.3] * 5}, None, SUPPORTED),
        ({16: [1.0] * 5}, None, EQUAL),
        ({16: [0.3] * 5}, [0.3] * 5, PARTLY),
        ({16: [0.3] * 5}, [0.6] * 5, PARTLY),
        ({16: [0.3] * 5}, [1.0] * 5, SUPPORTED),
        ({16: SELDOM}, None, OPEN),
        ({16: [1.0] * 5, 8: SELDOM}, None, OPEN),
        ({16: [0.3] * 4}, None, UNTESTED),
        # That others do not grade needs evidence, too.
        ({16: [0.3] * 5}, SELDOM, PARTLY),
        ({16: [0.3] * 5}, [1.0] * 4, PARTLY),
    ],
)
def test_mla_grades_where_other_caches_do_not(latents, grouped, word):
    records = [record for rank, shares in latents.items() for record in thirds(shares, **mla(rank))]
    assert ruling("information-tiers", *records, *(thirds(grouped, **mqa(12)) if grouped else []))[0] == word


def test_reversed_queries_are_compared_with_skewed_ones_alone():
    """Neither with equally frequent queries nor with training twice as long."""
    others = [*thirds([0.5] * 5, **asked("uniform", **mla(16)))]
    others += thirds([1.0] * 5, updates=800, **asked("reversed", **mla(16)))
    records = [*tiers(0.2, **mla(16)), *thirds([0.95] * 5, **asked("reversed", **mla(16)))]
    assert verdict_on("grading-automatic", *records, *others).lead.value == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize(
    ("uneven", "swapped", "word"),
    [
        (0.2, {16: [0.95] * 5}, PARTLY),
        (1.0, {16: [1.0] * 5}, UNTESTED),
        (0.3, {16: [0.3] * 5}, EQUAL),
        (0.3, {16: SELDOM}, OPEN),
        (0.95, {16: [0.3] * 5}, CONTRADICTED),
        (0.3, {16: [0.9] * 4}, UNTESTED),
        (0.2, {16: [0.95] * 5, 8: [0.95] * 3}, PARTLY),
    ],
)
def test_the_grading_follows_training_and_then_stays(uneven, swapped, word):
    records = []
    for rank, shares in swapped.items():
        records += [*tiers(uneven, **mla(rank)), *thirds(shares, **asked("reversed", **mla(rank)))]
    assert ruling("grading-automatic", *records)[0] == word


FROZEN, WITHOUT_EMBEDDINGS = {"attention.latent": "frozen"}, {"embeddings": "frozen"}
NUDGES = [0.001, -0.001, 0.002, -0.002, 0.0]
TOP, HALF = [0.90, 0.91, 0.89, 0.90, 0.92], [0.50, 0.51, 0.49, 0.50, 0.52]


def tiered(often, sometimes, rarely, **facts):
    """Five seeds that answer these shares of the tiers, give or take a point."""
    return arm([(often, sometimes + nudge, rarely - nudge) for nudge in (0.0, 0.01, -0.01, 0.005, -0.005)], **facts)


# Of the mix, 40 points of the middle tier are 0.12 × 40 = 4.8 points, and as many of the rarest 1.2: a latent that
# learns the rarest tier badly, and nothing else, ranks nothing.
UNTRAINED = [
    ((1.0, 0.9, 0.3), None, SUPPORTED),
    ((1.0, 0.9, 0.3), (1.0, 0.5, 0.3), SUPPORTED),
    ((1.0, 0.9, 0.3), (1.0, 0.9, 0.3), EQUAL),
    ((1.0, 0.9, 0.3), (1.0, 0.9, 0.7), CONTRADICTED),
    ((1.0, 0.5, 0.3), (1.0, 0.9, 0.3), CONTRADICTED),
]


@pytest.mark.parametrize(("trained", "untrained", "word"), UNTRAINED)
def test_mla_ranks_only_if_training_chooses_what_it_keeps(trained, untrained, word):
    records = tiered(*trained, **mla(16))
    for latent in ("frozen", "slice") if untrained else ():
        records += tiered(*untrained, **mla(16, **{"attention.latent": latent}))
    assert ruling("information-tiers", *records)[0] == word


def test_a_verdict_stands_beside_the_number_of_its_words():
    arms = [{"attention.latent": latent} for latent in ("frozen", "slice")]
    records = [
        *tiered(1.0, 1.0, 0.5, **mla(16)),
        *(run for arm in arms for run in tiered(1.0, 1.0, 0.5, **mla(16, **arm))),
    ]
    verdict = verdict_on("information-tiers", *records)
    assert (verdict.outcome, verdict.lead.value) == (Standing.EQUAL, pytest.approx(0.0))
    assert "share answered in the tier that is asked often" in EN.render(verdict.flips)


@pytest.mark.parametrize(("trained", "untrained", "word"), UNTRAINED)
def test_the_latent_alone_must_learn_the_ranking(trained, untrained, word):
    records = [*tiered(1.0, 1.0, 0.2, **mla(16)), *thirds([0.95] * 5, **asked("reversed", **mla(16)))]
    records += tiered(1.0, 1.0, 1.0, **mla(16, **FROZEN))  # with embeddings that learn, it is not the latent alone
    if untrained:
        records += tiered(*trained, **mla(24, **WITHOUT_EMBEDDINGS))
        records += tiered(*untrained, **mla(24, **WITHOUT_EMBEDDINGS, **FROZEN))
    # A trained model does not rank anew, which leaves a part of the claim at the most.
    assert ruling("grading-automatic", *records)[0] == (PARTLY if word == SUPPORTED else word)


@pytest.mark.parametrize("claim", ["mla-lower-ceiling", "full-context-tasks"])
@pytest.mark.parametrize(
    ("levels", "middle", "untrained", "word"),
    [
        (HALF, 300, None, SUPPORTED),
        (TOP, 1000, None, UNDECIDED),  # it ends lower, and rises to the same level
        # Each run ends at a half, and some will rise further.
        ([0.5, 0.9, 0.55, 0.95, 0.5], [300.0, 1156.0, 817.0, 1179.0, 300.0], None, PARTLY),
        (HALF, 300, HALF, SUPPORTED),
        (HALF, 300, TOP, PARTLY),  # as small a latent that nobody trained can do it
    ],
)
def test_a_ceiling_is_where_curves_end_and_of_the_width(claim, levels, middle, untrained, word):
    records = [*along_curves(TOP, **MHA), *along_curves(levels, middle, **mla(64))]
    records += along_curves(untrained, **mla(64, **FROZEN)) if untrained else []
    assert ruling(claim, *records)[0] == word


@pytest.mark.parametrize("claim", ["mla-lower-ceiling", "full-context-tasks"])
def test_an_untrained_latent_limits_a_claim_on_one_task(claim):
    longer, half_again = {"task.length": 64}, [level + nudge for level, nudge in zip(HALF, NUDGES, strict=True)]
    records = [*along_curves(TOP, **MHA), *along_curves(TOP, **MHA, extras=longer)]
    records += [*along_curves(HALF, **mla(64)), *along_curves(HALF, **mla(64, **longer))]
    records += along_curves(half_again, **mla(64, **FROZEN))
    assert ruling(claim, *records, *along_curves(half_again, **mla(64, **longer, **FROZEN)))[0] == SUPPORTED
    assert ruling(claim, *records, *along_curves(TOP, **mla(64, **longer, **FROZEN)))[0] == PARTLY


def test_grouped_heads_that_learn_late_trade_nothing():
    at_top = along_curves(TOP, **MHA)
    assert ruling("gqa-between", *at_top, *along_curves(HALF, 300, **GROUPED))[0] == SUPPORTED
    assert ruling("gqa-between", *at_top, *along_curves(TOP, 1000, **GROUPED))[0] == UNDECIDED


def test_the_rate_with_the_most_seeds_decides_for_every_arm():
    fresh = range(200, 210)
    at_default = [*recall(HIGH, **MHA), *recall(LOW, **GROUPED)]
    tuned = [*recall(HIGH * 2, seeds=fresh, lr=0.006, **MHA), *recall(NEAR * 2, seeds=fresh, lr=0.0015, **GROUPED)]
    assert ruling("gqa-between", *at_default)[0] == SUPPORTED
    assert ruling("gqa-between", *at_default, *tuned)[0] == EQUAL


def test_arms_of_other_seeds_take_no_seed_from_the_tuned():
    fresh = range(200, 210)
    records = [*thirds([0.3] * 5, **mla(8)), *arm([(1.0, 1.0, 0.3)] * 10, seeds=fresh, lr=0.006, **mla(16))]
    word, numbers = ruling("information-tiers", *records)
    assert (word, "from 10 seeds" in numbers) == (SUPPORTED, True)


def test_a_harder_form_of_a_task_is_averaged_with_it():
    records = []
    for extras in ({}, {"task.length": 64}):
        records += recall(HIGH, task="counting", attention="mha", extras=extras)
        records += recall(LOW, task="counting", **mla(None, **extras))
    assert "2 tasks" not in ruling("mla-lower-ceiling", *records)[1]
