"""Every backend on a CUDA device, at the sizes of models, against float64. From the repository root, where one is:

python -m pytest tests/kernels/test_on_device.py
"""

import os
from dataclasses import replace

import pytest
import torch

from suite.attention.check import compare
from suite.attention.problem import ValueLayout
from suite.configuration.files import choices, locate, read_choice
from suite.measure.workload import UnsupportedError
from tests.kernels import shapes

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET=1: nothing is compiled"),
    pytest.mark.filterwarnings("default"),  # other packages' own, and Triton's
]
SIZES = {"heads": 32, "kv_heads": 4, "seq_len": 4096, "dtype": torch.bfloat16, "device": torch.device("cuda")}
GQA_8 = replace(shapes.GQA_8, **SIZES)
ABSORBED = replace(GQA_8, heads=128, kv_heads=1, qk_dim=576, v_dim=512, value_layout=ValueLayout.PREFIX_OF_KEY)
PROBLEMS = {
    "MHA": replace(GQA_8, kv_heads=32),
    "GQA-8": GQA_8,
    "GQA-8, ragged": replace(GQA_8, seq_len=4001),
    "GQA-8, 4 new tokens": replace(GQA_8, query_len=4),
    "GQA-8, float16": replace(GQA_8, dtype=torch.float16),
    "GQA-8, float32": replace(GQA_8, dtype=torch.float32),
    "MQA": replace(GQA_8, kv_heads=1),
    "MQA, 128 heads": replace(GQA_8, heads=128, kv_heads=1),
    "prefill": replace(GQA_8, query_len=1024, seq_len=1024),
    "MLA absorbed, 128 heads": ABSORBED,
    "MLA absorbed, 128 heads, 4 new tokens, ragged": replace(ABSORBED, query_len=4, seq_len=4001),
    "MLA absorbed, 128 heads, 2 new tokens": replace(ABSORBED, query_len=2),
    "MLA absorbed, 16 heads": replace(ABSORBED, heads=16),
    "MLA absorbed, 32 heads": replace(ABSORBED, heads=32),
    "MLA absorbed, 16 heads, float32": replace(ABSORBED, heads=16, dtype=torch.float32),
    "MLA expanded": replace(GQA_8, heads=16, kv_heads=16, qk_dim=192, value_layout=ValueLayout.SUFFIX_OF_BUFFER),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("name", choices("backend"))
@torch.inference_mode()
def test_every_backend_agrees_with_float64_or_is_refused(name, problem):
    inputs = shapes.drawn(problem, spare=16, behind=1.0)
    try:
        backend = locate(read_choice("backend", name)["_target_"])(problem).autotuned(*inputs)
    except UnsupportedError as error:
        pytest.skip(str(error))
    comparison = compare(backend(*inputs), inputs, problem, torch.Generator(problem.device).manual_seed(0))
    assert comparison.passed, comparison
