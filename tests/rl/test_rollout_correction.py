import itertools
import math

import pytest
import torch

from suite.rl.rollout_correction import CORRECTIONS, NONE, correction_from, mismatch_readings, token_weights

BOUNDS = {"tis": {"cap": 2.0}, "mis": {"lowest": 0.5, "highest": 5.0}}
SAMPLED = torch.tensor([0.7, 0.2, 0.1])  # probabilities of three tokens by the policy that sampled
AT_START = torch.tensor([0.2, 0.3, 0.5])  # and by the one that learns
TOKENS = torch.tensor(list(itertools.product(range(3), repeat=2)))  # every completion of two tokens
LOG_W = (AT_START.log() - SAMPLED.log())[TOKENS]
MASK = torch.ones(LOG_W.shape)
SHARES = SAMPLED[TOKENS].prod(dim=1)  # of each completion among those sampled


def corrected(kind, **changes):
    bounds = dict.fromkeys(("cap", "lowest", "highest")) | BOUNDS.get(kind.rpartition("_")[2], {})
    bounds = {f"rollout_weight_{end}": bound for end, bound in bounds.items()}
    return correction_from({"rollout_correction": kind, **bounds, **changes})


def expected(kind, row):
    """The weights of a completion of two tokens, a number at a time."""
    w = [float(AT_START[token] / SAMPLED[token]) for token in row]
    w = [math.prod(w)] * 2 if kind.startswith("sequence") else w
    if kind.endswith("tis"):
        return [min(one, 2.0) for one in w]
    if kind.endswith("mis"):
        return [one if 0.5 <= one <= 5.0 else 0.0 for one in w]
    return w if kind == "decoupled" else [1.0, 1.0]


@pytest.mark.parametrize("kind", [kind for kind in CORRECTIONS if kind != NONE])
def test_weights_are_those_computed_one_by_one(kind):
    weights = token_weights(LOG_W, MASK, corrected(kind))
    torch.testing.assert_close(weights, torch.tensor([expected(kind, row) for row in TOKENS.tolist()]))


def test_padding_weighs_nothing_and_changes_nothing():
    mask = MASK.clone()
    mask[:, 1] = 0
    for kind in CORRECTIONS[1:]:
        weights = token_weights(LOG_W, mask, corrected(kind))
        assert not weights[:, 1].any()
        alone = token_weights(LOG_W[:, :1], mask[:, :1], corrected(kind))
        torch.testing.assert_close(weights[:, :1], alone)


def test_weights_of_long_completions_stay_finite():
    log_w = torch.full((1, 1_000), 1.0)
    for kind in CORRECTIONS[1:]:
        assert token_weights(log_w, torch.ones_like(log_w), corrected(kind)).isfinite().all()


def test_readings_are_the_means_over_what_was_sampled():
    """Each completion as often as its share says, in thousandths."""
    counts = (SHARES * 1_000).round().long()
    log_w, mask = (x.repeat_interleave(counts, dim=0) for x in (LOG_W, MASK))
    correction = corrected("token_tis")
    weights = token_weights(log_w, mask, correction)
    readings = mismatch_readings(log_w, mask, correction, weights)
    w = AT_START / SAMPLED
    assert readings["rollout_kl"] == pytest.approx(float((SAMPLED * (SAMPLED / AT_START).log()).sum()), rel=1e-5)
    assert readings["rollout_chi2"] == pytest.approx(float((SAMPLED * w**2).sum()) - 1, rel=1e-5)
    both = (AT_START[TOKENS] / SAMPLED[TOKENS]).prod(dim=1)
    assert readings["rollout_sequence_chi2"] == pytest.approx(float((SHARES * both**2).sum()) - 1, rel=1e-5)
    assert readings["rollout_masked"] == pytest.approx(0.1, rel=1e-5)  # the third token alone is above the cap
    least = w.clamp(max=2)
    effective = float((SAMPLED * least).sum() ** 2 / (SAMPLED * least**2).sum())
    assert readings["rollout_effective_samples"] == pytest.approx(effective, rel=1e-5)


def test_bounds_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"rollout_weight_lowest must be below rollout_weight_highest, 5; got 6"):
        corrected("token_mis", rollout_weight_lowest=6.0)
    with pytest.raises(ValueError, match="rollout_weight_cap must be a number above 0; got None"):
        corrected("token_tis", rollout_weight_cap=None)
