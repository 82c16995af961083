"""Every committed record means what it meant when it was written, by the names of today."""

import json
from collections import Counter
from functools import cache

import pyarrow.parquet as pq
import pytest

from suite.commands.run import main
from suite.configuration.files import in_phase, locate, read_choice
from suite.machine.code import code_named_in
from suite.records import aliases
from suite.records.aliases import SETTINGS, settings_today
from suite.records.case import comparable
from suite.records.metrics import METRICS
from suite.records.record import record_from_json
from suite.records.stores.store import read_record
from tests.records.factory import REFERENCE, committed

TIERS = ["workload=quality", "task=tiers"]
PHASES = ("decode", "prefill", "train")
MODES = {
    ("mla", "decode"): "absorbed",
    ("mla", None): None,  # a language model: expanded in training, absorbed in decoding
    **{(f"mla_{mode}", phase): mode for mode in ("absorbed", "latent", "expanded") for phase in PHASES},
}


@cache
def every_record():
    """Content and record of every committed run."""
    return [(content, record_from_json(content)) for _, content in committed()]


def of_mla():
    """Those of MLA's modes that say none."""
    runs = [(content, record) for content, record in every_record() if " attention=mla" in content["case"]["id"]]
    runs = [(content, record) for content, record in runs if " attention=mla_dsa" not in content["case"]["id"]]
    return [(content, record) for content, record in runs if "mode" not in content["settings"]["attention"]]


def test_old_mla_is_absorbed_where_todays_is_not():
    found = {}
    for content, record in of_mla():
        axes = content["case"]["axes"]
        assert {**record.case.axes, "attention": None} == {**axes, "attention": None}
        found.setdefault((axes["attention"], axes.get("phase")), set()).add(record.case.axes["attention"])
    absorbed = {("mla", "prefill"): {"mla_absorbed"}, ("mla", "train"): {"mla_absorbed"}}
    assert len(found) == 9
    assert found == {(name, phase): absorbed.get((name, phase), {name}) for name, phase in found}


def test_an_old_record_compares_with_a_new_one_of_its_name():
    for content, record in of_mla():
        axes, settings = record.case.axes, record.settings
        sizes = {key: value for key, value in settings["attention"].items() if f"attention.{key}" in record.case.extras}
        today = in_phase(read_choice("attention", axes["attention"]), settings.get("phase")) | sizes
        assert comparable({**settings, "attention": today}) == comparable(settings), content["case"]["id"]
        assert settings_today(settings)["attention"].get("mode") == MODES[axes["attention"], axes.get("phase")]


@pytest.mark.parametrize("phase", ["prefill", "train"])
def test_todays_mla_is_no_old_one(phase):
    content, record = next(pair for pair in of_mla() if pair[0]["case"]["axes"].get("phase") == phase)
    today = in_phase(read_choice("attention", "mla"), phase)
    new = record_from_json(
        {**content, "case": as_mla(content), "settings": {**content["settings"], "attention": today}}
    )
    assert new.case.axes["attention"] == "mla"
    assert new.case.id != record.case.id
    assert comparable(new.settings) != comparable(record.settings)


def one_of_each_case():
    """Those that differ in more than their seed."""
    cases = {}
    for content, record in every_record():
        named = {**record.case.axes, **record.case.extras, "seed": None}
        cases.setdefault((record.case.workload, *map(str, named.items())), (content, record))
    return cases.values()


def test_moved_code_leaves_a_record_comparable():
    assert len(one_of_each_case()) > 500
    for content, record in one_of_each_case():
        moved = json.loads(json.dumps(record.settings).replace('"suite.', '"suite.elsewhere.'))
        moved["attention"] = dict(settings_today(record.settings).get("attention") or {}) or None
        assert comparable(moved) == comparable(record.settings), content["case"]["id"]


def computing_code(settings):
    """Return the suite's code that a case names, without what watches it, and without names of settings."""
    named = (name for name in code_named_in(settings) if name.startswith("suite."))
    return [name for name in named if not name.startswith("suite.measure.telemetry.")]


def test_no_two_records_are_told_apart_by_code_alone():
    by_code = {
        (record.case.id, as_text(comparable(record.settings)), *sorted(computing_code(record.settings)))
        for _, record in every_record()
    }
    assert len({found[:2] for found in by_code}) == len(by_code)


def test_the_code_of_another_package_is_compared():
    assert comparable({"task": {"_target_": "mine.Task"}}) != comparable({"task": {"_target_": "yours.Task"}})


def test_old_settings_are_read_under_todays_names():
    told = Counter()
    for content, record in every_record():
        case = content["case"]
        before = {**case["axes"], **case["extras"], **flat(content["settings"])}
        after = {**record.case.axes, **record.case.extras, **flat(record.settings)}
        for old, (today, values) in SETTINGS.items():
            assert old not in after
            if old in before:
                assert after[today] == values.get(before[old], before[old])
                told[today, before[old]] += 1
    assert {name for name, _ in told} == {"reward_source", "task.query_frequency"}
    assert len(told) == 5


def test_every_record_names_code_that_the_suite_has():
    settings = [record.settings for _, record in every_record()]
    named = {(one.get(group) or {}).get(name) for one in settings for group, name in aliases.NAMES_CODE.items()}
    theory = [code for code in named if code and code.startswith("suite.theory.")]
    assert len(theory) > 5
    assert all(map(locate, theory))


def test_old_metrics_and_spans_are_read_under_todays_names():
    folder, _ = committed(REFERENCE / "cpu" / "quality")[0]
    before = pq.read_table(folder.parent / "readings.parquet", filters=[("run", "=", folder.name)]).to_pylist()
    after = read_record(folder).readings
    assert {row["metric"] for row in before} >= {"answered", "recoverable"}
    assert [reading.value for reading in after] == [row["value"] for row in before]
    pairs = {(row["metric"], reading.metric) for row, reading in zip(before, after, strict=True)}
    assert {old: new for old, new in pairs if old != new} == {
        "answered": "answer_accuracy",
        "recoverable": "linear_probe_accuracy",
    }
    assert {reading.metric for reading in after} <= METRICS.keys()
    spans = {(row["span"], reading.span) for row, reading in zip(before, after, strict=True)}
    changed = {(old.partition("/")[0], new.partition("/")[0]) for old, new in spans if old != new}
    assert changed == {("knocked_out", "head_ablation")}


def test_todays_names_are_those_of_the_suite():
    assert set(aliases.METRICS.values()) <= METRICS.keys()
    assert not aliases.METRICS.keys() & METRICS.keys()
    for name, (today, values) in SETTINGS.items():
        assert today not in SETTINGS, name
        assert not set(values) & set(values.values())


@pytest.mark.parametrize(
    ("typed", "today"),
    [(["workload=rl", "reward_from=key"], "reward_source"), ([*TIERS, "task.asked=evenly"], "task.query_frequency")],
)
def test_an_old_name_is_refused_on_the_command_line(typed, today, capsys):
    assert main(typed) == 2
    old = typed[-1].partition("=")[0]
    assert f"there is no setting {old!r}; did you mean {today}?" in capsys.readouterr().err


def flat(settings):
    inner = {
        f"{key}.{name}": of for key, value in settings.items() if isinstance(value, dict) for name, of in value.items()
    }
    return {**settings, **inner}


def as_text(settings):
    return json.dumps(settings, sort_keys=True)


def as_mla(content):
    before = content["case"]["axes"]["attention"]
    renamed = content["case"]["id"].replace(f" attention={before} ", " attention=mla ")
    return {**content["case"], "id": renamed, "axes": {**content["case"]["axes"], "attention": "mla"}}
