"""Tab completion of the shell, as bash asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suite.commands.application import application
from suite.commands.completion import script

ROOT = Path(__file__).parents[2]
ASKED = """
compopt() { :; }
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; read -ra COMP_WORDS <<<"$COMP_LINE"; COMP_CWORD=$((${#COMP_WORDS[@]}-1))
_suite; echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_commands_and_options_of_runs(tmp_path):
    program = tmp_path / "suite-run"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "import sys; sys.argv[0] = \'suite-run\'; '
                       'from suite.__main__ import run_alone; sys.exit(run_alone())" "$@"\n')  # fmt: skip
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    def completed(line):
        command = ["bash", "-c", script("bash", application()) + ASKED, "bash", line]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()

    assert completed("suite res") == ["results"]
    assert completed("suite results l") == ["list"]
    assert completed("suite results list --st") == ["--status"]
    assert completed("suite gate acc") == ["accept"]
    assert completed("suite report resu") == []  # the shell's own: files
    assert completed("suite run geometry=deepseek-v3") == [f"geometry=deepseek-{v}" for v in ("v3", "v3.2")]
