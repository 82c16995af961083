"""Which product of a lower rank loses least, against what another way of computing it says."""

import pytest
import torch

from suite.quality.compression.low_rank import factors_of

KEYS, WIDTH, RANK = 6, 10, 4


def drawn(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT_ED = drawn(2 * KEYS, WIDTH) * torch.tensor([[10.0]] * KEYS + [[1.0]] * KEYS, dtype=torch.float64)
X_ND = drawn(50, WIDTH, seed=1) * torch.linspace(0.1, 3, WIDTH, dtype=torch.float64)
MOMENTS_DD = X_ND.T @ X_ND / len(X_ND)


def factors(*, rank=RANK, fitted=True, balances=False):
    return factors_of(
        WEIGHT_ED, rank=rank, fitted_to_DD=MOMENTS_DD if fitted else None, balances=balances, moments_DD=MOMENTS_DD
    )


def lost(found, rows=slice(None)):
    """The squared error on the very inputs, over the squared norm of what they are mapped to."""
    wanted_NE = (X_ND @ WEIGHT_ED.T)[:, rows]
    kept_NE = (X_ND @ found.down_rD.T @ found.up_Er.T)[:, rows]
    return float(((wanted_NE - kept_NE) ** 2).sum() / (wanted_NE**2).sum())


@pytest.mark.parametrize("balances", [False, True])
@pytest.mark.parametrize("fitted", [False, True])
def test_full_rank_is_the_map_itself(fitted, balances):
    found = factors(rank=WIDTH, fitted=fitted, balances=balances)
    torch.testing.assert_close(found.up_Er @ found.down_rD, WEIGHT_ED)
    assert found.retained_variance == pytest.approx(1.0, abs=1e-12)


def test_the_weights_alone_give_their_truncated_singular_value_decomposition():
    u, s, v = torch.linalg.svd(WEIGHT_ED, full_matrices=False)
    found = factors(fitted=False)
    torch.testing.assert_close(found.up_Er @ found.down_rD, u[:, :RANK] * s[:RANK] @ v[:RANK])
    assert found.down_rD.shape == (RANK, WIDTH)


def test_fitted_to_text_it_loses_what_no_product_of_its_rank_can_keep():
    s = torch.linalg.svdvals(X_ND @ WEIGHT_ED.T)
    least = float((s[RANK:] ** 2).sum() / (s**2).sum())
    assert lost(factors()) == pytest.approx(least, rel=1e-9)
    assert lost(factors(fitted=False)) > 1.2 * least


@pytest.mark.parametrize("balances", [False, True])
def test_the_energy_that_is_said_to_be_kept_is_that_of_the_inputs(balances):
    for fitted in (False, True):
        found = factors(fitted=fitted, balances=balances)
        assert found.retained_variance == pytest.approx(1 - lost(found), abs=1e-9)


def test_balanced_values_are_kept_at_the_keys_expense():
    plain, balanced = factors(), factors(balances=True)
    keys, values = slice(KEYS), slice(KEYS, None)
    assert lost(balanced, values) < 0.5 * lost(plain, values)
    assert lost(balanced, keys) > lost(plain, keys)
    outputs_NE = X_ND @ WEIGHT_ED.T
    both = (outputs_NE[:, keys] ** 2).sum() / (outputs_NE[:, values] ** 2).sum()
    scaled_NE = torch.cat((outputs_NE[:, keys], outputs_NE[:, values] * both.sqrt()), dim=1)
    s = torch.linalg.svdvals(scaled_NE)
    told_apart = (lost(balanced, keys) + lost(balanced, values)) / 2
    assert told_apart == pytest.approx(float((s[RANK:] ** 2).sum() / (s**2).sum()), rel=1e-9)
