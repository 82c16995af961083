"""The person's own runs: ranked on the first view, opened on in every other, and told from the reference records."""

from dataclasses import replace

import pytest

from suite.console.compare import by_setting
from suite.console.summary import SummaryEntry, summarise_record
from suite.records.case import command_line, commands_again
from suite.report.answers.answers import build_answers
from suite.report.page.texts import load_texts
from tests.records.factory import ENVIRONMENT, build, in_launches
from tests.report.quality_records import in_memory, quality_record
from tests.report.reading import results_of, rows_of
from tests.report.rl.runs import arms

EN = load_texts("en")
HERE = ENVIRONMENT["machine_id"]
UNCHECKED = {"layer_check": "none: no definition"}


def timed(attention, seconds, *, launches=3, **more):
    """A case of nine timings that hardly vary, over several launches."""
    record = build(attention=attention, latencies_s=[seconds * (1 + place / 1000) for place in range(9)], **more)
    return replace(record, readings=[replace(one, launch=one.step % launches) for one in record.readings])


def rankings(results):
    return EN.render_block(build_answers(results, HERE).own)


def column(ranking, key):
    return [row[EN(key)] for row in rows_of(ranking.table)]


@pytest.mark.parametrize("launches", [1, 2])
def test_variants_stand_fastest_first_beside_their_cache(launches):
    names = {"mla": 2e-3, "gqa": 1e-3, "nowhere_known": 4e-3}
    (ranking,) = rankings(in_memory(*(timed(name, seconds, launches=launches) for name, seconds in names.items())))
    assert column(ranking, "column.variant") == ["GQA", "MLA", "NOWHERE (known)"]
    assert column(ranking, "column.median") == ["1.00 ms", "2.01 ms", "4.02 ms"]
    assert column(ranking, "table.over_least") == ["1.00×", "2.00×", "4.00×"]
    assert [cell != "–" for cell in column(ranking, "column.interval")] == [launches == 2] * 3
    assert "attention=gqa,mla,nowhere_known" in ranking.commands[0]


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        (timed("mla", 2e-3), "clear"),
        (timed("mla", 1.0001e-3), "close"),
        (timed("mla", 2e-3, launches=1), "one_launch"),
        (timed("mla", 1e-6, provenance=UNCHECKED), "unchecked"),
    ],
    ids=["clear", "close", "one_launch", "unchecked"],
)
def test_only_a_clear_difference_makes_a_fastest(second, outcome):
    """An unchecked layer leads no ranking, however fast."""
    (ranking,) = rankings(in_memory(second, timed("gqa", 1e-3)))
    mla = EN("variant.unchecked", name="MLA") if outcome == "unchecked" else "MLA"
    assert column(ranking, "column.variant") == ["GQA", mla]
    assert column(ranking, "own.behind") == ["–", EN(f"own.behind.{outcome}")]
    assert ("astest" in ranking.finding) == (outcome == "clear")


def test_an_unchecked_layer_hides_no_fastest():
    records = [timed("mqa", 1e-3), timed("gqa", 2e-3), timed("mla", 1e-6, provenance=UNCHECKED)]
    (ranking,) = rankings(in_memory(*records))
    assert ranking.finding.startswith("The fastest is MQA")


def test_each_row_is_compared_with_the_fastest():
    """Neighbours 5% apart are too close to call; the last is still clearly slower than the first."""
    noisy = {name: replace(build(attention=name), readings=[]) for name in ("mqa", "gqa", "mla", "mha")}
    records = [
        in_launches(record, *(seconds * by for by in (0.98, 1.0, 1.02)))
        for record, seconds in zip(noisy.values(), (1.0e-3, 1.05e-3, 1.10e-3, 1.15e-3), strict=True)
    ]
    (ranking,) = rankings(in_memory(*records))
    close, clear = EN("own.behind.close"), EN("own.behind.clear")
    assert column(ranking, "own.behind") == ["–", close, clear, clear]


OUTCOMES = {"clear": "slower", "close": "no clear difference", "one_launch": "one launch", "unchecked": "not checked"}
"""Of a row in a ranking, and what the terminal says of the same two records."""


@pytest.mark.parametrize(
    "records",
    [
        [timed("mqa", 1e-3), timed("gqa", 1.0001e-3), timed("mla", 2e-3), timed("mha", 2.001e-3)],
        [timed("mqa", 1e-3, launches=1), timed("gqa", 3e-3), timed("mla", 2e-3, launches=1)],
        [timed("mqa", 1e-3), timed("gqa", 3e-3), timed("mla", 2e-3, provenance=UNCHECKED)],
    ],
    ids=["launches", "one_launch", "unchecked"],
)
def test_the_terminal_says_the_same_of_the_same_records(records):
    (ranking,) = rankings(in_memory(*records))
    names = [name.split()[0].lower() for name in column(ranking, "column.variant")]
    entries = [SummaryEntry(record=record, summary=summarise_record(record), label="") for record in records]
    spoken = {pair.arm: pair.outcome_in_words for pair in by_setting(entries, "attention", names[0])}
    words = {EN(f"own.behind.{outcome}"): said for outcome, said in OUTCOMES.items()}
    rows = dict(zip(names[1:], column(ranking, "own.behind")[1:], strict=True))
    assert spoken.keys() == rows.keys()
    assert all(spoken[name].startswith(words[cell]) for name, cell in rows.items()), (spoken, rows)


def test_the_terminal_says_the_same_of_the_same_scores():
    finals = {
        "ppo": [0.5, 0.52, 0.51, 0.5, 0.53],
        "grpo": [0.8, 0.81, 0.8, 0.82, 0.8],
        "rloo": [0.79, 0.81, 0.7, 0.9, 0.8],
    }
    records = arms(finals)
    (ranking,) = rankings(in_memory(*records))
    entries = [SummaryEntry(record=record, summary=summarise_record(record), label="") for record in records]
    spoken = {pair.arm: pair.outcome for pair in by_setting(entries, "algorithm", "grpo")}
    rows = dict(zip(column(ranking, "rl.arm"), column(ranking, "own.behind.best"), strict=True))
    assert rows.pop("GRPO") == "–"
    assert {name.lower(): cell for name, cell in rows.items()} == {
        name: EN(f"verdict.{outcome}", count=5) for name, outcome in spoken.items()
    }


def test_cases_that_differ_in_more_than_an_axis_run_one_by_one():
    sizes = (("gqa", {"attention.kv_heads": 2}), ("mla", {}))
    one, other = (timed(name, 1e-3, extras=extras).case for name, extras in sizes)
    assert commands_again([one, other, one]) == [command_line(one), command_line(other)]


def test_trained_arms_stand_by_what_they_learnt():
    learnt = arms({"ppo": [0.5, 0.52, 0.51, 0.5, 0.53], "grpo": [0.8, 0.81, 0.8, 0.82, 0.8]})
    answered = [quality_record(share, attention=name) for name, share in (("mha", 0.5), ("mqa", 0.75))]
    of_rl, of_quality = rankings(in_memory(*learnt, *answered))
    assert [row[0] for row in of_rl.table.rows] == ["GRPO", "PPO"]
    assert column(of_rl, "own.behind.best") == ["–", EN("verdict.lower")]
    assert "GRPO 81%" in of_rl.finding
    assert any("seed=0,1,2,3,4" in command for command in of_rl.commands)
    assert column(of_quality, "own.score.quality") == ["75%", "50%"]
    assert column(of_quality, "own.behind.best")[1] == EN("verdict.few", count=1)


def test_reference_records_are_nobodys_own(tmp_path):
    """One's own runs, in one context, beside reference records in three, of the same machine."""
    own = [timed("mla", 1e-3), timed("mha", 3e-3)]
    times = (("mla", 3e-3), ("mha", 1e-3))
    references = [timed(name, seconds, seq_len=size) for size in (64, 512, 4096) for name, seconds in times]
    both = results_of(tmp_path / "results", **{"mine": own, "reference/cpu": references})
    assert both.references == {"cpu"}
    assert len(both.own.records) == 2
    assert len(rankings(both)) == 1
