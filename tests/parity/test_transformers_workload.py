"""transformers' layer as a workload: it runs under our clock, and only what is right is timed."""

from pathlib import Path

import pytest

from suite.commands.run import main
from suite.configuration.files import read_choice, read_yaml
from suite.measure.workload import IncorrectError
from suite.records.record import Status
from suite.records.stores.store import read_contents
from tests.parity.transformers_workload import TransformersWorkload

CONF = Path(__file__).parent / "conf"


def prepared(**changes):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    groups = {"attention": "mla_latent", "geometry": "tiny", "backend": "eager"}
    chosen = {group: read_choice(group, changes.pop(group, name)) for group, name in groups.items()}
    workload = TransformersWorkload({**run, **chosen, "dtype": "float32", "seq_len": 40, **changes})
    workload.prepare()
    return workload


@pytest.mark.parametrize("attention", ["mla_latent", "mha", "gqa", "mqa"])
@pytest.mark.parametrize("geometry", ["tiny", "deepseek-v2-lite"])
@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_their_layer_gives_what_ours_gives_and_keeps_as_much(attention, geometry, backend):
    workload = prepared(attention=attention, geometry=geometry, backend=backend, batch=2)
    error, allowed = (reading.value for reading in workload.check())
    assert 0 < error <= allowed
    values = {reading.metric: reading.value for reading in workload.constants() if reading.span == "case"}
    assert values["cache_bytes_counted"] == values["cache_bytes"]


def test_another_layers_output_is_incorrect():
    workload = prepared(geometry="deepseek-v2-lite")
    workload._theirs.attention.scaling /= 1.26080**2  # as without YaRN's factor
    with pytest.raises(IncorrectError, match="against our layer"):
        workload.check()


def test_a_case_of_theirs_runs_from_the_command_line(tmp_path):
    conf = [f"hydra.searchpath=[file://{CONF}]", "workload=transformers", f"hydra.run.dir={tmp_path}"]
    case = ["attention=mla_latent", "geometry=tiny", "seq_len=64", "backend=sdpa", "measure=smoke"]
    assert main([*conf, *case]) == 0
    (stored,) = read_contents([tmp_path]).stored
    assert stored.record.status is Status.OK
    assert stored.record.provenance["backend"].startswith("transformers 5.")
    assert {reading.span for reading in stored.record.readings if reading.metric == "latency_s"} == {"layer"}
