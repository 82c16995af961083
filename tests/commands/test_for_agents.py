"""The page for scripts and coding agents: each of its lines does what it says."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from suite.records.record import Status

PAGE = Path(__file__).resolve().parents[2] / "suite" / "commands" / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINES = [line.removeprefix("$ ") for line in re.search(r"```console\n(.*?)```", TEXT, re.DOTALL)[1].splitlines()]


def called(line, folder):
    command = [sys.executable, "-m", *shlex.split(line, comments=True)]
    settings = {"cwd": folder, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each line printed, one after another in one folder."""
    folder = tmp_path_factory.mktemp("agent")
    ended = {line: called(line, folder) for line in LINES}
    assert {line: run.stderr for line, run in ended.items() if run.returncode} == {}
    assert (folder / "page.md").is_file()
    return {line: run.stdout for line, run in ended.items()}


def output_of(outputs, start):
    return json.loads(next(text for line, text in outputs.items() if line.startswith(start)))


def test_each_line_succeeds_and_json_is_one_value(outputs):
    assert len(outputs) > 8
    for line, text in outputs.items():
        if "--json" in line:
            json.loads(text)


def test_fields_are_those_that_the_page_names(outputs):
    for start in ("suite run", "suite results list"):
        for run in output_of(outputs, start):
            assert {"folder", "run_key", "case_id", "status", "reason", "machine_id", "commit"} <= run.keys()
    for value in output_of(outputs, "suite run")[0]["values"].values():
        assert value.keys() >= ({"value", "low", "high"} if "low" in value else {"value"})
    (comparison,) = output_of(outputs, "suite compare")["comparisons"]
    assert {"arm", "other", "estimate", "low", "high", "outcome", "sentence"} <= comparison.keys()
    assert {"runs", "why_not"} <= output_of(outputs, "suite doctor")["backends"]["cpp"].keys()
    assert all(f"`{status}`" in TEXT for status in Status)


def test_a_wrong_call_is_one_sentence(tmp_path):
    ended = called("suite choose --model nothing --gpus 4xh100 --context 32k --json", tmp_path)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
