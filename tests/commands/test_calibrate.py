"""Calibrations refitted from records, made by the record store as a GPU's runs leave them."""

from dataclasses import replace

import pytest

from suite.commands.calibrate import calibrate
from suite.commands.explain import explain
from suite.commands.run import main
from suite.configuration.files import read_choice
from suite.records import numbers
from suite.records.record import Evidence, Reading, Status
from suite.records.stores.store import read_contents
from suite.report.command import report
from suite.report.model.timed_kernels import timed_kernel, timed_prefill
from suite.theory.devices.calibration import Cell, decode_kernel
from suite.theory.devices.calibration_file import read_calibration
from suite.theory.devices.hardware import load_hardware
from suite.theory.layers.algebra import Pass
from suite.theory.layers.geometry import load_geometry
from suite.theory.layers.latent_shapes import absorbed_shape, expanded_once_shape
from suite.theory.layers.shapes import cache_bytes, grouped_shape, kernel_work
from tests.records.factory import build, store
from tests.theory.devices.test_projection_plan import plan

V3 = load_geometry("deepseek-v3")
H100 = {"gpus": ["NVIDIA H100 80GB HBM3"]}
SHAPES = {"mla": absorbed_shape(V3), "gqa": grouped_shape(V3, kv_heads=8)}
TRUTH = {"mla": (0.62, 31e-6), "gqa": (0.83, 12e-6)}
CASES = [(batch, seq_len) for batch in (1, 4, 16, 64) for seq_len in (8192, 16_384, 65_536)]
CEILINGS = load_hardware("h100-sxm5-80gb").ceilings("bfloat16")


def timed(attention, batch, seq_len, time_s, *, shape=None, phase="decode", environment=H100, **facts):
    """A record of a kernel's time, with the exact quantities of its shape."""
    shape = shape or SHAPES[attention]
    forward = Pass(
        batch=batch,
        query_len=1 if phase == "decode" else seq_len,
        seq_len=seq_len,
        element_bytes=2,
        **facts.pop("of", {}),
    )
    sizes = {"attention": attention, "batch": batch, "seq_len": seq_len, "phase": phase, "device": "cuda"}
    record = build(
        latencies_s=(time_s / 0.4,) * 3,  # the factory's kernel takes 0.4 of a layer
        environment=environment,
        settings={"geometry": {"num_heads": V3.num_heads}},
        **(sizes | facts),
    )
    flops, size = kernel_work(shape, forward).flops, cache_bytes(shape, forward)
    amounts = {("kernel", "flops"): flops, ("case", "cache_bytes"): size}
    kept = [one for one in record.readings if (one.span, one.metric) not in amounts]
    new = [Reading(step=0, span=span, metric=name, value=float(value)) for (span, name), value in amounts.items()]
    return replace(record, readings=kept + new)


def predicted_s(attention, batch, seq_len):
    share, floor_s = TRUTH[attention]
    cell = Cell(of=decode_kernel(SHAPES[attention]), batch=batch, seq_len=seq_len)
    return floor_s + CEILINGS.bound_s(**cell.work) / share


def records_of(*names, cases=CASES):
    return [timed(name, *case, predicted_s(name, *case)) for name in names for case in cases]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A calibration file of records that were timed with a known share and floor; they lie in `gpu` beside it."""
    folder = tmp_path_factory.mktemp("mine")
    store(folder / "gpu", *records_of("mla", "gqa"))
    assert calibrate([folder / "gpu"], out=folder / "mine.yaml") == 0
    return folder / "mine.yaml"


def test_a_fit_recovers_the_share_and_the_floor(mine):
    fits = {fit.of.kernel: fit for fit in read_calibration(mine).decode}
    for name, (share, floor_s) in TRUTH.items():
        assert fits[name].of == decode_kernel(SHAPES[name])
        assert fits[name].share == pytest.approx(share, rel=0.01)
        assert fits[name].floor_s == pytest.approx(floor_s, rel=0.02)
        assert fits[name].cells == len(CASES)
        assert fits[name].p90_error < 0.01


def test_the_fits_are_printed_as_a_table(tmp_path, capsys):
    store(tmp_path, *records_of("mla"), *records_of("gqa", cases=CASES[:3]))
    assert calibrate([tmp_path], out=None) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("h100-sxm5-80gb: expected decode kernel time = floor")
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("MLA 128")]
    assert row[-1] == "12"
    assert "left out, with fewer than 6 measurements: 3 of GQA 128/8" in shown


BY_BOUND = sorted(CASES, key=lambda case: (case[0] * case[1], case[0]))


def refitted(folder, records):
    """What calibrating by these records writes."""
    store(folder / "gpu", *records)
    calibrate([folder / "gpu"], out=folder / "mine.yaml")
    return read_calibration(folder / "mine.yaml")


def slower_by(factor):
    """Records of which some take so many times as long; `factor`: by their place in the order of their bounds."""
    return [timed("mla", *case, predicted_s("mla", *case) * factor(place)) for place, case in enumerate(BY_BOUND)]


@pytest.mark.parametrize(
    ("records", "median_error"),
    [
        # Every second cell, to which nothing is fitted, is 30% slower: the error says so, as ln 1.3.
        (slower_by(lambda place: 1.3 if place % 2 else 1), 0.262),
        # Two of twelve take five times as long, one of each half, and do not bend the fit.
        (slower_by(lambda place: 5 if place in (4, 5) else 1), 0.0),
        # Of a case the fastest backend counts.
        (
            records_of("mla") + [timed("mla", *case, predicted_s("mla", *case) * 3, backend="eager") for case in CASES],
            0.0,
        ),
    ],
    ids=["half", "outliers", "backends"],
)
def test_a_fit_holds_its_share_whatever_some_cells_took(tmp_path, records, median_error):
    (fit,) = refitted(tmp_path, records).decode
    assert fit.share == pytest.approx(0.62, rel=0.02)
    assert fit.median_error == pytest.approx(median_error, abs=0.01)


def test_prompts_give_shares_by_length(tmp_path):
    shape = expanded_once_shape(V3)
    passes = {tokens: Pass(batch=4, query_len=tokens, seq_len=tokens, element_bytes=2) for tokens in (2048, 4096)}
    flops = {tokens: kernel_work(shape, forward).flops for tokens, forward in passes.items()}
    prompts = [
        timed("mla_expanded", 4, tokens, of / 989.4e12 / 0.5, shape=shape, phase="prefill", query_len=None)
        for tokens, of in flops.items()
    ]
    expected = {"mla_expanded": {2048: 0.5, 4096: 0.5}}
    assert refitted(tmp_path, [*records_of("mla"), *prompts]).prefill == expected


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (
            lambda: [build(), timed("mla", 1, 8192, 1e-3, environment={"gpus": ["A card"]})],
            "calibrate needs bfloat16 decode kernels .* the 2 records in",
        ),
        (lambda: records_of("mla", cases=CASES[:5]), "calibrate needs 6 measurements of one family.*got 5 of MLA 128"),
        (
            lambda: [timed("gqa", *case, predicted_s("gqa", *case) / 10) for case in CASES],
            "no faster than its bound; got 0 of GQA 128/8",
        ),
        (list, "results must be folders that exist"),
    ],
    ids=["no known GPU", "few cells", "faster than the bound", "no folder"],
)
def test_records_that_give_no_fit_are_refused_in_a_sentence(tmp_path, records, words):
    store(tmp_path / "gpu", *records())
    with pytest.raises(ValueError, match=words):
        calibrate([tmp_path / ("gpu" if records() else "nowhere")], out=None)


def test_a_file_takes_one_device(tmp_path):
    h200 = [timed("mla", *case, predicted_s("mla", *case), environment={"gpus": ["NVIDIA H200"]}) for case in CASES]
    store(tmp_path, *records_of("mla"), *h200)
    with pytest.raises(ValueError, match="one device; the records are of h100-sxm5-80gb, h200-sxm-141gb"):
        calibrate([tmp_path], out=tmp_path / "mine.yaml")
    assert calibrate([tmp_path], out=None) == 0


def test_a_record_gives_the_sizes_of_its_kernel_on_its_rank():
    for name, shape in {**SHAPES, "mla": absorbed_shape(V3, tp=4)}.items():
        tp = 4 if name == "mla" else 1
        device, cell = timed_kernel(timed(name, 4, 8192, 5e-5, shape=shape, tp=tp))
        assert (device, cell.of) == ("h100-sxm5-80gb", decode_kernel(shape))
        assert (cell.batch, cell.seq_len, cell.query_len) == (4, 8192, 1)
        assert cell.time_s == pytest.approx(5e-5)


def test_other_cases_and_what_was_not_measured_are_no_cells():
    record = timed("mla", 1, 8192, 5e-5)
    others = [{"device": "cpu"}, {"dtype": "float16"}, {"cache_dtype": "int8"}, {"attention": "mla_expanded"}]
    others += [{"phase": "prefill"}, {"batch": 10**400}, {"tp": 3}, {"query_len": 0}, {"seq_len": None}]
    for change in others:
        assert timed_kernel(replace(record, case=replace(record.case, axes={**record.case.axes, **change}))) is None
    unmeasured = [{"evidence": Evidence.PROJECTED}, {"status": Status.FAILED}, {"settings": {}}, {"readings": []}]
    for change in unmeasured:
        assert timed_kernel(replace(record, **change)) is None
        assert timed_prefill(replace(record, **change)) is None


def test_explain_report_and_projections_take_the_file(mine, tmp_path):
    assert "131,072 tokens: H100 2.4×" in explain("mla")
    own = f"{predicted_s('gqa', 1, 131_072) / predicted_s('mla', 1, 131_072):.1f}×"
    assert own == "2.0×"
    assert f"131,072 tokens: H100 {own}" in explain("mla", calibration=mine)
    path, code = report([mine.parent / "gpu"], [], format="csv", out=tmp_path / "page.csv", calibration=mine)
    assert code == 0
    # The file has no published cells of an H100, and its own records' fit.
    title = "hardware,Expected and measured times of decode kernels,,"
    rows = [line.removeprefix(title) for line in path.read_text().splitlines() if line.startswith(title)]
    assert {"1,Device,h200-sxm-141gb", "2,Device,h100-sxm5-80gb", "2,Measured by,gpu", "2,Cases,24"} <= set(rows)
    assert not any(row.startswith("3,") for row in rows)


def test_a_projection_takes_the_file_on_the_command_line(mine, tmp_path, capsys):
    sizes = ["hardware=h100", "geometry=deepseek-v3", "seq_len=8192"]
    assert main(["workload=projection", *sizes, f"calibration_file={mine}", f"hydra.run.dir={tmp_path}"]) == 0
    assert f"{numbers.seconds(predicted_s('mla', 1, 8192))} expected of a good kernel" in capsys.readouterr().out
    (stored,) = read_contents([tmp_path]).stored
    assert str(mine.parent) not in stored.record.case.id
    assert "mine.yaml" in stored.record.case.id


def test_a_projection_by_a_file_is_of_its_device(mine):
    hardware = read_choice("hardware", "h200-sxm-141gb")
    with pytest.raises(ValueError, match="calibration_file must be of the device that hardware names, h200-sxm-141gb"):
        plan(hardware=hardware, dtype="bfloat16", calibration_file=str(mine))
