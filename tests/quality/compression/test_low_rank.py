"""The product of lower rank that loses least, and the second moments that it is fitted to."""

import pytest
import torch

from suite.quality.compression.low_rank import (
    FOLDER,
    low_rank_factors,
    ranks_by_spectrum,
    rotary_pairs,
    second_moments,
    shared_moments,
)
from tests.lm.decoders import decoder, tokens

KEYS, WIDTH, RANK = 6, 10, 4


def drawn(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT_ED = drawn(2 * KEYS, WIDTH) * torch.tensor([[10.0]] * KEYS + [[1.0]] * KEYS, dtype=torch.float64)
X_ND = drawn(50, WIDTH, seed=1) * torch.linspace(0.1, 3, WIDTH, dtype=torch.float64)
MOMENTS_DD = X_ND.T @ X_ND / len(X_ND)


def factors(*, rank=RANK, fitted=True, balances=False):
    return low_rank_factors(
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


def test_the_weights_alone_give_their_truncated_svd():
    u, s, v = torch.linalg.svd(WEIGHT_ED, full_matrices=False)
    found = factors(fitted=False)
    torch.testing.assert_close(found.up_Er @ found.down_rD, u[:, :RANK] * s[:RANK] @ v[:RANK])
    assert found.down_rD.shape == (RANK, WIDTH)


def test_fitted_to_text_it_loses_the_least_of_its_rank():
    s = torch.linalg.svdvals(X_ND @ WEIGHT_ED.T)
    least = float((s[RANK:] ** 2).sum() / (s**2).sum())
    assert lost(factors()) == pytest.approx(least, rel=1e-9)
    assert lost(factors(fitted=False)) > 1.2 * least


@pytest.mark.parametrize("balances", [False, True])
def test_the_energy_kept_is_that_of_the_inputs(balances):
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


def test_second_moments_are_those_of_each_layers_inputs():
    model, windows = decoder("gqa"), tokens(3, 10)
    found = second_moments(model, windows.tolist())
    given = [seen_by(block.attention) for block in model.blocks]
    with torch.no_grad():
        for window in windows:
            model(window[None])
    for moments_DD, inputs in zip(found, given, strict=True):
        x_ND = torch.cat(inputs)
        torch.testing.assert_close(moments_DD, x_ND.T @ x_ND / len(x_ND))
    assert len(x_ND) == 30


def seen_by(layer):
    """Collect a layer's inputs from here on."""
    inputs, project = [], layer.project

    def watched(x_BSD, *others):
        inputs.append(x_BSD.flatten(0, 1).double())
        return project(x_BSD, *others)

    layer.project = watched
    return inputs


def test_cases_of_the_same_model_and_text_share_one_file(tmp_path):
    model, windows = decoder("gqa"), tokens(2, 8).tolist()
    asked = {"weights_digest": "a", "shared": tmp_path}
    first = shared_moments(model, windows, **asked)
    written = list((tmp_path / FOLDER).glob("*.pt"))
    again = shared_moments(decoder("gqa", seed=9), windows, **asked)  # what the digest names is not looked at twice
    assert torch.equal(first, again)
    assert list((tmp_path / FOLDER).glob("*.pt")) == written
    for changed in ({"windows": windows[:1]}, {"weights_digest": "b"}):
        shared_moments(model, **{"windows": windows, **asked, **changed})
    assert len(list((tmp_path / FOLDER).glob("*.pt"))) == 3


def test_ranks_by_spectrum_lose_the_least_of_their_budget():
    steep = drawn(8, WIDTH, seed=2) * torch.tensor([[100.0], *[[1.0]] * 7], dtype=torch.float64)
    weights, one_DD = [steep, drawn(8, WIDTH, seed=3)], torch.eye(WIDTH, dtype=torch.float64)
    asked = {"fitted_to": [None, None], "balances": False}
    ranks = ranks_by_spectrum(weights, rank=3, **asked)

    def lost_shares(ranks):
        pairs = zip(weights, ranks, strict=True)
        cut = {"fitted_to_DD": None, "balances": False, "moments_DD": one_DD}
        return sum(1 - low_rank_factors(weight, rank=rank, **cut).retained_variance for weight, rank in pairs)

    assert min(range(1, 6), key=lambda first: lost_shares([first, 6 - first])) == ranks[0] == 6 - ranks[1] < 3
    assert ranks_by_spectrum(weights, rank=8, **asked) == [8, 8]


def test_the_rotary_pairs_with_the_largest_scores_stay():
    layer = decoder("gqa").attention_layer(0)
    x_ND = drawn(40, layer.shape.hidden_size).float()
    moments_DD = (x_ND.T @ x_ND / len(x_ND)).double()
    q_NHhd, k_NGd = (x_ND @ layer.w_q.T).view(40, 2, 2, 2, 8), (x_ND @ layer.w_k.T).view(40, 2, 2, 8)
    scores_Gp = (q_NHhd**2).mean(0).sum((1, 2)) * (k_NGd**2).mean(0).sum(1)
    with torch.no_grad():
        found = rotary_pairs(layer.w_q, layer.w_k, shape=layer.shape, count=3, moments_DD=moments_DD)
    assert torch.equal(found, scores_Gp.topk(3, dim=1).indices.sort(dim=1).values)
