"""The script that fits products, on a made folder whose times are known."""

from pathlib import Path

import pandas as pd

from tests.benchmarks.products import main

WIDTHS = (1024, 2048, 3072, 4096, 5120, 6144, 8192, 10_240, 12_288, 16_384)
SHARE, FLOOR_S, BYTES_PER_S = 0.8, 4e-6, 3.35e12


def written(folder, version, factor):
    """Timings of eight rows, as slow as `factor` says."""
    shapes = [(n, k) for n in WIDTHS for k in WIDTHS]
    times = [factor * (FLOOR_S + 2 * n * k / BYTES_PER_S / SHARE) for n, k in shapes]
    table = pd.DataFrame({"m": 8, "n": [n for n, _ in shapes], "k": [k for _, k in shapes]})
    table = table.assign(framework="TRTLLM", version=version, gemm_dtype="bfloat16", latency=[1e3 * t for t in times])
    place = folder / "h100_sxm" / "gemm" / "trtllm" / version
    place.mkdir(parents=True)
    table.to_parquet(place / "gemm_perf.parquet")


def test_the_fastest_framework_is_fitted_without_error(tmp_path: Path, capsys):
    written(tmp_path, "1.3.0rc20", 1.0)
    written(tmp_path, "1.4.0", 1.5)
    written(tmp_path, "1.0.0", 0.9)  # left out, as its decode kernels are
    main(tmp_path)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]
    assert row.startswith("- {kind: matrices, weights: bfloat16, rows: 2, share: 0.80, floor_us: 4.0, ")
    assert "median_error: 0.000" in row
    assert row.endswith("cells: 100}")
