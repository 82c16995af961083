"""What one record says of where it ran."""

from suite.report.model.run import machine_name
from tests.records.factory import build

GPUS = {"gpus": ["NVIDIA A100", "NVIDIA H100"]}


def test_a_machine_is_named_by_what_the_case_ran_on():
    assert machine_name(build(environment=GPUS)) == "A processor"
    used = {"device": {"name": "NVIDIA H100"}}
    assert machine_name(build(device="cuda", environment=GPUS, provenance=used)) == "NVIDIA H100"
    assert machine_name(build(device="cuda", environment=GPUS)) == "NVIDIA A100"
