"""What is the same on the page of any records, drawn once: hundreds of tests here draw a whole page."""

import functools

import pytest

from suite.report import command
from suite.report.attention import crossover
from suite.report.page import page
from suite.theory.layers.layer_plan import LayerPlan


@functools.cache
def specified_crossovers(*given, draw=crossover.specified_crossovers):
    return draw(*given)


KEPT = {
    (command, "decide_data"): functools.cache(command.decide_data),
    (crossover, "specified_crossovers"): lambda *given: specified_crossovers(*map(tuple, given)),
    (LayerPlan, "longest_context"): functools.cache(LayerPlan.longest_context),
    (page, "packed_text"): functools.lru_cache(32)(page.packed_text),
}
"""Functions of their arguments and of conf/ alone, with themselves as they keep what they answered."""


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch):
    for (holder, name), kept in KEPT.items():
        monkeypatch.setattr(holder, name, kept)
