"""What can be chosen and set, as `suite ls` and `suite run --help` show it."""

import pytest

from suite.commands.ls import GROUPS, list_options, run_help
from suite.configuration.files import choices, described, file_settings, groups, read_settings, read_yaml

DATA = {"calibration", "published", "published_quality", "published_training", "settings"}
"""Groups of conf/ that no run chooses from."""


@pytest.mark.parametrize("columns", [80, 120])
def test_help_shows_every_group_and_setting_whole(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    run_help([])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert all(f"… suite ls {line.split()[0]}" in line for line in lines if "…" in line)
    assert all(
        setting.comment.split()[-1] in " ".join(lines).split()
        for setting in file_settings("run.yaml")
        if setting.comment
    )
    begun = {line.split("=")[0].split()[0] for line in lines if line.startswith("  ") and line.split()}
    assert begun >= {*GROUPS, *(set(read_yaml("run.yaml")) - {"defaults", "hydra"})}
    assert set(GROUPS) == groups() - DATA


@pytest.mark.parametrize("workload", sorted({*choices("settings")} & {*choices("workload")}))
def test_help_of_a_workload_shows_its_own_settings(workload, capsys):
    run_help([f"workload={workload}"])
    said = capsys.readouterr().out
    assert all(f"  {name}=" in said for name, value in read_settings(workload).items() if not isinstance(value, dict))


def test_every_option_has_a_sentence_that_fits(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for group in GROUPS:
        list_options(group)
        assert all(len(sentence.split()) > 1 for sentence in described(group).values()), group
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_group_that_is_none_is_refused_with_the_choices():
    with pytest.raises(
        ValueError, match=r"group must be one of algorithm, attention, .*; got 'geometri'; did you mean geometry"
    ):
        list_options("geometri")
