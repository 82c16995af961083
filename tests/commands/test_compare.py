"""`suite compare` takes runs or folders, and refuses the rest in one sentence."""

import json
import re

import pytest

from suite.commands.compare import compare
from tests.records.factory import build, in_launches, store

ASKED = {"by": None, "against": None, "results": [], "as_json": False}


@pytest.fixture
def folders(tmp_path):
    """Two folders of the same two cases in three launches, the second half as fast."""
    for name, scale in (("a", 1.0), ("b", 2.0)):
        launches_s = [scale * value * 1e-3 for value in (0.99, 1.00, 1.01)]
        store(tmp_path / name, *(in_launches(build(attention=variant), *launches_s) for variant in ("mha", "mla")))
    return [str(tmp_path / name) for name in "ab"]


def test_two_folders_are_compared_case_by_case(folders, capsys):
    assert compare(folders, **ASKED) == 0
    said = capsys.readouterr().out
    assert "2 comparisons (2 faster)" in said
    assert "2.00× (1.93–2.07)" in said


def test_with_by_the_arms_within_a_folder_are_compared(folders, capsys):
    assert compare(folders[:1], **ASKED | {"by": "attention", "as_json": True}) == 0
    said = json.loads(capsys.readouterr().out)
    (found,) = said["comparisons"]
    assert (found["arm"], found["other"], found["outcome"]) == ("mla", "mha", "open")
    assert said["sentence"] == found["sentence"]
    assert said["by"] == "attention"


def test_two_runs_stand_side_by_side(folders, capsys, tmp_path):
    runs = [str(next((tmp_path / name).iterdir())) for name in "ab"]
    assert compare(runs, **ASKED) == 0
    said = capsys.readouterr().out
    assert ["layer", "1.00", "ms", "(0.975–1.03", "ms)", "2.00", "ms", "(1.95–2.05", "ms)", "0.500×"] in [
        line.split() for line in said.splitlines()
    ]
    assert compare(runs, **ASKED | {"as_json": True}) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["values"]["layer_latency_s"]["value"] for run in found["runs"]] == [1e-3, 2e-3]
    assert len(found["comparisons"]) == 1


@pytest.mark.parametrize(
    ("names", "asked", "words"),
    [
        ([], {}, "got 0 names"),
        (["a"], {}, "needs a second run or folder"),
        (["a", "a"], {}, "two different runs or folders"),
        (["a", "0123"], {}, "'0123' is no folder"),
        (["0123"], {"by": "attention"}, "one or two folders of results with --by; '0123' is no folder"),
        (["a", "b"], {"against": "mha"}, "--against names a value of the setting in --by"),
        (["a"], {"by": "seq_len"}, "differ (attention); got 'seq_len'"),
        (["a"], {"by": "attention", "against": "gqa"}, "against must be one of mha, mla; got 'gqa'"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(names, asked, words, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        compare(names, **ASKED | asked)
    assert "\n" not in str(refused.value)


def test_a_damaged_run_is_named_and_ends_with_4(folders, capsys, tmp_path):
    (tmp_path / "a" / "0123456789abcdef" / "record.json").write_text("{")
    assert compare(folders, **ASKED) == 4
    assert "faster" in capsys.readouterr().out
    assert compare([str(tmp_path / "a" / "0123456789abcdef"), str(tmp_path / "b" / "0123456789abcdef")], **ASKED) == 4
    assert "a run is damaged" in capsys.readouterr().err
