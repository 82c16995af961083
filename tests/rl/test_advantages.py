import pytest
import torch

from suite.rl.advantages import whiten
from tests.rl.examples import mask_of, padded, tensor

VALUES, MASK = tensor([4.0, 1.0, 7.0], [2.0, 9.0, 9.0]), mask_of([3, 1], 3)


def test_whitened_values_have_mean_zero_and_variance_one():
    white = whiten(VALUES, MASK)
    assert white[MASK > 0].mean().item() == pytest.approx(0, abs=1e-15)
    assert white[MASK > 0].var().item() == pytest.approx(1, abs=1e-8)
    assert white[0, 0].item() == pytest.approx(0.5 / 7**0.5, abs=1e-8)  # mean 3.5, variance (0.25+6.25+12.25+2.25)/3
    assert bool((white[MASK == 0] == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [[3, 1], [1, 0], [0, 0]])
def test_equal_or_single_values_whiten_to_exactly_zero(dtype, lengths):
    white = whiten(torch.full((2, 3), 0.1, dtype=dtype), mask_of(lengths, 3).to(dtype))
    assert bool((white == 0).all())


@pytest.mark.parametrize("garbage", [1e30, torch.nan])
def test_padding_has_no_part_in_it(garbage):
    white = whiten(padded(VALUES, right=2, filled=garbage), padded(MASK, right=2))
    torch.testing.assert_close(white, padded(whiten(VALUES, MASK), right=2), rtol=0, atol=1e-15)
