"""`suite run` from the command line to the record on disk, with workers that behave and workers that do not."""

import contextlib
import gzip
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from suite.commands.run import main
from suite.machine.temporary import remove_abandoned
from suite.records.case import comparable
from suite.records.record import Evidence, Status
from suite.records.stores.store import read_contents, read_record
from suite.run.compose.composer import compose
from suite.run.compose.point import is_left_out
from suite.run.job import job_of
from tests.conftest import heard
from tests.records.factory import committed
from tests.report.reading import whole_text

ROOT = Path(__file__).parents[2]
needs_process_groups = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to process groups")
FOREIGN = Path(__file__).parents[1] / "foreign"
COMMAND = (sys.executable, "-m", "suite.commands.run")
SMALL = ("geometry=tiny", "seq_len=64", "measure=smoke")
UNWATCHED = ("telemetry=off", "price_per_device_hour=3.6")
ELSEWHERE = (f"hydra.searchpath=[file://{FOREIGN / 'conf'}]", "measure=smoke")
PROJECTED = ("workload=projection", "hardware=h20-96gb", "dtype=bfloat16")
"""Settings of a case that runs nothing, and is a record all the same."""


def run(folder, *arguments):
    code = main([*arguments, f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"])
    return code, [stored.record for stored in read_contents([folder]).stored]


def test_sweeps_beside_each_other_take_turns(tmp_path, capsys):
    folder, own = f"hydra.sweep.dir={tmp_path}", ["-m", *PROJECTED, "geometry=tiny"]
    beside = [*own, "attention=gqa", "seq_len=64,128,256", folder]
    assert main([*own, "attention=mha,mla", "seq_len=32", folder], beside=[beside]) == 0
    ran = re.findall(r"^\[\d/5\] +\w+ +(\d+) ", capsys.readouterr().out, re.MULTILINE)
    assert ran == ["32", "64", "32", "128", "256"]


def cases(*arguments):
    """What these arguments would run, where the records have no more to say."""
    return [job_of(one) for one in compose(arguments) if not is_left_out(one)]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The exit code of one small case, its record and what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        code, (record,) = run(tmp_path_factory.mktemp("small"), *SMALL)
    return code, record, shown.getvalue()


def test_a_case_leaves_one_record_with_its_readings(small):
    code, record, shown = small
    assert (code, record.status) == (0, Status.OK)
    metrics = {(reading.span, reading.metric) for reading in record.readings}
    assert {("layer", "latency_s"), ("kernel", "latency_s"), ("kernel", "relative_error")} <= metrics
    assert {("layer", "peak_bytes"), ("case", "cache_bytes"), ("kernel", "ceiling_flops_per_s")} <= metrics
    for words in ("what ran", "check", "median of", "roofline", "of MHA's", "record.json"):
        assert words in shown
    assert "mode       absorbed into the query and the output, attention on the latent itself; the cache" in shown
    assert record.settings["attention"]["mode"] == "absorbed"


def test_the_cache_counted_on_the_tensors_equals_the_closed_form(tmp_path, capsys):
    _, records = run(tmp_path, "-m", *SMALL, "phase=prefill", "attention=mqa,mla,mla_absorbed")
    # What telemetry saw is the same for all, and said once.
    assert capsys.readouterr().out.count("telemetry: ") == 1
    for record in records:
        values = {reading.metric: reading.value for reading in record.readings if reading.span == "case"}
        assert values["cache_bytes"] == values["cache_bytes_counted"]


def test_a_record_tells_cold_from_warm_and_traces_when_asked(tmp_path, capsys):
    code, (record,) = run(tmp_path, *SMALL, "backend=sdpa_folded", "measure.cold_steps=1", "profile=true", *UNWATCHED)
    assert code == 0
    assert set(record.files) == {"samples.parquet", "trace.json.gz", ".hydra/overrides.yaml"}
    assert "telemetry" not in record.provenance
    assert record.provenance["energy"] == {"state": "off"}
    assert not {"telemetry", "price_per_device_hour"} & set(record.case.extras)
    assert "per million tokens through the layer, by price_per_device_hour" in capsys.readouterr().out
    assert record.provenance["cold"] in ("measured", "as_warm", "unknown_cache", "no_memory")
    if record.provenance["cold"] == "measured":
        assert {reading.span for reading in record.readings if reading.metric == "cold_latency_s"} == {
            "layer",
            "kernel",
        }
    (trace,) = tmp_path.rglob("trace.json.gz")
    text = gzip.decompress(trace.read_bytes()).decode()
    named = {event.get("name") for event in json.loads(text)["traceEvents"]}
    assert {"span layer", "span kernel", "aten::scaled_dot_product_attention"} <= named
    for private in (platform.node(), str(Path.home()), tempfile.gettempdir()):
        assert f'"{private}' not in text


def test_training_checks_every_gradient_and_keeps_no_cache(tmp_path):
    _, records = run(tmp_path, "-m", *SMALL, "phase=train", "attention=gqa,mla,mla_absorbed")
    modes = {record.case.axes["attention"]: record.settings["attention"].get("mode") for record in records}
    assert modes == {"gqa": None, "mla": "expanded", "mla_absorbed": "absorbed"}
    for record in records:
        metrics = {reading.metric for reading in record.readings}
        assert {"relative_error_dq", "relative_error_dk", "flops_with_recomputation"} <= metrics
        assert "cache_bytes" not in metrics
        assert "at 64 of 64 tokens" in record.provenance["gradient_check"]
        for ran in record.provenance["operators"].values():
            assert any("backward" in name for name in ran)


def test_a_projection_runs_nothing_and_says_that_it_is_one(tmp_path):
    arguments = [*PROJECTED, f"hydra.run.dir={tmp_path}"]
    checked = f"code = main({arguments}); assert 'torch' not in sys.modules; sys.exit(code)"
    program = f"import sys; from suite.commands.run import main; {checked}"
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    (stored,) = read_contents([tmp_path]).stored
    assert (stored.record.status, stored.record.evidence) == (Status.OK, Evidence.PROJECTED)
    values = {(reading.span, reading.metric): reading.value for reading in stored.record.readings}
    assert values["kernel", "ceiling_bytes_per_s"] == 4e12
    least_s = max(values["kernel", "flops"] / 148e12, values["kernel", "traffic_bytes"] / 4e12)
    assert values["kernel", "bound_s"] == least_s
    assert "latency_s" not in {metric for _, metric in values}
    assert "not measured" in shown


def test_a_projection_tells_what_is_expected_and_by_what(tmp_path, capsys):
    arguments = ("workload=projection", "hardware=h100", "geometry=deepseek-v3", "seq_len=131072")
    code, (record,) = run(tmp_path, *arguments)
    values = {(reading.span, reading.metric): reading.value for reading in record.readings}
    assert code == 0
    assert values["kernel", "bound_s"] < values["kernel", "expected_low_s"] < values["kernel", "expected_s"]
    assert record.provenance["expected_by"] == "MLA 128"
    assert "calibration" not in record.case.id
    assert "81.3 µs expected of a good kernel (nine in ten within 66.3–99.7 µs)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cache_dtype=fp8", "phase=prefill"], "cache_dtype=fp8 needs phase=decode"),
        (["match=cache", "attention=mha"], "has none"),
        (["threads=4096"], "threads=4096"),
    ],
)
def test_a_right_case_that_cannot_run_is_unsupported_with_reason(tmp_path, arguments, words):
    code, (record,) = run(tmp_path, *SMALL, *arguments)
    assert (code, record.status) == (3, Status.UNSUPPORTED)
    assert words in record.reason


@pytest.mark.parametrize(("hardware", "dtype"), [("h100", "bfloat16"), ("t4", "float16")])
def test_a_projection_is_of_the_devices_own_dtype(hardware, dtype):
    (job,) = cases("workload=projection", f"hardware={hardware}")
    assert (job.case.axes["dtype"], job.settings["dtype"], job.plan.dtype) == (dtype, dtype, dtype)
    assert job.plan.refusal is None
    (job,) = cases("workload=projection", "hardware=t4", "dtype=bfloat16")
    assert job.refusal == "t4 has no published bfloat16 peak; it has float32, float16"


def test_a_match_moves_a_size_and_records_how_far_it_misses(tmp_path, capsys):
    _, (record,) = run(tmp_path, *SMALL, "geometry=llama-3.2-1b", "match=cache")
    assert record.provenance["match"].startswith("kv_lora_rank set to 992: +0.0%")
    assert {reading.value for reading in record.readings if reading.metric == "match_residual"} == {0.0}
    assert "that the model itself keeps" in capsys.readouterr().out


def test_an_id_that_a_sweep_repeats_runs_once(tmp_path):
    asked = ("phase=prefill,decode", "query_len=1,2", "leave_out=[{phase: decode}]")
    code, records = run(tmp_path, "-m", *PROJECTED, *asked)
    assert (code, len(records)) == (0, 1)
    assert records[0].settings["query_len"] is None


def test_the_id_holds_axes_and_named_settings_not_the_measuring():
    (job,) = cases(*SMALL, "geometry.num_heads=8", "seed=3", "measure.max_steps=7")
    assert job.case.id == (
        "workload=attention attention=mla geometry=tiny match=heads phase=decode seq_len=64 query_len=1 batch=1 tp=1 "
        "dtype=float32 cache_dtype=null backend=auto device=cpu threads=1 geometry.num_heads=8 seed=3"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["+experiment=mine"], ["no setting 'experiment'", "sweep/NAME.yaml", "--config-dir"]),
        (["seq_len=0"], ["seq_len", "at least 1", "0"]),
        (["query_len=65", *SMALL], ["query_len must be at most seq_len", "65"]),
        (["geometry=llama-3.2-1b", "geometry.num_heads=12"], ["multiple", "12", "8"]),
        (["geometry.num_kv_heads=4"], ["geometry.num_kv_heads", "16", "mla", "4"]),
        (["tp=3"], ["multiple of tp", "3"]),
        (["seq_len=["], ["cannot read 'seq_len=['"]),
        (["attention=mla,gqa"], ["several values", "needs -m"]),
        (["attention=mla", "attention._target_=a.B"], ["attention._target_", "fixed by the option mla"]),
        (["attention=mla_latent", "attention.mode=absorbed"], ["attention.mode must be latent", "'absorbed'"]),
        (["measure.max_seconds=inf"], ["must be finite"]),
        (["~seq_len"], ["seq_len must have a value"]),
        (["seq_len=${nowhere}"], ["nowhere"]),
        (["-m", "leave_out=[{nonsense: 1}]"], ["no setting 'nonsense'"]),
        (["-m", "attention=gqa,mla", "attention.colour=1"], ["no setting 'attention.colour'"]),
        (["attention=mha", "attention.kv_heads=2"], ["attention.kv_heads is fixed by the option mha"]),
        (["resume=maybe"], ["resume must be true or false", "'maybe'"]),
        (["workers=0"], ["workers must be a whole number of at least 1", "got 0"]),
        (["workers=2"], ["workers must be 1 for workload=attention, whose cases are timed alone; got 2"]),
        (["-m", "workers=1,2"], ["workers must be one number for the whole sweep; got 1, 2"]),
        (["-m", "leave_out=decode"], ["leave_out must be a list of points", "'decode'"]),
        (["-m", "leave_out=[{phase: decode}]"], ["leaves out every case"]),
        (["attention=mla.yaml"], ["attention must be one of", "'mla.yaml'"]),
        (["geometry=[]"], ["geometry must be one of", "got []"]),
        (["workload.axes=[]"], ["workload.axes defines the options of workload"]),
        (["~geometry.name"], ["geometry.name defines the options of geometry"]),
        ([f"seq_len={'9' * 400}"], ["seq_len must be a number of at most 2^63 - 1"]),
        ([f"seed={2**63}"], ["seed must be a number of at most 2^63 - 1"]),
        (["phase=[decode]"], ["phase must be one value; got ['decode']"]),
        (["profile=maybe"], ["profile must be true or false; got 'maybe'"]),
        (["telemetry.sources=null"], ["telemetry.sources must be a list of names", "got None"]),
        (["telemetry.sources=[nowhere.Source]"], ["cannot load 'nowhere.Source'"]),
        (["telemetry.sources=[os.system]"], ["must name subclasses of suite.measure.telemetry.source.Source"]),
        ([f"seq_len={'[' * 500}{']' * 500}"], ["too many brackets"]),
        (["hydra.job.env_copy=[NOWHERE]"], ["Hydra cannot compose these settings (KeyError: 'NOWHERE')"]),
        (["hydra.searchpath=[file:///nowhere]"], ["/nowhere is not available"]),
        (["--cfg", "job", "--package", "nowhere"], ["package 'nowhere' not found"]),
        (["--nowhere"], ["unrecognized arguments: --nowhere"]),
        (["--exp=job.pickle"], ["unpickles a file"]),
    ],
)
def test_a_wrong_case_is_one_sentence_and_nothing_runs(tmp_path, capsys, arguments, words):
    code, records = run(tmp_path, *arguments)
    said = capsys.readouterr().err.strip()
    assert (code, records) == (2, [])
    assert len(said.splitlines()) == 1
    assert all(word in said for word in words), said


@pytest.fixture(scope="module")
def grief(tmp_path_factory):
    """The exit code of one sweep, and its records by their workload."""
    workloads = "killed,segfaulting,exiting,raising,wrong,wrong_later,unloadable,hungry,unsupported,behaving"
    code, records = run(tmp_path_factory.mktemp("grief"), "-m", *ELSEWHERE, f"workload={workloads}")
    return code, {record.case.workload: record for record in records}


@pytest.mark.parametrize(
    ("workload", "status", "reason"),
    [
        ("killed", Status.FAILED, "SIGKILL"),
        ("segfaulting", Status.FAILED, "SIGSEGV"),
        ("exiting", Status.FAILED, "exit code 7"),
        ("raising", Status.FAILED, "RuntimeError"),
        ("wrong", Status.INCORRECT, "the sum is off"),
        ("unloadable", Status.FAILED, "SyntaxError"),
        ("unsupported", Status.UNSUPPORTED, "flux capacitor"),
    ],
)
def test_a_worker_that_comes_to_grief_is_a_record_with_a_reason(grief, workload, status, reason):
    assert grief[1][workload].status is status
    assert reason in grief[1][workload].reason


def in_launches(folder, workload, *arguments):
    return run(folder, *ELSEWHERE, "workload=behaving", f"workload._target_=misbehaving.{workload}", *arguments)


def test_each_launch_has_a_process_and_inputs_of_its_own(tmp_path, capsys):
    code, (record,) = in_launches(tmp_path, "Telling", "measure.launches=3")
    assert code == 0
    told = {}
    for reading in record.readings:
        if reading.metric in ("pid", "seed") and reading.launch is not None:
            told.setdefault((reading.metric, reading.launch), set()).add(reading.value)
    assert sorted(told) == [(metric, launch) for metric in ("pid", "seed") for launch in range(3)]
    assert len({value for values in told.values() for value in values}) == len(told)  # one each, and all differ
    steps = [(one.launch, one.step) for one in record.readings if one.metric == "latency_s"]
    assert steps == [(launch, step) for launch in range(3) for step in range(2)]  # six steps, shared
    assert record.provenance["launches"]["count"] == 3
    assert "work" in record.provenance["lag1_autocorrelation"]


@pytest.mark.parametrize(
    ("workload", "status", "reason", "timed"),
    [
        ("KilledLater", Status.FAILED, "the worker was killed by SIGKILL", {0}),
        ("WrongInALaterLaunch", Status.INCORRECT, "the sum is off", set()),
    ],
)
def test_a_later_launch_that_fails_is_said_in_the_record(tmp_path, workload, status, reason, timed):
    code, (record,) = in_launches(tmp_path, workload, "measure.launches=3")
    assert (code, record.status, record.reason) == (1, status, f"launch 2 of 3: {reason}")
    assert {reading.launch for reading in record.series("latency_s")} == timed


@needs_process_groups
def test_a_case_cut_short_in_a_later_launch_is_interrupted(tmp_path):
    with heard(signal.SIGINT):
        code, (record,) = in_launches(tmp_path, "InterruptedLater", "measure.launches=3")
    assert (code, record.status) == (130, Status.INTERRUPTED)
    assert {one.launch for one in record.readings if one.metric == "latency_s"} == {0}


def test_a_case_says_over_how_many_launches_its_interval_is(small, tmp_path, capsys):
    _, record, shown = small
    assert record.provenance["launches"]["count"] == 1
    assert "within one launch, n = 6" in shown
    assert run(tmp_path, *SMALL, *UNWATCHED, "measure.launches=2")[0] == 0
    assert "over 2 launches, n = 6" in capsys.readouterr().out


def test_a_cache_larger_than_all_memory_is_refused_at_once(tmp_path):
    code, (record,) = run(tmp_path, "attention=mha", "seq_len=100000000000", "measure=smoke")
    assert (code, record.status) == (3, Status.UNSUPPORTED)
    assert "TiB of memory at once, computed from its sizes" in record.reason
    assert record.provenance["durations_s"].keys() == {"overhead"}


def test_a_sweep_goes_on_past_deaths_and_ends_with_worst_code(grief):
    code, records = grief
    assert (code, len(records)) == (1, 10)
    assert [workload for workload, record in records.items() if record.status is Status.OK] == ["behaving"]
    if sys.platform == "linux":  # which alone limits a worker's private memory
        assert records["hungry"].status is Status.OUT_OF_MEMORY
    metrics = {name: {reading.metric for reading in record.readings} for name, record in records.items()}
    assert "flops" in metrics["killed"], "what was sent before a death is kept"
    # An output that is wrong after it was timed keeps no timing.
    assert records["wrong_later"].status is Status.INCORRECT
    assert metrics["wrong_later"] & {"latency_s", "relative_error"} == {"relative_error"}


def test_a_sweep_that_is_repeated_runs_only_what_is_missing(tmp_path, capsys):
    arguments = ("-m", *ELSEWHERE, "workload=behaving,killed,wrong,unsupported", "seq_len=1")
    _, first = run(tmp_path, *arguments)
    capsys.readouterr()
    code, second = run(tmp_path, *arguments)
    assert "3 of 4 cases were recorded before (resume=false measures all again)" in capsys.readouterr().out
    again = [record.status for record in second].count(Status.FAILED)
    assert (code, len(second) - len(first), again) == (1, 1, 2)


def test_what_is_asked_again_or_in_other_settings_is_run_again(tmp_path):
    arguments = ("-m", *ELSEWHERE, "workload=behaving", "seq_len=1")
    run(tmp_path, *arguments)
    for count, changed in ((2, "resume=false"), (3, "measure.max_steps=7"), (4, "seed=1")):
        code, records = run(tmp_path, *arguments, changed)
        assert (code, len(records)) == (0, count)
    assert not any("resume" in record.case.id or "resume" in record.settings for record in records)


def test_a_device_torch_lacks_is_unsupported_and_tried_again(tmp_path, capsys):
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("this torch finds a CUDA device")
    for _ in range(2):
        code, records = run(tmp_path, "-m", *SMALL, "attention=gqa", "device=cuda")
        assert (code, {record.status for record in records}) == (0, {Status.UNSUPPORTED})
        assert all(record.reason.startswith("device=cuda: ") for record in records)
        assert "1 unsupported" in capsys.readouterr().out
    assert len(records) == 2


def test_a_gpu_case_is_flushed_and_its_short_spans_captured(tmp_path):
    if not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("needs a CUDA device")
    sizes = ("geometry=deepseek-v2-lite", "seq_len=4096", "measure=smoke")
    _, records = run(tmp_path, "-m", *sizes, "attention=gqa,mla", "backend=eager", "device=cuda")
    for record in records:
        facts = record.provenance
        assert (record.status, facts["clock"], facts["cold"]) == (Status.OK, "cuda_events", "every_run")
        assert facts["cuda_graph"]["kernel"]["turns"] > 1
        assert facts["cuda_graph"]["kernel"]["rotated_bytes"] >= 2 * facts["device"]["l2_bytes"]
        assert facts["kernels"]["kernel"]
        metrics = {reading.metric for reading in record.readings}
        assert {"latency_s", "flush_probe_ratio", "peak_bytes"} <= metrics
        assert "cold_latency_s" not in metrics


def test_the_default_dtype_and_the_precision_follow_the_device():
    def settings(*arguments):
        (composed,) = compose([*SMALL, *arguments])
        job = job_of(composed)
        return job.case.axes["dtype"], job.settings["dtype"], job.settings["matmul_precision"]

    assert settings() == ("float32", "float32", None)
    assert settings("device=cuda") == ("bfloat16", "bfloat16", "highest")
    assert settings("device=cuda", "dtype=float32", "matmul_precision=high") == ("float32", "float32", "high")
    with pytest.raises(ValueError, match="matmul_precision must be one of"):
        settings("device=cuda", "matmul_precision=low")


def test_committed_records_have_the_settings_of_their_cases_now():
    folders = [folder for folder, _ in committed(ROOT / "results" / "reference" / "cpu" / "attention")]
    for record in map(read_record, folders[:: len(folders) // 3]):
        (composed,) = compose(record.case.id.split())
        assert comparable(job_of(composed).settings) == comparable(record.settings)


def test_a_case_refused_for_memory_runs_where_there_is_more(tmp_path, monkeypatch):
    monkeypatch.setattr("suite.run.job.capacity_bytes", lambda: 1 << 14)
    code, (refused,) = run(tmp_path, *SMALL)
    assert (code, refused.status) == (3, Status.UNSUPPORTED)
    assert "this process can have 16.0 KiB" in refused.reason
    monkeypatch.setattr("suite.run.job.gpu_memory_bytes", lambda: 1 << 14)
    (job,) = cases(*SMALL, "device=cuda")
    assert "a GPU here can have 16.0 KiB" in job.refusal
    assert len(run(tmp_path, *SMALL)[1]) == 1
    monkeypatch.undo()
    code, records = run(tmp_path, *SMALL)
    assert (code, sorted(record.status for record in records)) == (0, [Status.OK, Status.UNSUPPORTED])


def test_two_runs_of_one_sweep_at_once_share_its_cases(tmp_path):
    command = [*COMMAND, "-m", *ELSEWHERE, "workload=behaving", "seq_len=1,2,3,4"]
    command += [f"hydra.sweep.dir={tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": f"{FOREIGN}:{ROOT}"}
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=environment)
    while not list(tmp_path.glob("*/claim.lock")) and other.poll() is None:
        time.sleep(0.01)
    assert main(command[3:]) == other.wait(timeout=120) == 0
    contents = read_contents([tmp_path])
    assert (contents.damaged, contents.unfinished) == ([], [])
    assert len({stored.record.case.id for stored in contents.stored}) == len(contents.stored) == 4


def test_a_setting_of_one_variant_is_null_for_others_in_a_sweep():
    jobs = cases("-m", *SMALL, "attention=mha,gqa,mla", "attention.kv_heads=2")
    assert sorted({(one.case.axes["attention"], one.case.id.rpartition(" ")[2]) for one in jobs}) == [
        ("gqa", "attention.kv_heads=2"),
        ("mha", "attention.kv_heads=null"),
        ("mla", "attention.kv_heads=null"),
    ]
    assert {one.settings["attention"]["kv_heads"] for one in jobs if one.case.axes["attention"] == "mha"} == {"all"}
    of_both = ("workload=projection,attention", "hardware=h20-96gb,l4", "backend=eager,sdpa", "dtype=bfloat16")
    assert len({job.case.id for job in cases("-m", *SMALL, *of_both)}) == 4


def test_a_sweep_ends_with_what_became_of_its_cases_and_its_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left_out = "leave_out=[{workload: behaving, seq_len: 1}, {workload: unsupported, seq_len: 1}]"
    arguments = ["-m", *ELSEWHERE, "workload=behaving,unsupported,killed", "seq_len=1,2", "hydra.sweep.dir=results/odd"]
    assert main([*arguments, left_out, "report=true"]) == 1
    said = capsys.readouterr().out
    assert "4 cases: 1 ok, 1 unsupported, 2 failed; took " in said
    _, _, of_killed = said.rpartition("\nworkload=killed\n")
    rows = [line.split() for line in of_killed.splitlines()]
    assert rows[:3] == [["seq_len", "status"], ["1", "failed"], ["2", "failed"]]
    assert "2 failed: the worker was killed by SIGKILL" in said
    assert said.endswith("records: results/odd\npage: reports/odd.html\n")
    assert "flux capacitor" in whole_text(Path("reports/odd.html").read_text(encoding="utf-8"))


def test_in_json_the_records_alone_stand_on_standard_output(tmp_path, capsys, monkeypatch):
    arguments = ["-m", *ELSEWHERE, "workload=behaving,unsupported", "seq_len=1", f"hydra.sweep.dir={tmp_path}"]
    assert main([*arguments, "--json"]) == 0
    said = capsys.readouterr()
    behaving, unsupported = json.loads(said.out)
    assert (behaving["status"], unsupported["status"]) == ("ok", "unsupported")
    assert "flux capacitor" in unsupported["reason"]
    assert behaving["values"].keys() == {"work_latency_s"}
    assert Path(behaving["folder"], "record.json").is_file()
    assert behaving["case_id"] == "workload=behaving seq_len=1"
    assert "2 cases: 1 ok, 1 unsupported" in said.err
    assert main([*ELSEWHERE, "workload=behaving", "seq_len=1", f"hydra.run.dir={tmp_path}", "--json"]) == 0
    said = capsys.readouterr()
    assert [one["folder"] for one in json.loads(said.out)] == [behaving["folder"]]
    assert "not measured again" in said.err
    assert main(["seq_len=0", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_results_folder_that_is_a_file_is_said_in_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([*SMALL, f"hydra.run.dir={tmp_path / 'file' / 'results'}"]) == 4
    assert "cannot write the results" in capsys.readouterr().err


def test_settings_in_a_sweeps_file_join_the_id(tmp_path, monkeypatch):
    package = tmp_path / "lent_sweeps"
    shutil.copytree(FOREIGN / "conf", package)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for place in (ELSEWHERE[0], "hydra.searchpath=[pkg://lent_sweeps]"):
        jobs = cases("-m", place, "measure=smoke", "workload=behaving", "sweep=seeded")
        assert sorted(job.case.id for job in jobs) == [f"workload=behaving seq_len={size} seed=5" for size in (1, 2)]


def test_planted_secrets_reach_no_file_and_the_parent_no_torch(tmp_path):
    # The fork server keeps the environment it was started with, so the case runs in a process of its own.
    environment = {**os.environ, "PLANTED_TOKEN": "hunter2-hunter2", "PYTHONPATH": f"{FOREIGN}:{ROOT}"}
    arguments = [*ELSEWHERE, "workload=raising", f"hydra.run.dir={tmp_path}"]
    checked = f"code = main({arguments}); assert 'torch' not in sys.modules; sys.exit(code)"
    program = f"import sys; from suite.commands.run import main; {checked}"
    ran = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (1, b"")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"RuntimeError" in written
    for planted in (b"hunter2", b"/home/alice", str(tmp_path).encode(), str(ROOT).encode()):
        assert planted not in written


def test_a_list_and_a_setting_taken_away_stand_in_the_id():
    (listed,), (without,) = cases(*PROJECTED, "geometry.source=[a,b]"), cases(*SMALL, "~geometry.source")
    assert listed.case.extras == {"geometry.source": '["a", "b"]'}
    assert without.case.id.endswith("geometry.source=null")


@contextlib.contextmanager
def started(tmp_path, *arguments, **streams):
    """A sweep in a session of its own, of whose processes none outlives the test."""
    with heard(signal.SIGINT):
        sweep = subprocess.Popen(
            [*COMMAND, "-m", *ELSEWHERE, *arguments, f"hydra.sweep.dir={tmp_path / 'results'}"],
            env={**os.environ, "PYTHONPATH": f"{FOREIGN}:{ROOT}", "TMPDIR": str(tmp_path), "COLUMNS": "120"},
            cwd=ROOT,
            start_new_session=True,
            **streams,
        )
    try:
        yield sweep
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()


@needs_process_groups
def test_what_ctrl_c_prints_and_records_is_only_what_happened(tmp_path):
    output = tmp_path / "output"
    asked = ("workload=slow_attention", "attention=mha,gqa,mla", "seq_len=1", "telemetry=off")
    with output.open("wb") as stream, started(tmp_path, *asked, stdout=stream, stderr=subprocess.STDOUT) as sweep:
        deadline = time.monotonic() + 60
        while "[1/3]" not in output.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        _wait_for_a_worker(sweep.pid)
        os.killpg(sweep.pid, signal.SIGINT)
        assert sweep.wait(timeout=20) == 130
        assert _nothing_is_left_of(sweep.pid)
    statuses = [stored.record.status for stored in read_contents([tmp_path]).stored]
    assert sorted(statuses) == [Status.INTERRUPTED, Status.OK]
    printed = re.sub(r"[\d.]+ µs \([^)]*\)", "TIME", output.read_text()).replace(" ~", "")
    printed = re.sub(r"took .*", "took SECONDS", re.sub(r"(?m)^1 of 2 cases was disturbed .*\n", "", printed))
    assert [" ".join(line.split()) for line in printed.splitlines()] == [
        "workload=slow_attention seq_len=1",
        "attention result",
        "[1/3] mha ok work TIME in one launch",
        "[2/3] gqa interrupted interrupted before it was done",
        "",
        "attention status work",
        "mha ok TIME",
        "gqa interrupted -",
        "2 cases: 1 ok, 1 interrupted; took SECONDS",
        "1 interrupted: interrupted before it was done",
        "1 of 3 cases did not run; the same command continues",
        f"records: {tmp_path / 'results'}",
    ]


@needs_process_groups
def test_a_killed_parent_leaves_no_worker_and_no_half_files(tmp_path, monkeypatch):
    with started(tmp_path, "workload=slow", "seq_len=1,2") as sweep:
        _wait_for_a_worker(sweep.pid)
        sweep.kill()
        sweep.wait()
        assert _nothing_is_left_of(sweep.pid)
    contents = read_contents([tmp_path / "results"])
    assert (contents.stored, contents.damaged, len(contents.unfinished)) == ([], [], 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    remove_abandoned()  # as the next command does
    assert not list(tmp_path.glob("suite-*"))


def _wait_for_a_worker(group):
    """Until the sweep's own process group has a forked case that sleeps: the server's child."""
    import psutil

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(child.parent().pid != group for child in psutil.Process(group).children(recursive=True)):
            time.sleep(0.5)
            return
        time.sleep(0.05)
    raise AssertionError("no worker came up")


def _nothing_is_left_of(group):
    """Whether every process of a group is gone within 20 seconds, which a busy machine may need."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
