"""The script that asks what a case costs on Ray, in its short form."""

from tests.benchmarks.scripts import RAY, run


def test_a_script_on_two_nodes_of_ray_runs(tmp_path):
    assert "no Ray" in run("ray_engine", RAY["ray_engine"], tmp_path)
