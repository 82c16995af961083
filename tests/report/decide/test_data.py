"""The data and the words of the page's chooser. tests/browser/test_choose.py asks its script questions."""

import json
import math
import re
from pathlib import Path

import pytest

import suite.report.page
from suite.configuration.files import choices, read_choice, read_text
from suite.report.decide.data import decide_data
from suite.theory.answers.step_memory import model_sizes
from suite.theory.layers.algebra import Pass
from suite.theory.layers.layer_plan import load_plan

MOST_BYTES = 150_000
SCRIPTS = Path(suite.report.page.__file__).parent / "scripts"
SAID = re.compile(r'say\("(\w+)"|"((?:why|unknown|refused)\.\w+)"')


def test_the_data_is_small_and_of_all_models_and_devices():
    data = decide_data()
    assert len(json.dumps(data, separators=(",", ":"))) < MOST_BYTES
    assert list(data["models"]) == list(choices("geometry"))
    assert set(data["devices"]) == set(choices("hardware"))
    assert data["models"]["llama-3.1-8b"]["rl"][0] == model_sizes(read_choice("geometry", "llama-3.1-8b")).hidden
    assert "rl" not in data["models"]["deepseek-v3"]


def test_the_scripts_say_every_word_and_no_other():
    names = ("served", "choose", "fit", "reasons", "decide")
    script = "".join((SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in names)
    words = {key.removeprefix("decide.") for key in read_text("report", "en") if key.startswith("decide.")}
    said = {first or second for first, second in SAID.findall(script)}
    assert len(said) > 60
    assert sorted(said - words) == []
    data = decide_data()
    by_data = {*data["sizes"], *data["orders"]}

    def is_said(word):
        starts = (f"`{word[:end]}${{" in script for end in range(1, len(word)))
        return f'"{word}"' in script or word in by_data or any(starts)

    assert sorted(word for word in words if not is_said(word)) == []


def value_of(form, **sizes):
    """What the page's script makes of a form."""
    if not isinstance(form, str):
        return form
    products = (product.split("*") for product in form.removeprefix("=").split("+"))
    return round(sum(math.prod(sizes[one] if one in sizes else float(one) for one in factors) for factors in products))


@pytest.mark.parametrize("name", ["deepseek-v3.2", "deepseek-v4-pro", "gemma-3-27b", "kimi-k3", "nemotron-3-super"])
def test_a_ranks_share_follows_from_the_coefficients(name):
    forms = decide_data()["models"][name]["layers"]
    for form, layer in zip(forms, load_plan(name).layers, strict=True):
        groups = form.get("groups", 1)
        shares = {"h": 1 / 8, "g": 1 / 8 if 8 % groups else 1 / groups}
        rank = layer.on_rank(8)
        step = Pass(batch=3, query_len=1, seq_len=5000, element_bytes=2)
        assert value_of(form.get("matrix", 0), **shares) == rank.matrix_parameters
        assert value_of(form.get("vector", 0), **shares) == rank.vector_parameters
        assert value_of(form.get("state", 0), **shares) == rank.state_bytes
        scans = [value_of(scan[0], **shares) for scan in form.get("scans", [])]
        assert scans == [scan.pair_flops for scan in rank.scans(step)]
