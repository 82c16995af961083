"""Fit the rows `products` of conf/calibration to public timings of matrix products and of experts: no GPU needed.

.ci/tool benchmarks.products FOLDER

FOLDER holds, for each GPU, what ai-dynamo/aiconfigurator has under systems/data: GPU/gemm/**/gemm_perf.parquet and
GPU/moe/**/moe_perf.parquet. Of each size the fastest framework counts. Floor and share are fitted on the sizes of one
half of the shapes, errors are of the other half: a shape has many numbers of rows, which must not lie on both sides.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from suite.theory.answers.capacity import WEIGHT_BYTES
from suite.theory.devices.calibration import DTYPE, EXPERTS, MATRICES
from suite.theory.devices.calibration_fit import share_and_floor
from suite.theory.devices.hardware import load_hardware

DEVICES = {
    "a100_sxm": "a100-80gb-sxm4",
    "h100_sxm": "h100-sxm5-80gb",
    "h200_sxm": "h200-sxm-141gb",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200-gpu",
}
WEIGHTS = {"bfloat16": DTYPE, "fp8": "fp8", "fp8_block": "fp8"}
ROWS = {MATRICES: (1, 2, 17, 65, 129, 257, 1025), EXPERTS: (1, 2, 17, 65, 257, 1025)}
SLOW = ("1.0.0", "1.1.0", "1.2.0rc5", "1.3.0rc4", "1.3.0rc5", "1.3.0rc10", "1.3.0rc15", "1.3.0rc17")
"""Versions of TRT-LLM that the decode kernels' fits leave out, too."""
LEAST_WIDTH = 512
"""The narrowest matrix; narrower ones are a floor alone."""
MOST_FITTED, FEWEST = 600, 30
SEED = 43


def main(folder: Path) -> None:
    """Print the rows `products` of each device's calibration."""
    for source, device in DEVICES.items():
        print(f"# {device}\nproducts:")
        for kind, rows in ((MATRICES, matrices(folder / source)), (EXPERTS, experts(folder / source))):
            for weights in dict.fromkeys(WEIGHTS.values()) if rows is not None else ():
                for line in fits(device, kind, weights, rows[rows.weights == weights]):
                    print(line)


def matrices(folder: Path) -> "pd.DataFrame | None":
    """Products of `rows` rows, with the parameters that are multiplied by and those that are read."""
    table = fastest(folder, "gemm", "gemm_dtype", ["m", "n", "k"])
    if table is None:
        return None
    table = table[(table.n >= LEAST_WIDTH) & (table.k >= LEAST_WIDTH) & (table.m >= 1)]
    size = table.n * table.k
    return table.assign(rows=table.m, multiplied=size, read=size, shape=table.n * 100_003 + table.k)


def experts(folder: Path) -> "pd.DataFrame | None":
    """Grouped products of a layer's experts, evenly routed and shared by tensor parallelism alone."""
    sizes = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]
    table = fastest(folder, "moe", "moe_dtype", sizes, distribution="balanced")
    if table is None:
        return None
    table = table[table.moe_ep_size == 1]
    expert = 3 * table.hidden_size * table.inter_size / table.moe_tp_size
    touched = table.num_experts * (1 - (1 - table.topk / table.num_experts) ** table.num_tokens)
    shape = table.hidden_size * 100_003 + table.inter_size * 1_009 + table.num_experts + table.topk
    return table.assign(rows=table.num_tokens, multiplied=table.topk * expert, read=touched * expert, shape=shape)


def fastest(folder: Path, kind: str, dtype: str, sizes: list[str], **only: str) -> "pd.DataFrame | None":
    """The least latency of each size and type of weights over frameworks; None where the folder has no such table."""
    tables = []
    for file in sorted(folder.glob(f"{kind}/**/*_perf.parquet")):
        table = pd.read_parquet(file)
        slow = (table.framework == "TRTLLM") & table.version.isin(SLOW)
        table = table[~slow & table[dtype].isin(WEIGHTS)]
        for name, value in only.items():
            table = table[table[name] == value]
        tables.append(table.assign(weights=table[dtype].map(WEIGHTS))[["weights", *sizes, "latency"]])
    if not tables:
        return None
    return pd.concat(tables).groupby(["weights", *sizes]).latency.min().reset_index()


def fits(device: str, kind: str, weights: str, table: pd.DataFrame) -> Iterator[str]:
    """Yield a row of YAML for each range of rows that has enough sizes."""
    ceilings = load_hardware(device).ceilings(DTYPE)
    assert ceilings is not None
    arithmetic = 2 * table.rows * table.multiplied / ceilings.flops_per_s
    bounds = np.maximum(arithmetic, WEIGHT_BYTES[weights] * table.read / ceilings.bytes_per_s)
    times = table.latency * 1e-3
    # The suite counts arithmetic in bfloat16: products in fp8 may take less, and count as no less in the fit alone.
    is_possible = (times >= bounds) | (weights != DTYPE)
    is_fitted = np.random.default_rng(SEED).random(200_003)[(table["shape"] % 200_003).astype(int)] < 0.5
    starts = ROWS[kind]
    for start, end in zip(starts, (*starts[1:], 10**9), strict=True):
        chosen = is_possible & (table.rows >= start) & (table.rows < end)
        fitted, unseen = chosen & is_fitted, chosen & ~is_fitted
        if min(fitted.sum(), unseen.sum()) < FEWEST:
            continue
        at = np.random.default_rng(SEED).permutation(int(fitted.sum()))[:MOST_FITTED]
        bound, time = bounds[fitted].to_numpy()[at], times[fitted].to_numpy()[at]
        share, floor_s = share_and_floor(bound, np.maximum(time, bound))
        errors = np.abs(np.log((floor_s + bounds[unseen] / share) / times[unseen]))
        median, p90 = np.quantile(errors, (0.5, 0.9))
        yield (
            f"- {{kind: {kind}, weights: {weights}, rows: {start}, share: {share:.2f}, floor_us: {floor_s * 1e6:.1f}, "
            f"median_error: {median:.3f}, p90_error: {p90:.3f}, cells: {chosen.sum()}}}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
