"""The decode kernel of a record, by the sizes that calibrations speak of, and its time where a known GPU ran it.

They follow from the exact quantities that a record notes, so nothing that its settings name is loaded: a record may be
foreign. What cannot be such a kernel is None.
"""

import math
from dataclasses import dataclass, replace

from suite.records.derived import by_launch, constant
from suite.records.record import Evidence, Record, Status
from suite.report.model.run import gpu_name, mapping
from suite.statistics.intervals import launched_interval
from suite.theory.devices.calibration import DTYPE, EXPANDED, GQA, LEAST_PREFILL_FLOPS, MLA, WIDTHS, Cell, Kernel
from suite.theory.devices.hardware import hardware_reported_as
from suite.theory.layers.algebra import SERVED_BYTES

KERNEL = "kernel"
KERNELS = {"mha": GQA, "gqa": GQA, "mqa": GQA, "mla": MLA, "mla_absorbed": MLA}  # in decode; MHA and MQA are GQA
# In a prefill MLA expands.
PREFILL_KERNELS = {"mha": GQA, "gqa": GQA, "mqa": GQA, "mla": EXPANDED, "mla_expanded": EXPANDED}
SHORTEST_PREFILL = 1024
LARGEST = 1 << 31


def timed_kernel(record: Record) -> tuple[str, Cell] | None:
    """The device's name in conf/hardware, and the decode cell with the median of its timings; None without either."""
    device = _device(record)
    cell = decode_cell(record) if device else None
    time_s = kernel_median_s(record) if cell else None
    if device is None or cell is None or time_s is None:
        return None
    return device, replace(cell, time_s=time_s, by=str(record.provenance.get("backend") or ""))


@dataclass(frozen=True, kw_only=True)
class TimedPrefill:
    """A prefill kernel of known widths that a GPU of conf/hardware ran."""

    device: str
    kernel: str
    seq_len: int
    flops: float
    time_s: float


def timed_prefill(record: Record) -> TimedPrefill | None:
    """The prefill kernel that a record timed, if it is one whose share of the peak a calibration may hold."""
    axes, device, flops = record.case.axes, _device(record), constant(record, KERNEL, "flops")
    is_such = record.case.workload == "attention" and axes.get("phase") == "prefill" and axes.get("dtype") == DTYPE
    kernel = PREFILL_KERNELS.get(str(axes.get("attention"))) if is_such else None
    heads, (batch, seq_len) = _heads(record), (_size(axes.get(name)) for name in ("batch", "seq_len"))
    time_s = kernel_median_s(record) if device and kernel else None
    if device is None or kernel is None or time_s is None or not all((flops, heads, batch, seq_len)):
        return None
    width = (flops or 0) / (batch * heads * seq_len * (seq_len + 1))
    if width != sum(WIDTHS[kernel]) or seq_len < SHORTEST_PREFILL or (flops or 0) < LEAST_PREFILL_FLOPS:
        return None
    return TimedPrefill(device=device, kernel=kernel, seq_len=seq_len, flops=flops or 0, time_s=time_s)


def decode_cell(record: Record) -> Cell | None:
    """The kernel of an attention case that decodes in bfloat16, without its time; None for any other case."""
    axes = record.case.axes
    kernel = _kernel(record) if record.case.workload == "attention" and axes.get("phase") == "decode" else None
    if kernel is None or axes.get("dtype") != DTYPE:
        return None
    batch, seq_len, query_len = (_size(axes.get(name)) for name in ("batch", "seq_len", "query_len"))
    return Cell(of=kernel, batch=batch, seq_len=seq_len, query_len=query_len)


def kernel_median_s(record: Record) -> float | None:
    """The median over launches of the kernel's measured latencies; None where none was measured."""
    is_measured = record.evidence is Evidence.MEASURED and record.status is Status.OK
    launches = [
        usable
        for launch in by_launch(record.series("latency_s", KERNEL))
        if (usable := [value for value in launch if 0 < value < math.inf])
    ]
    return launched_interval(launches).median if launches and is_measured else None


def _heads(record: Record) -> int:
    heads, tp = _size(mapping(record.settings, "geometry").get("num_heads")), _size(record.case.axes.get("tp"))
    return heads // tp if tp and heads % tp == 0 else 0


def _device(record: Record) -> str | None:
    is_gpu = str(record.case.axes.get("device")).startswith("cuda")
    return hardware_reported_as(str(gpu_name(record))) if is_gpu else None


def _kernel(record: Record) -> Kernel | None:
    """Solve a kernel's widths and groups from its FLOPs, 2 B H N (d_qk + d_v), and its cache's bytes.

    B: batch; H: heads of a rank; N: pairs of query and key under the causal mask. None where no whole numbers fit.
    """
    axes, heads = record.case.axes, _heads(record)
    name = KERNELS.get(str(axes.get("attention")))
    batch, seq_len, query_len = (_size(axes.get(axis)) for axis in ("batch", "seq_len", "query_len"))
    flops, cache_bytes = constant(record, KERNEL, "flops"), constant(record, "case", "cache_bytes")
    if name is None or axes.get("cache_dtype") is not None or not flops or not cache_bytes:
        return None
    if not all((heads, batch, query_len)) or query_len > seq_len:
        return None
    pairs = query_len * (2 * seq_len - query_len + 1) // 2
    both_widths = _whole(flops / (2 * batch * heads * pairs))
    elements = _whole(cache_bytes / (SERVED_BYTES * batch * seq_len))
    if not both_widths or not elements:
        return None
    if name == MLA:
        sizes = {"kv_heads": 1, "qk_dim": elements, "v_dim": both_widths - elements}
    else:
        width = _whole(both_widths / 2)
        sizes = {"kv_heads": _whole(elements / both_widths), "qk_dim": width, "v_dim": width}
    return Kernel(kernel=name, heads=heads, **sizes) if min(sizes.values()) > 0 else None


def _size(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else 0


def _whole(value: float) -> int:
    return int(value) if math.isfinite(value) and value == int(value) and value < LARGEST else 0
