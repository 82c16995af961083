"""What can be chosen and set, as `suite ls` and `suite run --help` show it."""

import pytest

from suite.commands.ls import GROUPS, list_options, run_help
from suite.configuration.comments import described, settings_of
from suite.configuration.files import choices, groups, read_settings, read_yaml

DATA = {"calibration", "published", "published_quality", "published_training", "settings"}
"""Groups of conf/ that no run chooses from."""


def test_help_shows_every_group_and_setting_on_one_screen(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "120")
    run_help([])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120
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
        assert all(described(group).values()), group
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_group_that_is_none_is_refused_with_the_choices():
    with pytest.raises(ValueError, match=r"group must be one of algorithm, attention, .*; got 'geometri'"):
        list_options("geometri")


def test_a_comment_with_its_default_is_read_from_the_file():
    seed, batch = (next(one for one in settings_of("run.yaml") if one.key == key) for key in ("query_len", "batch"))
    assert (seed.value, seed.comment) == ("1", "new tokens of a decode step")
    assert (batch.value, batch.comment) == ("1", "")
