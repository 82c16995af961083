"""What is expected of good kernels against what others measured, device by device and family by family: no GPU needed.

.ci/tool benchmarks.expected
"""

import math
from collections.abc import Sequence
from statistics import median

from suite.records import numbers
from suite.report.model.experiment import grouped
from suite.theory.devices.calibration import MLA, Calibration, Cell, Kernel, relative_errors
from suite.theory.devices.calibration_file import known_calibrations, load_calibration

DEVICE = "h100-sxm5-80gb"
GLA = {1: "about 1.2", 2: "above 2"}
"""Published speed of GLA over FlashMLA on an H100, by new tokens (arXiv 2505.21487, section 5.3)."""
SHARES = {"MLA": (1.0, 610 / 989.4), "GLA": (0.93, 0.70)}
"""Shares of bandwidth and of the peak of its kernels, as the same source names them."""
BYTES, FLOPS, HEADS = 1152, {"MLA": 2 * 128 * (576 + 512), "GLA": 2 * 128 * (320 + 256)}, {"MLA": 128, "GLA": 64}
"""Of a token of context and one new token, at DeepSeek-V3's sizes, and the heads of one latent."""


def main() -> None:
    for calibration in known_calibrations():
        if calibration.measured:
            print(_line(calibration, calibration.name, calibration.measured))
            for of, cells in grouped(calibration.measured, lambda cell: cell.of).items():
                print(_line(calibration, f"  {of.family}", cells))
    for count, published in GLA.items():
        print(
            f"two latents of 64 heads over MLA, {count} new: {gla_speedup(count):.2f} expected, "
            f"{by_its_shares(count):.2f} by the shares that the paper names, {published} as it says"
        )


def _line(calibration: Calibration, name: str, cells: Sequence[Cell]) -> str:
    """The errors of the expected times of these cells: median, 90% and largest."""
    errors = relative_errors([(calibration, cell) for cell in cells])
    p90 = errors[math.ceil(0.9 * len(errors)) - 1]
    middle, most, largest = map(numbers.percent, (median(errors), p90, errors[-1]))
    return f"{name:<16}{len(errors):>4} cells, |expected/measured - 1| median {middle}, 90% {most}, largest {largest}"


def gla_speedup(count: int, tokens: int = 1 << 24) -> float:
    """The expected speed of GLA, with two latents as wide in all, over MLA's at a long context."""
    calibration = load_calibration(DEVICE)
    assert calibration is not None
    seconds = {
        name: calibration.decoded(
            Kernel(kernel=MLA, heads=HEADS[name], kv_heads=1, qk_dim=576, v_dim=512),
            flops=float(count * FLOPS[name] * tokens),
            traffic_bytes=float(BYTES * tokens),
        ).seconds
        for name in FLOPS
    }
    return seconds["MLA"] / seconds["GLA"]


def by_its_shares(count: int) -> float:
    """The same speed by the shares of the roofline that the paper names for its kernels, of which MLA's are older."""
    calibration = load_calibration(DEVICE)
    assert calibration is not None
    ceilings = calibration.ceilings
    seconds = {
        name: max(BYTES / ceilings.bytes_per_s / memory, count * FLOPS[name] / ceilings.flops_per_s / arithmetic)
        for name, (memory, arithmetic) in SHARES.items()
    }
    return seconds["MLA"] / seconds["GLA"]


if __name__ == "__main__":
    main()
