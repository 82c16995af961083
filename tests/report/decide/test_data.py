"""The data and the words of the page's chooser. tests/browser/test_choose.py asks its script questions."""

import json
import re
from pathlib import Path

import suite.report.page
from suite.configuration.files import choices, read_choice
from suite.report.decide.data import decide_data, decide_words
from suite.theory.answers.step_memory import model_sizes

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
    words = {key.removeprefix("decide.") for key in decide_words("en")}
    said = {first or second for first, second in SAID.findall(script)}
    assert len(said) > 60
    assert sorted(said - words) == []
    data = decide_data()
    by_data = {*data["sizes"], *data["orders"]}

    def is_said(word):
        starts = (f"`{word[:end]}${{" in script for end in range(1, len(word)))
        return f'"{word}"' in script or word in by_data or any(starts)

    assert sorted(word for word in words if not is_said(word)) == []
