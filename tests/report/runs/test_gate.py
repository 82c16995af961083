"""What the gate said, on the page: the newest judgement whole, older ones by a line, and hostile ones harmless."""

import json
import re

import plotly.graph_objects
import pytest

from suite.gate.output.files import JUDGEMENT, write_judgement
from suite.gate.verdict import Outcome, Side
from suite.report.command import report
from suite.report.model.results import read_results
from suite.report.page.texts import LANGUAGES, load_texts
from suite.report.runs.gate import build
from tests.gate.judgements import EVIL, FACTS, case_id, exact, hostile, judgement, mixed, timing
from tests.records.factory import build as record_of
from tests.records.factory import store
from tests.report.reading import rows_of, said, sections_of, whole_text
from tests.report.test_hostile import check_harmless
from tools.prose.readers import GATE, error_rates


def section_of(tmp_path, *judgements, lang="en"):
    for number, one in enumerate(judgements):
        write_judgement(one, tmp_path / "results" / f"gate-{number}", {})
    (tmp_path / "results").mkdir(exist_ok=True)
    return said(build(read_results([tmp_path / "results"])), lang)


def traces_of(figure):
    return {trace["name"]: trace for trace in figure.views[0].figure["data"]}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_rates_that_the_page_quotes_are_the_recorded_ones(lang):
    quoted = re.findall(r"\d+(?:\.\d+)?", load_texts(lang)("gate.rates"))
    recorded = [error_rates()[GATE][slowdown] for slowdown in ("identical", "+5%")]
    assert {*quoted} == {*re.findall(r"\d+(?:\.\d+)?", " ".join(recorded)), "5", "95"}


def test_without_a_judgement_there_is_no_section(tmp_path):
    store(tmp_path / "results", record_of())
    assert section_of(tmp_path) is None


def test_a_judgement_is_a_sentence_with_its_date_and_counts(tmp_path):
    explanation = section_of(tmp_path, judgement(timing(Outcome.SLOWER, 1.05), timing())).explanation
    assert explanation.endswith(
        "Newest comparison: working tree (89abcde, with uncommitted changes) with main (0123456), 2026-03-01 10:00: "
        "1 slower, 1 same."
    )


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (judgement(timing(), interrupted=True), "The comparison was interrupted"),
        (judgement(), "No quantity had anything to be compared with"),
        (judgement(timing(Outcome.INCONCLUSIVE, 1.2), timing()), "1 of 2 noisy quantities have no verdict"),
        (judgement(timing(Outcome.INCONCLUSIVE, 1.2), timing()), "hides slowdowns of up to +21.0%"),
    ],
)
def test_what_was_not_judged_is_said(tmp_path, judged, words):
    assert words in section_of(tmp_path, judged).explanation


def test_each_timing_is_drawn_with_its_interval_and_allowance(tmp_path):
    (figure,) = section_of(tmp_path, mixed()).figures
    traces = traces_of(figure)
    assert list(traces) == ["allowed", "slower", "inconclusive", "accepted", "faster", "same"]
    slower = traces["slower"]
    assert (slower["x"], slower["y"]) == ([1.052], [0])
    assert slower["error_x"]["array"] == pytest.approx([0.01])
    assert slower["error_x"]["arrayminus"] == pytest.approx([0.01])
    assert traces["allowed"]["x"][:3] == [1.02, 1.02, None]


def test_the_table_has_the_worst_first_and_the_same_folded(tmp_path):
    table, same, *_ = section_of(tmp_path, mixed()).tables
    rows = rows_of(table)
    assert (len(rows), table.folded) == (9, False)
    assert ([row["Verdict"] for row in rows_of(same)], same.folded) == (["same"] * 6, True)
    assert [row["Verdict"] for row in rows][:4] == ["broken", "missing", "slower", "slower"]
    assert rows[3] == {
        "Verdict": "slower",
        "Case": "mla decode seq_len=2048",
        "Quantity": "layer · latency_s",
        "Change": "+5.2% (+4.2 to +6.2)",
        "Allowed": "+2.0%",
        "Before": "1.50 ms",
        "After": "1.58 ms",
        "Reason": "slower by more than the 2.0% that is allowed",
    }
    assert rows[0]["Change"] == "–"


def test_the_newest_is_shown_whole_and_older_ones_by_a_row(tmp_path):
    dated = [
        judgement(timing(outcome, 1.1), facts=FACTS | {"started_at": f"2026-0{month}-01T10:00:00+00:00"})
        for month, outcome in ((2, Outcome.SLOWER), (3, Outcome.FASTER), (1, Outcome.SAME))
    ]
    section = section_of(tmp_path, *dated)
    assert list(traces_of(section.figures[0])) == ["allowed", "faster"]
    earlier = rows_of(section.tables[-1])
    assert [(row["Date"], row["Verdicts"], row["Exit code"]) for row in earlier] == [
        ("2026-02-01 10:00", "1 slower", "1"),
        ("2026-01-01 10:00", "1 same", "0"),
    ]


def test_a_judgement_whose_time_cannot_be_is_never_the_newest(tmp_path):
    never = judgement(timing(Outcome.FASTER, 0.5), facts=FACTS | {"started_at": "9999-12-31T10:00:00+00:00"})
    newest = judgement(timing(Outcome.SLOWER, 1.1), facts=FACTS | {"started_at": "2026-03-01T10:00:00+00:00"})
    section = section_of(tmp_path, never, newest)
    assert [row["Verdicts"] for row in rows_of(section.tables[-1])] == ["1 faster"]


def test_each_results_folder_has_its_newest(tmp_path):
    for label in ("one", "two"):
        write_judgement(judgement(timing(), after=Side(label=f"after {label}")), tmp_path / label / "gate", {})
    section = said(build(read_results([tmp_path / "one", tmp_path / "two"])))
    assert [figure.settings for figure in section.figures] == ["one", "two"]


def test_of_hundreds_the_worst_twenty_are_drawn(tmp_path):
    many = [timing(Outcome.SLOWER, 1 + n / 1000, case=case_id(seq_len=n)) for n in range(300)]
    section = section_of(tmp_path, judgement(*many))
    (figure,) = section.figures
    assert traces_of(figure)["slower"]["x"] == pytest.approx([1 + n / 1000 for n in range(299, 279, -1)])
    assert len(section.tables[0].rows) == 300


ODD_RATIOS = (float("nan"), float("inf"), 0.0, -1.0, 1e300)


@pytest.mark.parametrize("verdict", [exact(), *(timing(Outcome.SLOWER, odd, low=odd, high=odd) for odd in ODD_RATIOS)])
def test_what_no_axis_bears_stands_in_the_table_alone(tmp_path, verdict):
    section = section_of(tmp_path, judgement(verdict))
    assert (section.figures, len(section.tables[0].rows)) == ([], 1)


def test_an_impossible_interval_is_drawn_as_far_as_is_sensible(tmp_path):
    verdicts = [timing(case="a=1", low=-1.0, high=1e300), timing(case="a=2", low=1.2, high=1.3)]
    (figure,) = section_of(tmp_path, judgement(*verdicts)).figures
    bars = traces_of(figure)["same"]["error_x"]
    assert min(bars["array"] + bars["arrayminus"]) == 0.0
    plotly.graph_objects.Figure(figure.views[0].figure)


def test_a_folder_of_judgements_alone_is_no_results_folder(tmp_path):
    store(tmp_path / "runs", record_of())
    write_judgement(mixed(), tmp_path / "gate" / "one", {})
    results = read_results([tmp_path / "runs", tmp_path / "gate"])
    assert results.labels == ["runs"]
    assert [one.label for one in results.judgements] == ["gate"]
    assert (results.damaged, results.unfinished) == ([], [])


def test_a_damaged_judgement_is_named_and_the_others_are_shown(tmp_path):
    write_judgement(mixed(), tmp_path / "results" / "whole", {})
    (tmp_path / "results" / "cut").mkdir()
    (tmp_path / "results" / "cut" / JUDGEMENT).write_text("{")
    path, code = report([tmp_path / "results"], [], out=tmp_path / "page.html")
    assert code == 4
    assert "gate" in sections_of(path.read_text())
    (damage,) = read_results([tmp_path / "results"]).damaged
    assert damage.name == "cut"
    assert damage.reason.startswith("not a judgement of the gate")


def test_a_hostile_judgement_makes_no_element_and_no_link(tmp_path):
    write_judgement(hostile(), tmp_path / "results" / "gate", {})
    path, code = report([tmp_path / "results"], [EVIL], out=tmp_path / "page.html")
    assert code == 0
    check_harmless(path.read_text(encoding="utf-8"))


def test_a_path_and_a_secret_in_a_judgement_stay_off_the_page(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2-hunter2")
    write_judgement(mixed(), tmp_path / "results" / "gate", {})
    file = tmp_path / "results" / "gate" / JUDGEMENT
    planted = "/srv/private/x hunter2-hunter2"
    content = json.loads(file.read_text())
    for verdict in content["verdicts"]:
        verdict |= {
            "case": f"attention={planted} geometry={planted}",
            "reason": planted,
            "span": planted,
            "notes": [planted],
        }
    content |= {"warnings": [planted]}
    content["before"]["label"] = content["after"]["commit"] = planted
    content["facts"] = dict.fromkeys(content["facts"], planted)
    file.write_text(json.dumps(content))
    path, _ = report([tmp_path / "results"], [], out=tmp_path / "page.html")
    page = path.read_text(encoding="utf-8")
    assert "gate" in sections_of(page)
    assert "/srv/private" not in whole_text(page)
    assert "hunter2" not in whole_text(page)
