"""A case of several launches: what the first one hands to the others."""

from types import SimpleNamespace

import pytest

from suite.records.record import Reading, Status
from suite.run.compose.composer import compose
from suite.run.job import job_of
from suite.run.recorder import MachineState, WorkerSlot, measure
from suite.theory.layers.roofline import MeasuredCeilings

CEILINGS = MeasuredCeilings(flops_per_s=1e12, bytes_per_s_by_size={1 << 20: 1e10})


@pytest.mark.parametrize(("asked", "of_the_others"), [("auto", "Eager"), ("sdpa_folded", "SdpaFolded")])
def test_what_auto_chose_in_the_first_launch_is_timed_in_all(tmp_path, asked, of_the_others):
    (point,) = compose(["geometry=tiny", "attention=gqa", f"backend={asked}", "seq_len=64", "telemetry=off"])
    targets = []

    def run(task, arguments, **_):
        if task == "ceilings":
            yield {"result": CEILINGS}
            return
        targets.append(arguments["settings"]["backend"]["_target_"].rpartition(".")[2])
        yield {"facts": {"backend": "eager"}} if task == "case" else {}
        reading = Reading(step=0, span="layer", metric="latency_s", value=1.0, launch=arguments.get("launch", 0))
        yield {"readings": [reading]}
        yield {"outcome": (Status.OK, None)}

    slot = WorkerSlot(state=MachineState(workers=1, resume=False), worker=SimpleNamespace(run=run))
    measured = measure(slot, job_of(point), complaints=tmp_path / "log", shared=tmp_path)
    assert measured.record.status is Status.OK
    assert targets == ["choose" if asked == "auto" else of_the_others, of_the_others, of_the_others]


@pytest.mark.parametrize(("workers", "expected"), [(1, 4), (2, 0)])
def test_processes_load_ahead_only_where_nothing_runs_beside(tmp_path, workers, expected):
    (point,) = compose(["geometry=tiny", "attention=gqa", "seq_len=64", "telemetry=off", "measure.launches=3"])
    worker = SimpleNamespace(run=lambda *_, **__: [{"outcome": (Status.FAILED, "no ceilings")}])
    slot = WorkerSlot(state=MachineState(workers=workers, resume=False), worker=worker)
    measure(slot, job_of(point), complaints=tmp_path / "log", shared=tmp_path)
    assert worker.expected == expected
