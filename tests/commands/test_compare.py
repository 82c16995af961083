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


def test_fail_on_slower_ends_with_1_where_the_first_is_slower(folders, capsys, tmp_path):
    assert compare(folders, **ASKED | {"fail_on": "slower", "as_json": True}) == 0
    heard = capsys.readouterr()
    assert heard.err.startswith("suite compare: none of 2 compared cases is clearly slower")
    assert json.loads(heard.out).keys() == {"by", "comparisons", "sentence"}
    slow_first = folders[::-1]
    assert compare(slow_first, **ASKED) == 0
    without = capsys.readouterr().out
    assert compare(slow_first, **ASKED | {"fail_on": "slower"}) == 1
    heard = capsys.readouterr()
    assert heard.out == without
    assert "2 of 2 compared cases are clearly slower" in heard.err
    assert heard.err.count("\n") == 1
    (tmp_path / "a" / "0123456789abcdef" / "record.json").write_text("{")
    assert compare(slow_first, **ASKED | {"fail_on": "slower"}) == 4
    assert "not compared: 1 damaged, 1 without a counterpart" in capsys.readouterr().err


def test_fail_on_judges_the_arms_of_a_setting_alike(tmp_path):
    for variant, scale in (("mha", 1.0), ("mla", 2.0)):
        store(tmp_path, in_launches(build(attention=variant), *(scale * ms * 1e-3 for ms in (0.99, 1.00, 1.01))))
    asked = ASKED | {"by": "attention", "fail_on": "slower"}
    assert compare([str(tmp_path)], **asked) == 1
    assert compare([str(tmp_path)], **asked | {"against": "mla"}) == 0


def test_fail_on_refuses_where_nothing_can_be_compared(folders, tmp_path, capsys):
    for name in ("once", "again"):
        store(tmp_path / name, build())
    alone = [str(tmp_path / name) for name in ("once", "again")]
    with pytest.raises(ValueError, match=r"^--fail-on slower needs a case that .* got 1 with one launch$"):
        compare(alone, **ASKED | {"fail_on": "slower"})
    runs = [str(next((tmp_path / name).iterdir())) for name in "ab"]
    with pytest.raises(ValueError, match="--fail-on judges folders of results"):
        compare(runs, **ASKED | {"fail_on": "slower"})
    assert capsys.readouterr().out == ""


def test_a_damaged_run_is_named_and_ends_with_4(folders, capsys, tmp_path):
    (tmp_path / "a" / "0123456789abcdef" / "record.json").write_text("{")
    assert compare(folders, **ASKED) == 4
    assert "faster" in capsys.readouterr().out
    assert compare([str(tmp_path / "a" / "0123456789abcdef"), str(tmp_path / "b" / "0123456789abcdef")], **ASKED) == 4
    assert "a run is damaged" in capsys.readouterr().err
