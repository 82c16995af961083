"""The script that sets our RL and sampling beside transformers and TRL, in its short form."""

import pytest

from tests.benchmarks.scripts import PARITY, run


@pytest.mark.parametrize("name", PARITY)
def test_a_script_beside_another_package_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("RIVALS_COMPLETIONS", "64")
    assert "theirs / ours" in run(name, PARITY[name], tmp_path)
