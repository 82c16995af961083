"""One sweep on several machines: each measures all of it for itself, or machines alike share its cases."""

import pytest

from suite.commands.run import main
from suite.machine import environment
from suite.records.stores.store import read_contents
from tests.commands.test_run import PROJECTED

SWEEP = ("-m", *PROJECTED, "attention=gqa,mla", "seq_len=64,128")
CACHED = (environment.environment, environment.machine_id, environment.machine_kind)


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Run the sweep on a machine of this name into the folder that all machines have; return all its records."""

    def run_on(host, *arguments):
        with monkeypatch.context() as patched:
            patched.setattr("suite.machine.environment._installation", lambda: host)
            _forget()
            assert main([*SWEEP, *arguments, f"hydra.sweep.dir={tmp_path}"]) == 0
        contents = read_contents([tmp_path])
        assert (contents.damaged, contents.unfinished) == ([], [])
        return [stored.record for stored in contents.stored]

    yield run_on
    _forget()


def _forget():
    for cached in CACHED:
        cached.cache_clear()


def test_each_machine_measures_the_whole_sweep_for_itself(on):
    on("node1")
    records = on("node2")
    assert len(records) == 8
    assert len({(record.case.id, record.environment["machine_id"]) for record in records}) == 8


def test_machines_alike_share_a_sweep_that_is_spread(on, capsys):
    first = on("node1", "spread=true", "attention=gqa")
    assert len(first) == 2
    records = on("node2", "spread=true")
    assert len({record.case.id for record in records}) == len(records) == 4
    assert len({record.environment["machine_id"] for record in records}) == 2
    assert {record.provenance["spread"] for record in records} == {True}
    assert not any("spread" in record.case.id or "spread" in record.settings for record in records)
    assert "2 of 4 cases were recorded before" in capsys.readouterr().out


def test_spread_is_true_or_false(capsys, tmp_path):
    assert main([*SWEEP, "spread=nodes", f"hydra.sweep.dir={tmp_path}"]) == 2
    assert "spread must be true or false; got 'nodes'" in capsys.readouterr().err
