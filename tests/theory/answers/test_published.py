"""Figures that others measured, against our closed forms: none can be faster than the least time that we compute."""

from collections import Counter

import pytest

from suite.configuration.files import choices, read_choice
from suite.theory.answers import published
from suite.theory.answers.published import published_figures
from suite.theory.layers.shapes import kernel_work


def of(kernel, unit, value):
    """The only figure with this value."""
    (found,) = [one for one in published_figures() if (one.kernel, one.unit, one.published) == (kernel, unit, value)]
    return found


def test_no_published_kernel_is_faster_than_its_roofline():
    for figure in published_figures():
        assert 0 < figure.share <= 1, figure


def test_every_number_of_every_source_is_a_figure():
    figures = Counter(figure.source for figure in published_figures())
    for name in choices("published"):
        source = read_choice("published", name)
        numbers = [result[unit] for result in source["results"] for unit in published.UNITS if unit in result]
        count = sum(len(one) if isinstance(one, dict) else 1 for one in numbers)
        assert figures[source["source"]] == count > 0
    assert figures.total() == 81


def test_the_shares_that_sources_name_themselves_are_found_again():
    # FlashAttention-3's post: 740 TFLOP/s are 75% of an H100; FlashAttention-2's paper: 230 are 73% of an A100.
    assert of("FlashAttention-3", "TFLOP/s", 740).share == pytest.approx(0.75, abs=0.005)
    assert of("FlashAttention-2", "TFLOP/s", 230).share == pytest.approx(0.73, abs=0.01)
    assert of("FlashAttention-4", "TFLOP/s", 1605).share == pytest.approx(0.71, abs=0.005)


def test_an_unmasked_forward_pass_counts_as_its_source_does():
    # 756 of 989.4 TFLOP/s; with the backward pass we count 3 where the source counts 3.5.
    assert of("FlashAttention-3", "TFLOP/s", 756).share == pytest.approx(756 / 989.4, rel=1e-6)
    assert of("FlashAttention-2", "TFLOP/s", 203).share == pytest.approx(203 / 312 * 3 / 3.5, rel=1e-6)


def test_a_causal_pass_counts_the_whole_triangle():
    figure = of("FlashAttention-3", "TFLOP/s", 616)
    assert figure.share == pytest.approx(616 / 989.4 * (16384 + 1) / 16384, rel=1e-6)
    # S / 4 = 128 FLOP/B at 512 causal tokens, and an H100's ridge is at 295.
    assert of("FlashAttention-3", "TFLOP/s", 292).regime == "memory"


def test_a_closed_form_that_counted_twice_would_be_caught(monkeypatch):
    monkeypatch.setattr(published, "kernel_work", lambda shape, forward: kernel_work(shape, forward) * 2)
    assert max(figure.share for figure in published_figures()) > 1
