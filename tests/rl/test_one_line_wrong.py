"""The checks of a scratch copy with one wrong line must fail, whichever line it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("one_line_wrong.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_wrong_line_is_caught_and_the_right_ones_pass():
    ended = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    lines = ended.stdout.splitlines()
    right = [line for line in lines if line.startswith("nothing")]
    wrong = [line for line in lines if line not in right]
    assert right == ["nothing: ok: None", "nothing, in training: ok: None"]
    assert len(wrong) >= 20
    assert [line for line in wrong if ": incorrect: " not in line] == []
