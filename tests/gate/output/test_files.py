"""A judgement's folder: whole or not there, without secrets, and refused where it is damaged."""

import json

import pytest

from suite.gate.output import files
from suite.gate.output.files import JUDGEMENT, read_judgement, write_judgement
from suite.gate.verdict import CorruptJudgementError, Outcome, Side
from suite.records.stores.store import read_contents
from tests.gate.judgements import hostile, judgement, mixed, timing


def test_what_is_written_is_read_back(tmp_path):
    write_judgement(mixed(), tmp_path / "gate", {"pairs.csv": b"a,b\n"})
    assert read_judgement(tmp_path / "gate").as_json() == json.loads(json.dumps(mixed().as_json()))
    assert sorted(path.name for path in (tmp_path / "gate").iterdir()) == [
        *("judgement.json", "junit.xml", "pairs.csv", "summary.md")
    ]
    assert (tmp_path / "gate" / "pairs.csv").read_bytes() == b"a,b\n"
    assert (tmp_path / "gate" / "summary.md").read_text().startswith("## Performance gate")


def test_the_judgement_is_written_last_and_the_summary_first(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(files, "write_whole", lambda path, content: written.append(path.name))
    write_judgement(mixed(), tmp_path, {"pairs.csv": b""})
    assert written == ["summary.md", "junit.xml", "pairs.csv", "judgement.json"]


def test_an_older_judgement_does_not_vouch_for_cut_files(tmp_path, monkeypatch):
    write_judgement(mixed(), tmp_path, {})

    def full(path, content):
        raise OSError("no space left")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        write_judgement(mixed(), tmp_path, {})
    with pytest.raises(CorruptJudgementError, match="cannot be read"):
        read_judgement(tmp_path)


def test_paths_and_secrets_stay_out_of_every_file(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVICE_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("GITHUB_HEAD_REF", "a-long-branch")
    planted = "/srv/private/x hunter2-hunter2"
    verdict = timing(Outcome.SLOWER, case=f"a={planted}", span=planted, reason=planted, notes=[planted])
    said = {"warnings": [planted], "facts": {"machine": {"cpu": planted}}}
    sides = {"before": Side(label=planted), "after": Side(label="a-long-branch")}
    write_judgement(judgement(verdict, **said, **sides), tmp_path, {})
    for path in tmp_path.iterdir():
        assert "/srv/private" not in path.read_text()
        assert "hunter2" not in path.read_text()
    assert read_judgement(tmp_path).after.label == "a-long-branch"
    assert read_judgement(tmp_path).verdicts[0].outcome is Outcome.SLOWER


def test_numbers_that_json_cannot_write_are_null(tmp_path):
    write_judgement(judgement(timing(ratio=1.0, high=float("inf")), facts={"a": [float("nan")]}), tmp_path, {})
    assert read_judgement(tmp_path).verdicts[0].high is None
    assert json.loads((tmp_path / JUDGEMENT).read_text())["facts"] == {"a": [None]}


def test_hostile_text_is_written_and_read_back(tmp_path):
    write_judgement(hostile(), tmp_path, {})
    assert read_judgement(tmp_path).counts == hostile().counts


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"schema": 2}', '{"schema": 1}', "[" * 100_000, '{"a": NaN}'],
    ids=["empty", "cut", "list", "number", "null", "newer", "nothing", "deep", "foreign"],
)
def test_what_is_no_judgement_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / JUDGEMENT).write_text(text)
    with pytest.raises(CorruptJudgementError, match=r"not a judgement of the gate|schema must be 1"):
        read_judgement(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"), [("rounds", 1e999), ("ratio", 10**400), ("outcome", "fine"), ("notes", None), ("case", ...)]
)
def test_a_verdict_of_wrong_types_is_refused(tmp_path, field, value):
    content = judgement(timing()).as_json()
    content["verdicts"][0] |= {field: value}
    if value is ...:
        del content["verdicts"][0][field]
    (tmp_path / JUDGEMENT).write_text(json.dumps(content))
    with pytest.raises(CorruptJudgementError, match="not a judgement of the gate"):
        read_judgement(tmp_path)


@pytest.mark.parametrize("name", ["judgement.json.part", "summary.md.part"])
def test_a_gate_that_was_cut_short_is_no_unfinished_run(tmp_path, name):
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / name).write_text("")
    (tmp_path / "gate" / "pairs.parquet.part").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "telemetry.parquet.part").write_text("")
    assert [folder.name for folder in read_contents([tmp_path]).unfinished] == ["run"]
