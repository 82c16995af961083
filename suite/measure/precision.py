"""The precision of float32 matrix products. A GPU may round their factors to TF32, which is another computation.

torch's own defaults have changed between versions and differ between its libraries: so they are set in every case, and
torch's answer is recorded. The parent checks the setting and holds no torch.
"""

from typing import Any

MATMUL_PRECISIONS = ("highest", "high", "medium")  # torch's own names: no rounding, TF32 or the like, bfloat16


def set_matmul_precision(precision: str | None) -> dict[str, Any]:
    """Set the precision of float32 products, `highest` for None. Returns torch's settings afterwards."""
    import torch

    torch.set_float32_matmul_precision(precision or "highest")
    torch.backends.cudnn.allow_tf32 = precision not in (None, "highest")
    return {
        "precision": torch.get_float32_matmul_precision(),
        "cuda_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }
