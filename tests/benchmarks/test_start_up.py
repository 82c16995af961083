"""How long the commands take that load neither torch nor Hydra: a whole process each, by the clock on the wall."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"suite": (), "suite explain mla": ("explain", "mla")}


@pytest.mark.benchmark(group="start-up")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_from_its_start_to_its_end(benchmark, command):
    def run():
        return subprocess.run(
            [sys.executable, "-m", "suite", *COMMANDS[command]], cwd=ROOT, capture_output=True, text=True
        )

    ended = benchmark(run)
    assert ended.returncode == 0, ended.stderr
    assert "mla" in ended.stdout.lower()
