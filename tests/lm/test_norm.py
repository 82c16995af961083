import torch
from torch.nn import functional as F

from suite.lm.decoder import rms_norm
from tests.lm.decoders import generator


def test_the_norm_and_its_gradients_are_torchs():
    x = torch.randn(3, 5, 8, dtype=torch.float64, generator=generator(), requires_grad=True)
    gain = torch.randn(8, dtype=torch.float64, generator=generator(1), requires_grad=True)
    given = torch.randn(3, 5, 8, dtype=torch.float64, generator=generator(2))
    ours, theirs = rms_norm(x, gain, 1e-2), F.rms_norm(x, (8,), gain, 1e-2)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    for mine, other in zip(*(torch.autograd.grad(y, (x, gain), given) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)
