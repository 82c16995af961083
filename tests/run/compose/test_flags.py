"""Hydra's flags: honoured, or refused in a sentence."""

import pytest

from suite.records.record import OVERRIDES
from suite.run.compose.arguments import checked_flags
from suite.run.compose.composer import compose
from suite.run.recorder import overrides_file


def test_config_dir_adds_options_wherever_groups_are_read(tmp_path):
    folder = tmp_path / "it's mine"
    (folder / "geometry").mkdir(parents=True)
    (folder / "geometry/own.yaml").write_text("name: own\nnum_heads: 6\n", encoding="utf-8")
    (point,) = compose(["--config-dir", str(folder), "geometry=own"])
    assert point.settings["geometry"]["num_heads"] == 6
    assert checked_flags([f"--config-dir={tmp_path}", "a=1"])[0] == "a=1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config-dir", "/nowhere"], "--config-dir must be a folder that exists; got '/nowhere'"),
        (["--config-dir", ".", "hydra.searchpath=[pkg://x]"], "two ways to add folders"),
        (["--config-name", "gate"], "cannot be replaced; add a folder of options by --config-dir"),
        (["--config-path", "."], "cannot be replaced; add a folder of options by --config-dir"),
        (["--package", "measure"], "--package names a part of what --cfg prints, and needs it"),
    ],
)
def test_a_flag_that_would_change_nothing_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        checked_flags(arguments)


def test_overrides_are_kept_as_hydra_keeps_them_without_paths(tmp_path):
    checkpoint = tmp_path / "models" / "mine"
    (point,) = compose(["workload=rl", "policy=checkpoint", f"policy.checkpoint={checkpoint}", "seed=3"])
    assert point.overrides == ["workload=rl", "policy=checkpoint", "policy.checkpoint=<path>/mine", "seed=3"]
    assert overrides_file(point.overrides).splitlines()[-1] == b'- "seed=3"'
    assert OVERRIDES == ".hydra/overrides.yaml"


@pytest.mark.parametrize("setting", ["output_subdir=.hydra", "job.chdir=true", "callbacks={seen: {_target_: print}}"])
@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_what_only_hydras_own_runs_would_do_is_refused(flags, setting):
    with pytest.raises(ValueError, match=rf"hydra\.{setting.partition('=')[0]} must not be set: the suite runs"):
        compose([*flags, f"++hydra.{setting}", "seq_len=64"])


def test_what_a_value_reads_of_hydra_is_of_its_own_point():
    points = compose(["-m", "batch=1,2", "attention=mha,mla", "match='${hydra:runtime.choices.attention}'"])
    assert [point.settings["match"] for point in points] == ["mha", "mla", "mha", "mla"]


def test_a_sweep_may_be_one_by_its_mode():
    assert [point.settings["seq_len"] for point in compose(["hydra.mode=MULTIRUN", "seq_len=64,128"])] == [64, 128]
    assert compose(["--cfg", "job", "seq_len=64"]) == []


def test_what_moves_is_for_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in notebooks and CI, whose output is kept
    compose(["-m", "attention=mha,gqa"])
    assert capsys.readouterr().err == ""
