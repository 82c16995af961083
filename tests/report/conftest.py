"""What is the same on the page of any records is computed once: hundreds of tests here draw a whole page."""

import functools

import pytest

from suite.report import command
from suite.report.attention import crossover
from suite.report.page import page
from suite.theory.layers.layer_plan import LayerPlan

crossovers_once = functools.cache(crossover.specified_crossovers)
COMPUTED_ONCE = {
    (command, "decide_data"): functools.cache(command.decide_data),
    (crossover, "specified_crossovers"): lambda *lists: crossovers_once(*map(tuple, lists)),
    (LayerPlan, "longest_context"): functools.cache(LayerPlan.longest_context),
    (page, "packed_text"): functools.lru_cache(32)(page.packed_text),
}
"""Functions of their arguments and of conf/ alone."""


@pytest.fixture(autouse=True, scope="module")
def _computed_once():
    with pytest.MonkeyPatch.context() as patched:
        for (owner, name), function in COMPUTED_ONCE.items():
            patched.setattr(owner, name, function)
        yield
