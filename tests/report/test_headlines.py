"""The numbers of every headline, looked up in what the figure below it draws; over committed records."""

import re
from dataclasses import replace
from itertools import permutations
from operator import itemgetter
from pathlib import Path

import pytest

from suite.configuration.files import locate, read_yaml
from suite.report.blocks import Joined, Say
from suite.report.command import _garbage_collector_off
from suite.report.model.experiment import grouped
from suite.report.model.results import read_results
from suite.report.page.texts import load_texts

REFERENCE = Path(__file__).parents[2] / "results/reference"
FOLDERS = tuple(f"cpu/{name}" for name in ("attention", "call_form", "crossover", "mha_heavy", "sign_map", "train"))
"""Some cases here ran by `auto` and by backends that were asked for by name."""
LEARNT = ("cpu/quality", "cpu/quality_controls", "cpu/recipes", "cpu/rl_curves", "cpu/rl_memory", "cpu_rl_feedback")
BUILDS = [name for view in ("speed", "memory", "quality", "rl") for name in read_yaml("report.yaml")["views"][view]]
NUMBER = re.compile(r"\d[\d,.]*(?: ?(?:ns|µs|ms|s|[KMGT]?i?B|m?J|×|%)(?!\w))?")
EXEMPT = {
    ("latency", "range"): "the ends of a ratio follow from two intervals, as tests/statistics holds",
    ("callstyle", "range"): "as above",
    ("latency", "fell"): "a number of cases, as tests/report/attention/test_latency.py holds",
    ("latency", "count"): "as above",
    ("roofline", "share"): "a median over all points, as tests/report/attention/test_roofline.py holds",
    ("roofline", "count"): "the number of these points",
    ("quality", "floor"): "the score of guessing, which a task has by definition",
    ("rl_memory", "share"): "one minus the ratio of the two peaks that the sentence names, which are looked up",
    **dict.fromkeys(
        [("rl_stability", name) for name in ("pairs", "runs", "failed", "collapsed")],
        "numbers of pairs or runs, as tests/report/rl/test_stability.py holds",
    ),
    **dict.fromkeys(
        [("signmap", name) for name in ("one", "last", "devices", "most", "mla", "gqa", "open", "count")],
        "numbers of cells or pairs, as tests/report/attention/test_signmap.py holds",
    ),
    **dict.fromkeys(
        [("cache", name) for name in ("state", "even", "full", "layers")],
        "one published model's layers, as tests/report/attention/test_cache.py holds",
    ),
}
"""Fields of a section's sentences that no figure shows, with the reason."""


@pytest.fixture(scope="module")
@_garbage_collector_off()
def sections():
    results = read_results([REFERENCE / name for name in (*FOLDERS, *LEARNT)])
    records = [replace(current, label="cpu") for current in results.records]  # as one folder of all has them
    results = replace(results, labels=["cpu"], records=records)
    return {section.id: section for name in BUILDS if (section := locate(name)(results))}


def quantities(text):
    """Each field of a sentence that is a number, with its unit if it has one."""
    for part in text.parts if isinstance(text, Joined) else ():
        yield from quantities(part)
    for name, value in text.fields if isinstance(text, Say) else ():
        if isinstance(value, Say | Joined):
            yield from quantities(value)
        elif NUMBER.fullmatch(str(value)):
            yield name, str(value)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from strings(part)


def numbers_in(*parts):
    return {number for part in parts for text in strings(part) for number in NUMBER.findall(text)}


def ratios(view):
    """The ratio of every two points of a view that share a place on one of its axes, or of every two bars."""
    for place, value in (("x", "y"), ("y", "x")):
        values = [
            ("" if trace["type"] == "bar" else str(at), size)
            for trace in view.figure["data"]
            for at, size in zip(trace.get(place, ()), trace.get(value, ()), strict=False)
            if isinstance(size, int | float) and size > 0
        ]
        for at_place in grouped(values, itemgetter(0)).values():
            yield from (first[1] / other[1] for first, other in permutations(at_place, 2))


def is_ratio(value, figure):
    written = float(value.removesuffix("×").replace(",", "")) if value.endswith("×") else None
    return written is not None and any(
        abs(ratio / written - 1) < 0.006 for view in figure.views for ratio in ratios(view)
    )


def test_each_number_of_a_finding_stands_in_its_figure(sections):
    texts, checked = load_texts("en"), 0
    for id, section in sections.items():
        for figure in section.figures:
            said = texts.render_block(figure)
            shown = numbers_in([view.figure for view in said.views], said.title)
            for field, value in quantities(figure.finding):
                if (id, field) not in EXEMPT:
                    assert value in shown or is_ratio(value, said), (id, said.title, said.settings, said.finding, value)
                    checked += 1
    assert checked > 400


def test_each_number_of_a_headline_stands_in_its_section(sections):
    texts, checked = load_texts("en"), 0
    for id, section in sections.items():
        said = texts.section(section)
        shown = numbers_in([[view.figure for view in figure.views] for figure in said.figures])
        shown |= numbers_in([[table.rows, table.note] for table in said.tables])
        for headline in section.headlines:
            for field, value in [*quantities(headline.text), *quantities(headline.detail)]:
                if (id, field) not in EXEMPT:
                    is_shown = value in shown or any(is_ratio(value, figure) for figure in said.figures)
                    assert is_shown, (id, field, value, said.headlines)
                    checked += 1
    assert checked > 10


@pytest.mark.parametrize("id", ["latency", "memory"])
def test_the_variant_a_finding_names_is_the_least_drawn(sections, id):
    texts, checked = load_texts("en"), 0
    for figure in sections[id].figures:
        said, fields = texts.render_block(figure), dict(quantities(figure.finding))
        if "tokens" in fields and "alone" not in str(figure.finding.key if isinstance(figure.finding, Say) else ""):
            at = int(fields["tokens"].replace(",", ""))
            drawn = {
                trace["name"]: y
                for trace in said.views[0].figure["data"]
                for x, y in zip(trace["x"], trace["y"], strict=True)
                if x == at
            }
            least = min(drawn, key=drawn.__getitem__).partition(" · ")[0]
            assert least in said.finding.partition(";")[0], (said.title, said.settings, said.finding, drawn)
            checked += 1
    assert checked > 5
