import pytest
import torch

from suite.rl.registry import POLICY_LOSSES
from tests.rl.examples import mask_of, objective, padded

CLIPS = {"clip_ratio_low": 0.2, "clip_ratio_high": 0.3}
every_loss = pytest.mark.parametrize("name", POLICY_LOSSES.names)


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
