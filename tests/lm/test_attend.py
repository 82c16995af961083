"""Which of torch's kernels a decoder's grouped attention asks for, and that all of its forms are one function."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from suite.attention.problem import ValueLayout
from suite.lm import attend as module
from suite.lm.attend import attend, knows_groups, prompt_mask
from tests.lm.decoders import decoder, tokens

PROMPTS = torch.tensor([[False, False, True, True, True], [True] * 5, [False, True, True, True, True]])


class CalledError(Exception):
    """Torch's attention was called, which is all that was to be seen."""


class Calls(TorchFunctionMode):
    """Remembers how torch's attention was called."""

    def __init__(self, *, ends=False):
        super().__init__()
        self.seen, self._ends = [], ends

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            self.seen.append((*(tuple(tensor.shape) for tensor in args), kwargs))
            if self._ends:
                raise CalledError
        return func(*args, **(kwargs or {}))


def called(device, dtype, *, heads=4, groups=2, query_len=8, width=16, masked=False):
    """Call it with tensors that hold nothing, so that no such device is needed."""
    with FakeTensorMode(), Calls(ends=True) as calls:
        q, k, v = (
            torch.empty(3, size, length, width, dtype=dtype, device=device)
            for size, length in ((heads, query_len), (groups, 8), (groups, 8))
        )
        mask = torch.ones(3, 1, query_len, 8, dtype=torch.bool, device=device) if masked else None
        with pytest.raises(CalledError):
            attend(q, k, v, scale=0.25, value_layout=ValueLayout.SEPARATE, mask_B1ST=mask)
    ((q, k, v, settings),) = calls.seen
    return q, k, v, settings.get("enable_gqa", False), settings["attn_mask"]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_on_a_gpu_in_float32_no_kernel_is_asked_to_know_groups(masked, groups):
    q, k, v, knows, mask = called("cuda", torch.float32, groups=groups, masked=masked)
    assert not knows
    assert q == k == v == (3 * groups, 4 // groups, 8, 16)
    assert (None if mask is None else mask.shape) == ((3 * groups, 1, 8, 8) if masked else None)


@pytest.mark.parametrize(
    ("device", "dtype", "width", "masked", "knows"),
    [
        ("cpu", torch.float32, 16, True, True),
        ("cpu", torch.bfloat16, 512, False, True),
        ("cuda", torch.bfloat16, 256, False, True),
        ("cuda", torch.float16, 64, False, True),
        ("cuda", torch.bfloat16, 264, False, False),
        ("cuda", torch.bfloat16, 64, True, False),
        ("cuda", torch.float32, 64, False, False),
    ],
)
def test_groups_are_left_to_the_kernels_that_know_them(device, dtype, width, masked, knows):
    q, k, _, enabled, _ = called(device, dtype, width=width, masked=masked)
    assert enabled is knows
    assert (q[1] != k[1]) is knows


def test_autocast_decides_by_what_is_computed_in():
    with FakeTensorMode():
        q = torch.empty(1, 4, 8, 16, device="cuda")
    assert not knows_groups(q, has_mask=False)
    torch.set_autocast_enabled("cuda", True)  # torch.autocast does nothing where there is no GPU
    try:
        for dtype, knows in ((torch.bfloat16, True), (torch.float32, False)):
            torch.set_autocast_dtype("cuda", dtype)
            assert knows_groups(q, has_mask=False) is knows
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", torch.float16)


def test_one_new_token_and_equal_heads_are_called_as_ever():
    assert called("cuda", torch.float32, query_len=1)[0] == (3, 2, 2, 16)
    assert called("cuda", torch.float32, groups=4)[:4] == ((3, 4, 8, 16), (3, 4, 8, 16), (3, 4, 8, 16), False)


def outcome(variant, *, masked):
    """A decoder's prefill, its training pass and its gradients."""
    model = decoder(variant, dtype=torch.float64)
    mask = prompt_mask(PROMPTS, 9) if masked else None
    caches = model.new_caches(3, 9)
    with torch.no_grad():
        decoded = model.decode(tokens(3, 9), caches, 0, mask)
    trained = model(tokens(3, 9), mask)
    trained.square().sum().backward()
    return [decoded, trained.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("variant", ["gqa", "mqa", "mla"])
def test_folded_groups_compute_the_same_twice_the_same_bits(variant, masked, monkeypatch):
    expected = outcome(variant, masked=masked)
    monkeypatch.setattr(module, "knows_groups", lambda q, has_mask: False)
    with Calls() as calls:
        folded = outcome(variant, masked=masked)
    assert not any(settings.get("enable_gqa") for *_, settings in calls.seen)
    for ours, theirs in zip(folded, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-11)
    assert all(map(torch.equal, folded, outcome(variant, masked=masked)))
