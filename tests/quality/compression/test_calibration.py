"""What the layers of a model are given on text, as sums that several cases share."""

import torch

from suite.quality.compression.calibration import FOLDER, second_moments, shared_moments
from tests.lm.decoders import decoder, tokens


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


def test_a_model_that_was_looked_at_is_watched_no_more():
    model = decoder("gqa")
    second_moments(model, tokens(1, 4).tolist())
    assert not any(block._forward_pre_hooks for block in model.blocks)


def seen_by(layer):
    """What a layer is given from here on."""
    inputs, project = [], layer.project

    def watched(x_BSD, *others):
        inputs.append(x_BSD.flatten(0, 1).double())
        return project(x_BSD, *others)

    layer.project = watched
    return inputs


def test_cases_of_the_same_model_and_text_share_one_file_and_others_have_their_own(tmp_path):
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
