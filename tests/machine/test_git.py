"""git is asked about the folder that it is given, whatever its caller has set."""

import subprocess
import sys
from pathlib import Path

import pytest

from suite.machine import environment
from suite.machine.git import LOCAL_VARIABLES, git
from tests.gate.repositories import repository

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repo(tmp_path):
    made = repository(tmp_path / "repo")
    made.commit({"kept": "old"})
    return made


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another repository, to which the variables of a hook lead."""
    made = repository(tmp_path / "other")
    made.commit({"other": "new"})
    places = {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": ".git/index", "GIT_COMMON_DIR": ".git"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(made.folder / place))
    return made


def test_the_variables_of_a_hook_lead_nowhere(repo, elsewhere):
    head = repo.git("rev-parse", "HEAD")
    assert git(repo.folder, "rev-parse", "HEAD") == head != elsewhere.git("rev-parse", "HEAD")
    assert git(repo.folder, "status", "--porcelain") == ""
    assert git(repo.folder, "ls-files") == "kept"


def test_the_commit_of_this_code_is_not_another_repositorys(elsewhere):
    environment.commit.cache_clear()
    try:
        found = environment.commit().get("commit")
        assert found != elsewhere.git("rev-parse", "HEAD")
        assert found == (git(ROOT, "rev-parse", "HEAD") if (ROOT / ".git").exists() else None)
    finally:
        environment.commit.cache_clear()


def test_all_that_git_calls_local_is_taken_away(repo):
    assert set(repo.git("rev-parse", "--local-env-vars").splitlines()) <= set(LOCAL_VARIABLES)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_no_program_of_a_configuration_runs(repo, tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    program.chmod(0o755)
    repo.git("config", "core.fsmonitor", str(program))
    (tmp_path / "config").write_text(f'[core]\nfsmonitor = "{program}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    git(repo.folder, "status", "--porcelain")
    assert not (tmp_path / "ran").exists()


def test_git_speaks_one_language(repo, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        git(repo.folder, "rev-parse", "--verify", "nope")
    assert b"fatal: Needed a single revision" in failed.value.stderr
