"""READMEs: their figures are the records', the reference of settings is the YAML's, links lead somewhere."""

import re

import pytest

import suite
from suite.report.command import _no_search_for_cycles
from tests.prose.documents import MARKED, documents, filled
from tests.prose.figures import FIGURES
from tests.prose.readers import REFERENCE, ROOT, effect, recipe

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")

ANSWERS = {ROOT / "README.md": "## Four answers", ROOT / "reports" / "README.zh.md": "## 四个回答"}
NUMBER = re.compile(r"(?<![\w.,-])[+−]?\d[\d.,]*(?:B\b)?(?: ?[%×])?(?![\w-])")
SETTINGS = {
    "16,384": "tokens of context of the committed records",
    "131,072": "tokens of context of the sign map; cached tokens of all sequences (conf/calibration)",
    "4,096": "cached tokens of all sequences (conf/calibration)",
    "32,768": "cached tokens of all sequences (conf/calibration)",
    "3.5": "Qwen3.5's own number",
    "397B": "Qwen3.5-397B's size",
    "128": "heads of the sign map; bytes a token of rank 24 and of MQA",
    "8": "new tokens a step, and ranks, of the sign map; DeepSeek-V2's report has 7 of 8 cells",
    "7": "DeepSeek-V2's report, table 9 (conf/claims.yaml)",
    "16": "the rank of the quality records",
    "59.1": "arXiv 2505.21487, table 5 (conf/claims.yaml)",
    "60.1": "arXiv 2505.21487, table 5 (conf/claims.yaml)",
    "1.47B": "arXiv 2505.21487, table 5 (conf/claims.yaml)",
    "2505.21487": "the paper's own number",
    "95 %": "the level of every interval",
}
"""Numbers of the answers that no record has: what was set, and what others published."""


def read(path):
    return path.read_text(encoding="utf-8")


def answers(path):
    """Return the section of the answers, without what a picture shows and where links lead."""
    section = read(path).partition(ANSWERS[path])[2].partition("\n## ")[0]
    assert section
    return re.sub(r"\]\([^)]*\)", "]", section)


def unmarked(text):
    """Return the numbers outside markers that are neither a setting nor a source's."""
    found = [number.rstrip(".,") for number in NUMBER.findall(MARKED.sub("", text))]
    return [number for number in found if number not in SETTINGS]


@_no_search_for_cycles()
def test_every_figure_in_prose_is_what_the_records_say():
    """And none of another verdict; all in one test, for which the records are read once."""
    differing = [path.relative_to(ROOT) for path in documents() if filled(path, read(path)) != read(path)]
    assert not differing, f"{differing} differ from records or settings: make figures"
    with pytest.raises(AssertionError, match="higher"):
        recipe("distill", "tiny", "open")
    with pytest.raises(AssertionError, match="open"):
        effect("arm", "reinforce_plus_plus |", "alike", "")


@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.name)
def test_no_number_of_an_answer_stands_outside_a_marker(path):
    assert len(MARKED.findall(answers(path))) > 20
    assert unmarked(answers(path)) == []


def test_a_number_that_no_record_holds_is_found():
    assert unmarked("It takes <!--=decode.mla-->12.6 ms<!--/-->, half of 23.3 ms, or 41 % (−2.5 to +3).") == [
        "23.3",
        "41 %",
        "−2.5",
        "+3",
    ]


def test_a_figure_that_was_changed_is_filled_anew(tmp_path):
    changed = "<!--=cache.mla-->35 MiB<!--/-->, <!--=map.h100-->9×<!--/-->"
    assert filled(tmp_path / "x.md", changed) == "<!--=cache.mla-->36 MiB<!--/-->, <!--=map.h100-->3.6×<!--/-->"


def test_both_languages_show_the_same_figures():
    english, chinese = ([match[2] for match in MARKED.finditer(read(path))] for path in ANSWERS)
    assert sorted(english) == sorted(chinese)


def test_every_figure_is_shown_somewhere():
    shown = {match[2] for path in documents() for match in MARKED.finditer(read(path))}
    assert shown == set(FIGURES)


def test_no_line_of_prose_begins_with_a_marker():
    """Markdown takes a line that begins with a comment as HTML, and shows what is emphasised in it with its stars."""
    begun = [line for path in documents() for line in read(path).splitlines() if re.match(r" *<!--=[^>]*-->.", line)]
    assert not begun


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    text = re.sub(r"^```.*?^```$", "", read(path), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if not re.match(r"https?:", target):
            found = (path.parent / file) if file else path
            assert found.exists(), target
            headings = (
                [line.lstrip("# ").lower().replace(" ", "-") for line in read(found).splitlines()] if anchor else ()
            )
            assert not anchor or anchor in headings, target


def test_the_readme_is_short_and_names_the_chinese_one_at_once():
    readme = read(ROOT / "README.md")
    assert len(readme.split()) <= 1200
    assert "reports/README.zh.md" in readme.splitlines()[7]
    assert len(read(ROOT / "CONTRIBUTING.md").split()) <= 500


def test_the_readmes_lines_of_python_run(monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```$", read(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(ROOT)
    *lines, drawn = filter(None, code.splitlines())
    assert len(lines) == 4
    exec("\n".join(lines), {})
    assert hasattr(suite.plot, re.match(r"suite\.plot\.(\w+)\(runs\)", drawn)[1])  # tests/notebook draws it
