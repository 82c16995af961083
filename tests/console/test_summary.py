"""A workload's YAML names what tells its records and how they are judged; neither is a setting of a case."""

from pathlib import Path

import pytest

from suite.commands.run import main
from suite.configuration.files import LOOK, OF_ITS_RECORDS, choices, locate, workload_definition
from suite.console.record import answer
from suite.console.summary import summarise_record, summary_by
from suite.records.case import comparable, without
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.run.compose.composer import compose
from tests.records.factory import build, committed

FOREIGN = Path(__file__).parents[1] / "foreign"
NEEDED = {"projection": ["hardware=h100-sxm5-80gb"]}


def record_of(workload, **axes):
    record = build(**axes)
    object.__setattr__(record.case, "workload", workload)
    return record


def searched(folder):
    return f"hydra.searchpath=[file://{folder}]"


@pytest.mark.parametrize("workload", choices("workload"))
def test_what_a_workload_names_can_be_loaded(workload):
    definition = workload_definition(workload)
    assert summary_by(definition.get("summary"))(build()).brief is None
    assert callable(locate(definition["plan"]))


def test_a_record_of_an_unknown_workload_has_plain_timings():
    record = record_of("weather")
    found = summarise_record(record)
    assert (found.lines, found.brief) == ((), None)
    assert [value.labelled for value in found.values] == ["layer 1.49 ms (1.40–1.60 ms)", "kernel 596 µs (560–640 µs)"]
    assert any("median of" in line for line in answer(record, "ok", summarise_record(record)))


@pytest.mark.parametrize("arguments", [["-m", "seq_len=64,65"], ["seq_len=64"]], ids=["sweep", "alone"])
def test_a_foreign_workloads_records_are_told_as_its_yaml_says(arguments, tmp_path, capsys):
    folders = [f"hydra.run.dir={tmp_path}", f"hydra.sweep.dir={tmp_path}", "measure=smoke"]
    assert main([*arguments, searched(FOREIGN / "conf"), "workload=summed", *folders]) == 0
    told = capsys.readouterr().out
    assert ("summed up" if "-m" in arguments else "sum        of 64") in told
    records = [stored.record for stored in read_contents([tmp_path]).stored]
    assert {record.status for record in records} == {Status.OK}
    assert not {*OF_ITS_RECORDS} & records[0].settings["workload"].keys()


def test_a_summary_that_cannot_load_is_refused_before_any_run(tmp_path, capsys):
    text = (FOREIGN / "conf/workload/summed.yaml").read_text(encoding="utf-8")
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload/summed.yaml").write_text(text.replace("plan.summary", "plan.nothing"), encoding="utf-8")
    assert main([searched(tmp_path), "workload=summed", f"hydra.run.dir={tmp_path}"]) == 2
    assert "cannot load 'misbehaving_plan.nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("workload", choices("workload"))
def test_what_is_said_of_records_and_options_is_no_setting(workload, tmp_path, capsys):
    arguments = [f"workload={workload}", *NEEDED.get(workload, []), f"hydra.run.dir={tmp_path}"]
    (point,) = compose(arguments)
    definition = workload_definition(workload)
    assert point.settings["workload"].keys() == definition.keys() - {*OF_ITS_RECORDS}
    assert point.summary == definition.get("summary")
    options = [point.settings, *(value for value in point.settings.values() if isinstance(value, dict))]
    assert not any(LOOK in option for option in options)
    for setting, words in (("workload.judged_by=os.system", "must not be set"), ("shown.label=X", "no setting 'shown")):
        assert main([*arguments, setting]) == 2
        assert words in capsys.readouterr().err


def test_committed_records_stay_comparable_with_those_of_today():
    seen = set()
    for _, content in committed():
        settings, definition = content["settings"], workload_definition(content["case"]["workload"])
        today = {**settings, "workload": without(definition, OF_ITS_RECORDS)}
        if definition:
            assert comparable(today) == comparable(settings), content["case"]["id"]
            seen |= {definition["name"]} if definition.keys() & {*OF_ITS_RECORDS} else set()
    assert seen == {"attention", "decode", "rl", "rl_memory", "quality", "compress"}
