import math

import pytest
import torch

from suite.rl.losses import Divisors, aggregate
from suite.rl.policy_losses import cispo, gspo, sapo, vanilla
from suite.rl.registry import POLICY_LOSSES
from tests.rl.examples import mask_of, objective, padded, tensor

CLIPS = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.3}
every_loss = pytest.mark.parametrize("name", POLICY_LOSSES.names)


def of_ratios(module, ratios, advantages, **changes):
    """The loss of one completion whose tokens have these ratios; the policy that sampled gave each token a half."""
    old = torch.full_like(ratios, math.log(0.5))
    log_p = (old + ratios.log()).requires_grad_()
    term = module.token_losses(log_p, old, advantages, torch.ones_like(ratios), objective(**CLIPS | changes))
    (gradient,) = torch.autograd.grad(term.loss_NT.sum(), log_p)
    return term, gradient


def close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-14)


def test_the_clipped_surrogate_takes_the_smaller_gain():
    ratios, advantages = tensor([0.5, 1.1, 2.0, 0.5, 1.1, 2.0]), tensor([2.0, 2, 2, -2, -2, -2])
    term, gradient = of_ratios(vanilla, ratios, advantages)
    close(term.loss_NT, tensor([-1.0, -2.2, -2.6, 1.6, 2.2, 4.0]))
    close(gradient, tensor([-1.0, -2.2, 0, 0, 2.2, 4.0]))
    close(term.clipped_low_NT, tensor([0.0, 0, 0, 1, 0, 0]))
    close(term.clipped_high_NT, tensor([0.0, 0, 1, 0, 0, 0]))


def test_the_dual_clip_bounds_the_loss_of_a_bad_token_only():
    ratios, advantages = tensor([5.0, 5.0, 2.0]), tensor([2.0, -2.0, -2.0])
    term, gradient = of_ratios(vanilla, ratios, advantages, clip_ratio_c=3.0)
    close(term.loss_NT, tensor([-2.6, 6.0, 4.0]))
    close(gradient, tensor([0.0, 0, 4.0]))
    close(term.clipped_high_NT, tensor([1.0, 1, 0]))


def test_gspo_clips_the_geometric_mean_of_a_completions_ratios():
    ratios = tensor([2.0, 0.5, 1.331])
    term, gradient = of_ratios(gspo, ratios, tensor([3.0, 3, 3]))
    close(term.loss_NT, tensor([-3.3, -3.3, -3.3]))
    close(gradient, tensor([-3.3, -3.3, -3.3]))  # each of three losses has a third of it at every token
    term, gradient = of_ratios(gspo, ratios**4, tensor([3.0, 3, 3]))
    close(term.loss_NT, tensor([-3.9, -3.9, -3.9]))
    close(gradient, torch.zeros_like(ratios))
    close(term.clipped_high_NT, torch.ones_like(ratios))


def test_gspo_is_the_papers_mean_over_completions():
    old = torch.zeros(2, 3, dtype=torch.float64)
    log_p = tensor([0.1, 0.2, 0.3], [0.1, 9.0, 9.0])
    mask = mask_of([3, 1], 3)
    advantages = tensor([2.0, 2, 2], [-1.0, 0, 0])
    term = gspo.token_losses(log_p, old, advantages, mask, objective(**CLIPS))
    loss = aggregate(term.loss_NT, mask, "seq-mean-token-mean", Divisors.from_mask(mask, longest=3))
    assert loss.item() == pytest.approx((-2 * math.exp(0.2) + math.exp(0.1)) / 2, abs=1e-15)


def test_cispo_clips_the_weight_and_no_token_loses_its_gradient():
    ratios, advantages = tensor([0.5, 1.1, 2.0]), tensor([2.0, -2.0, 2.0])
    term, gradient = of_ratios(cispo, ratios, advantages)
    close(gradient, tensor([-0.8 * 2, 1.1 * 2, -1.3 * 2]))
    close(term.loss_NT, gradient * (ratios / 2).log())
    close(term.clipped_low_NT, tensor([1.0, 0, 0]))
    close(term.clipped_high_NT, tensor([0.0, 0, 1]))


def test_sapo_closes_a_gate_and_never_clips():
    ratios, advantages = tensor([1.0, 1.5, 4.0, 0.5, 4.0]), tensor([2.0, 2, 2, -2, -2])
    term, gradient = of_ratios(sapo, ratios, advantages, sapo_tau_pos=1.0, sapo_tau_neg=2.0)
    openness = [1 / (1 + math.exp(-tau * (ratio - 1))) for tau, ratio in zip([1, 1, 1, 2, 2], ratios[0], strict=True)]
    taus = tensor([1.0, 1, 1, 2, 2])
    close(term.loss_NT, -advantages * 4 / taus * tensor(openness))
    close(gradient, -advantages * ratios * 4 * tensor(openness) * (1 - tensor(openness)))
    assert gradient[0, 0] == -2.0
    assert abs(gradient[0, 4]) < abs(gradient[0, 2])  # the same ratio and size, but a bad token
    assert not term.clipped_low_NT.any() | term.clipped_high_NT.any()


@every_loss
def test_the_gradient_on_policy_is_that_of_reinforce(name):
    log_p = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    mask, advantages = mask_of([4, 2, 0], 4), tensor([1.0], [-2.0], [3.0]).expand(3, 4)
    term = POLICY_LOSSES.load(name)(log_p, log_p.detach(), advantages * mask, mask, objective(**CLIPS))
    (gradient,) = torch.autograd.grad(
        aggregate(term.loss_NT, mask, "seq-mean-token-sum", Divisors(tokens=1, sequences=1, longest=1)), log_p
    )
    close(gradient, -advantages * mask)
    assert term.clipped_low_NT.sum() + term.clipped_high_NT.sum() == 0


@every_loss
@pytest.mark.parametrize("garbage", [1e3, torch.nan])
def test_no_content_of_padding_matters(name, garbage):
    generator = torch.Generator().manual_seed(3)
    log_p, old = (0.3 * torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)).unbind()
    mask, advantages = mask_of([5, 0, 2, 4], 5), torch.randn(4, 1, generator=generator, dtype=torch.float64)

    def loss_and_gradient(left, right):
        leaf, wide = log_p.clone().requires_grad_(), padded(mask, left=left, right=right)

        def pad(part):
            return torch.where(wide > 0, padded(part, left=left, right=right), garbage)

        term = POLICY_LOSSES.load(name)(pad(leaf), pad(old), pad(advantages * mask), wide, objective(**CLIPS))
        for by_token in (term.clipped_low_NT, term.clipped_high_NT, term.loss_NT):
            assert bool((by_token[wide == 0] == 0).all())
        return term.loss_NT.sum(), torch.autograd.grad(term.loss_NT.sum(), leaf)[0]

    loss, gradient = loss_and_gradient(0, 0)
    assert bool(gradient.isfinite().all())
    for got, wanted in zip(loss_and_gradient(3, 2), (loss, gradient), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
