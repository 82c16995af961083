"""Arms that are late and arms that never learn: the table of whole curves, and learning rates of an arm's own."""

from dataclasses import replace

from suite.records.record import Reading
from suite.report.quality import tasks, tiers
from tests.report.quality_records import mla, quality_record, section_of, table_of

MHA, FROZEN, SLICE = {"attention": "mha"}, {"attention.latent": "frozen"}, {"attention.latent": "slice"}
EARLY, LATER, NEVER = [2, 3, 2, 3, 2, 3, 2], [5, 6, 5, 6, 5, 6, 5], [None] * 7


def learnt(begins, *, evaluations=13, task="recall", **facts):
    """A run for each seed, which answers nearly all, of tiers those asked rarely, from this evaluation on, or never."""
    runs = []
    for seed, begin in enumerate(begins):
        run = quality_record(task=task, seed=seed, **facts)
        readings = [reading for reading in run.readings if reading.span == "case" or reading.metric == "chance"]
        for step in range(evaluations):
            share = 0.85 + (seed * begin % 5) / 50 if begin is not None and step >= begin else 0.1
            shares = {"evaluate": share} if task == "recall" else {"evaluate": 0.4, "evaluate/rarely": share}
            for span, value in shares.items():
                readings.append(Reading(step=step, span=span, metric="answer_accuracy", value=value))
            readings.append(Reading(step=step, span="step", metric="updates", value=100))
        runs.append(replace(run, readings=readings))
    return runs


def curves(*records):
    rows = table_of(section_of(tasks, *records), "Slower to learn")
    return {(row["Variant"], row["Compared with"]): row for row in rows}


def test_what_comes_late_is_told_from_what_never_comes():
    rows = curves(
        *learnt(EARLY, **MHA),
        *learnt(LATER, **mla(24)),
        *learnt(EARLY, lr=0.006, **mla(24, **FROZEN)),
        *learnt(NEVER, **mla(24, **SLICE)),
    )
    words = {
        pair: (row["Verdict"], row["Take-off (updates)"], row["Runs that never take off"]) for pair, row in rows.items()
    }
    frozen, sliced = "MLA rank 24, frozen latent", "MLA rank 24, sliced latent"
    early, late = "200 (200 to 300)", "500 (500 to 600)"
    assert words == {
        ("MLA rank 24", "MHA"): ("late", late, "0"),
        (frozen, "MHA"): ("alike", early, "0"),
        (frozen, "MLA rank 24"): ("early", early, "0"),
        (sliced, "MHA"): ("trapped", "–", "7"),
        (sliced, "MLA rank 24"): ("trapped", "–", "7"),
    }
    assert rows[frozen, "MLA rank 24"]["Take-off of the other"] == late
    assert rows[sliced, "MHA"]["Of the other, never"] == "0"


def test_tiers_take_off_by_what_is_asked_rarely():
    records = [*learnt(EARLY, task="tiers", **MHA), *learnt(NEVER, task="tiers", **mla(24))]
    (row,) = table_of(section_of(tiers, *records), "Slower to learn")
    assert (row["Verdict"], row["Take-off of the other"], row["Runs that never take off"]) == (
        "trapped",
        "200 (200 to 300)",
        "7",
    )


def test_curves_of_few_evaluations_say_nothing():
    records = [*learnt(EARLY, evaluations=5, **MHA), *learnt(EARLY, evaluations=5, **mla(24))]
    assert not any(table.title.startswith("Slower") for table in section_of(tasks, *records).tables)


def test_a_rate_is_an_arms_own_and_named_where_it_alone_differs():
    def names(*records):
        return [row["Variant"] for row in table_of(section_of(tasks, *records), "Results by variant")]

    records = [*learnt(EARLY, lr=0.003, **MHA), *learnt(EARLY, lr=0.006, **mla(8))]
    assert names(*records, *learnt(EARLY, lr=0.001, **mla(24))) == ["MHA", "MLA rank 24", "MLA rank 8"]
    again = learnt(EARLY, lr=0.001, **mla(8))
    assert names(*records, *again) == ["MHA", "MLA rank 8 (lr=0.001)", "MLA rank 8 (lr=0.006)"]
