"""The decode kernel of a record, by the sizes that calibrations speak of, and its time where a known GPU ran it.

They follow from the exact quantities that a record notes, so nothing that its settings name is loaded: a record may be
foreign. What cannot be such a kernel is None.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from suite.records.derived import by_launch, constant
from suite.records.record import Evidence, Record, Status
from suite.statistics.intervals import launched_interval
from suite.theory.calibration import DTYPE, ELEMENT_BYTES, GQA, MLA, Cell, Kernel
from suite.theory.hardware import hardware_reported_as

KERNEL = "kernel"
KERNELS = {"mha": GQA, "gqa": GQA, "mqa": GQA, "mla": MLA, "mla_absorbed": MLA}
"""Variants and their decode kernels. MHA and MQA are GQA."""
LARGEST = 1 << 31


def timed_kernel(record: Record) -> tuple[str, Cell] | None:
    """Return the device's name in conf/hardware, and its cell with the median of the kernel's timings."""
    is_measured = record.evidence is Evidence.MEASURED and record.status is Status.OK
    device, cell = _device(record), decode_cell(record) if is_measured else None
    timed = [reading for reading in record.readings if (reading.span, reading.metric) == (KERNEL, "latency_s")]
    usable = [reading for reading in timed if 0 < reading.value < math.inf]
    if device is None or cell is None or not usable:
        return None
    time_s, by = launched_interval(by_launch(usable)).median, str(record.provenance.get("backend") or "")
    return device, replace(cell, time_s=time_s, by=by)


def decode_cell(record: Record) -> Cell | None:
    """Return the kernel of an attention case in decode and bfloat16, without its time."""
    axes = record.case.axes
    kernel = _kernel(record) if record.case.workload == "attention" and axes.get("phase") == "decode" else None
    if kernel is None or axes.get("dtype") != DTYPE:
        return None
    batch, seq_len, query_len = (_size(axes.get(name)) for name in ("batch", "seq_len", "query_len"))
    return Cell(of=kernel, batch=batch, seq_len=seq_len, query_len=query_len, time_s=0)


def _device(record: Record) -> str | None:
    if not str(record.case.axes.get("device")).startswith("cuda"):
        return None
    used, gpus = record.provenance.get("device"), record.environment.get("gpus")
    name = used.get("name") if isinstance(used, Mapping) else None
    first = gpus[0] if isinstance(gpus, list) and gpus else None
    return hardware_reported_as(str(name or first))


def _kernel(record: Record) -> Kernel | None:
    """Find widths and groups from FLOPs and from the cache's bytes: 2 B H N (d_qk + d_v), and B S elements."""
    axes, geometry = record.case.axes, record.settings.get("geometry")
    name = KERNELS.get(str(axes.get("attention")))
    heads = _size(geometry.get("num_heads")) if isinstance(geometry, Mapping) else 0
    batch, seq_len, query_len, tp = (_size(axes.get(axis)) for axis in ("batch", "seq_len", "query_len", "tp"))
    flops, cache_bytes = constant(record, KERNEL, "flops"), constant(record, "case", "cache_bytes")
    if name is None or axes.get("cache_dtype") is not None or not flops or not cache_bytes:
        return None
    if not all((heads, batch, tp, query_len)) or heads % tp or query_len > seq_len:
        return None
    of_rank, pairs = heads // tp, query_len * (2 * seq_len - query_len + 1) // 2
    both = _whole(flops / (2 * batch * of_rank * pairs))
    elements = _whole(cache_bytes / (ELEMENT_BYTES * batch * seq_len))
    if not both or not elements:
        return None
    if name == MLA:
        sizes = {"kv_heads": 1, "qk_dim": elements, "v_dim": both - elements}
    else:
        sizes = {"kv_heads": _whole(elements / both), "qk_dim": _whole(both / 2), "v_dim": _whole(both / 2)}
    return Kernel(kernel=name, heads=of_rank, **sizes) if min(sizes.values()) > 0 else None


def _size(value: object) -> int:
    """Return a size; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else 0


def _whole(value: float) -> int:
    """Return a whole number; 0 for another."""
    return int(value) if math.isfinite(value) and value == int(value) and value < LARGEST else 0
