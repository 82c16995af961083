"""What is the same on the page of any records, made and rendered once: hundreds of tests here draw a whole page."""

import functools

import pytest

from suite.report import command
from suite.report.attention import cache, crossover, hardware, signmap
from suite.report.page import page
from suite.report.page.texts import Texts
from suite.theory.answers.published import published_caches, published_figures
from suite.theory.devices.calibration_file import load_calibration
from suite.theory.layers.layer_plan import LayerPlan

SAME = {}
"""Figures and tables of conf/ alone, by identity."""


def remembered(make):
    """`make`, which keeps what it answered, a figure or a table of conf/ alone."""

    @functools.cache
    def make_once(*given):
        block = make(*given)
        SAME[id(block)] = block
        return block

    return make_once


@functools.cache
def specified_crossovers(*given, draw=crossover.specified_crossovers):
    return draw(*given)


ROWS = {}


def device_row(name, ceilings, heads, tp, draw=signmap._device_row):
    """A row of the sign map by specification, once for each calibration that was in force."""
    calibration = load_calibration(name)
    key = name, ceilings, heads, tp, id(calibration)
    if key not in ROWS:
        ROWS[key] = calibration, draw(name, ceilings, heads, tp)  # it is kept, so that its identity stays its own
    return ROWS[key][1]


models_once = remembered(functools.partial(cache._models_figure, published_caches()))


class Table:
    """Lays out the rows of conf/ once, and other rows as ever."""

    def __init__(self, rows):
        self.rows, self.laid_out, self.draw = rows, None, cache.table

    def __call__(self, title, rows, columns, **given):
        if rows is not self.rows:
            return self.draw(title, rows, columns, **given)
        if self.laid_out is None:
            self.laid_out = remembered(lambda: self.draw(title, rows, columns, **given))()
        return self.laid_out


PUBLISHED = published_figures()
render_block = Texts.render_block


@functools.cache
def rendered(lang, identity):
    """A block that is the same on every page, in a language."""
    return render_block(page.load_texts(lang), SAME[identity])


KEPT = {
    (command, "decide_data"): functools.cache(command.decide_data),
    (cache, "_models_figure"): lambda _: models_once(),
    (cache, "_variants_figure"): remembered(cache._variants_figure),
    (cache, "table"): Table(published_caches()),
    (crossover, "specified_crossovers"): lambda *given: specified_crossovers(*map(tuple, given)),
    (hardware, "published_figures"): lambda: PUBLISHED,
    (hardware, "table"): Table(PUBLISHED),
    (signmap, "_device_row"): device_row,
    (LayerPlan, "longest_context"): functools.cache(LayerPlan.longest_context),
    (Texts, "render_block"): lambda texts, value: (
        rendered(texts.lang, id(value)) if id(value) in SAME else render_block(texts, value)
    ),
    (page, "packed_text"): functools.lru_cache(32)(page.packed_text),
}
"""Functions of their arguments and of conf/ alone, with themselves as they keep what they answered."""


@pytest.fixture(autouse=True, scope="module")
def _drawn_once():
    with pytest.MonkeyPatch.context() as patched:
        for (holder, name), kept in KEPT.items():
            patched.setattr(holder, name, kept)
        yield
