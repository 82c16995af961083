"""Scaled rotary frequencies against figures that are known, and their limits."""

import math
from itertools import pairwise

import pytest

from suite.configuration.files import read_choice
from suite.theory.layers.geometry import geometry_from, geometry_names, load_geometry
from suite.theory.layers.rope import Llama3, Rope, Yarn

V3, V2, K2 = (load_geometry(name).rope for name in ("deepseek-v3", "deepseek-v2", "kimi-k2"))
PLAIN = Rope(theta=V3.theta)


@pytest.mark.parametrize(("rope", "mscale"), [(V3, 1.36889), (V2, 1.26080), (K2, 1.34657)])
def test_yarns_temperature_enters_the_softmax_scale_squared(rope, mscale):
    assert rope.score_factor == pytest.approx(mscale**2, abs=2e-5)
    assert rope.rotation_factor == 1.0


def test_yarn_keeps_fast_pairs_slows_slow_ones_and_blends():
    ratios = [scaled / plain for scaled, plain in zip(V3.frequencies(64), PLAIN.frequencies(64), strict=True)]
    assert ratios[-1] == pytest.approx(1 / 40)
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(ratios))
    # Pairs that turn 32 times and once over 4,096 positions: 10.4 and 22.5 of 32, rounded outwards.
    assert [ratio == pytest.approx(1.0) for ratio in ratios].index(False) == 11
    assert [ratio == pytest.approx(1 / 40) for ratio in ratios].index(True) == 23


def test_models_that_ship_with_scaled_frequencies_have_them():
    scaled = {name: rope.scaling for name in geometry_names() if (rope := load_geometry(name).rope).scaling}
    assert {name: (type(scaling), scaling.factor) for name, scaling in scaled.items()} == {
        **dict.fromkeys(("deepseek-v2", "deepseek-v2-lite", "deepseek-v3"), (Yarn, 40)),
        **dict.fromkeys(("kimi-k2", "gpt-oss-20b", "gpt-oss-120b"), (Yarn, 32)),
        "deepseek-v3.2": (Yarn, 40),
        "kimi-k2.5": (Yarn, 64),
        "mistral-small-4": (Yarn, 128),
        "ministral-3-8b": (Yarn, 16),
        "llama-4-scout": (Llama3, 16),
        **dict.fromkeys(("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b"), (Llama3, 8)),
        **dict.fromkeys(("llama-3.2-1b", "llama-3.2-3b"), (Llama3, 32)),
    }


def test_equal_bounds_of_yarns_ramp_leave_no_pair_between():
    ratios = [
        scaled / plain for scaled, plain in zip(K2.frequencies(64), Rope(theta=K2.theta).frequencies(64), strict=True)
    ]
    # One turn over 4,096 positions: 19.2 of 32, rounded to 19 and 20.
    assert ratios == pytest.approx([1.0] * 20 + [1 / 32] * 12)


def test_llama3_keeps_short_waves_and_slows_long_ones():
    rope = Rope(theta=500_000.0, scaling=Llama3(factor=8.0, original_max_position=8192.0))
    plain, scaled = Rope(theta=500_000.0).frequencies(128), rope.frequencies(128)
    for was, now in zip(plain, scaled, strict=True):
        wavelength = 2 * math.pi / was
        if wavelength < 8192 / 4:
            assert now == was
        elif wavelength > 8192:
            assert now == pytest.approx(was / 8)
        else:
            assert was / 8 < now < was


def test_a_factor_of_one_changes_nothing():
    rope = Rope(theta=10_000.0, scaling=Yarn(factor=1.0, original_max_position=4096.0))
    assert rope.frequencies(64) == pytest.approx(Rope(theta=10_000.0).frequencies(64))
    assert rope.score_factor == rope.rotation_factor == 1.0


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        ({"type": "ntk"}, "geometry.rope_scaling.type must be one of yarn, llama3; got 'ntk'"),
        ({"type": "yarn", "factor": -2}, "geometry.rope_scaling.factor must be a number above 0; got -2"),
        ({"type": "yarn", "factor": 2}, "geometry.rope_scaling does not fit its type"),
        ({"type": "yarn", "factor": 2, "original_max_position": 8, "beta": 1}, "beta"),
    ],
)
def test_scaling_that_is_wrong_in_itself_is_refused_by_name(scaling, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        geometry_from({**read_choice("geometry", "deepseek-v3"), "rope_scaling": scaling})
    with pytest.raises(ValueError, match=r"geometry\.name must be the model's name, .*; got None"):
        geometry_from(read_choice("geometry", "tiny") | {"name": None})


def test_equal_factors_of_llama3_leave_nothing_between():
    rope = Rope(theta=500_000.0, scaling=Llama3(factor=16.0, original_max_position=8192.0, high_freq_factor=1.0))
    plain = Rope(theta=500_000.0).frequencies(128)
    ratios = {after / before for after, before in zip(rope.frequencies(128), plain, strict=True)}
    assert ratios == {1.0, 1 / 16}


def test_a_ramp_that_is_not_truncated_begins_between_pairs():
    plain = [150_000.0 ** (-2 * pair / 64) for pair in range(32)]
    yarn = {"factor": 32.0, "original_max_position": 4096.0}
    # Pairs that turn 32 times and once over 4,096 positions: 8.1 and 17.4 of 32.
    whole, cut = (Yarn(**yarn, truncate=value).frequencies(plain, 150_000.0) for value in (True, False))
    assert [place for place in range(32) if whole[place] != pytest.approx(cut[place], rel=1e-9)] == list(range(9, 18))
