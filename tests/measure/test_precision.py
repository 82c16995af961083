import pytest
import torch

from suite.measure.precision import MATMUL_PRECISIONS, set_matmul_precision


@pytest.fixture(autouse=True)
def _restored():
    yield
    set_matmul_precision("highest")


def test_what_is_set_is_what_torch_says_afterwards():
    for precision in MATMUL_PRECISIONS:
        said = set_matmul_precision(precision)
        rounds = precision != "highest"
        assert said == {"precision": precision, "cuda_tf32": rounds, "cudnn_tf32": rounds}
        assert torch.get_float32_matmul_precision() == precision


def test_without_a_setting_nothing_is_rounded():
    set_matmul_precision("medium")
    assert set_matmul_precision(None)["precision"] == "highest"
