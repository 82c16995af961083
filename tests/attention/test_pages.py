import pytest
import torch

from suite.attention.cache import Cache
from suite.attention.pages import paged


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("length", "tokens"), [(64, 16), (128, 64), (48, 16), (24, 8)])
@pytest.mark.parametrize("lay_out", ["a cache with room", "tokens before heads", "a window of wider rows"])
def test_the_pages_of_a_table_hold_the_sequence_and_are_no_copy(batch, length, tokens, lay_out):
    if lay_out == "a cache with room":
        cache = Cache(
            batch=batch, kv_heads=2, length=length, widths=[5], dtype=torch.float32, device=torch.device("cpu")
        )
        cache.fill(torch.Generator().manual_seed(0))
        (x,) = cache.views()
    elif lay_out == "tokens before heads":
        x = torch.randn(batch, length + 7, 2, 5)[:, :length].transpose(1, 2)
    else:
        x = torch.randn(batch, 2, length, 9)[..., 4:]
    pages = paged(x, tokens)
    views = pages.view(x)
    assert views.data_ptr() == x.data_ptr()
    assert pages.table_BP.shape == (batch, length // tokens)
    together = views[pages.table_BP.long()]  # [batch, page, group, token, width]
    assert torch.equal(together.transpose(1, 2).flatten(2, 3), x)
