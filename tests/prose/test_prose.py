"""READMEs: their figures are the records', the reference of settings is the YAML's, links lead somewhere."""

import re

import pytest

import suite
from suite.report.command import _garbage_collector_off
from suite.report.page.texts import LANGUAGES, load_texts
from suite.report.runs import trust
from tools.prose import readers
from tools.prose.documents import MARKED, documents, filled
from tools.prose.figures import FIGURES
from tools.prose.readers import REFERENCE, ROOT, effect, recipe

pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="the records are a part of a checkout alone")

READMES = (ROOT / "README.md", ROOT / "reports" / "README.zh.md")


def read(path):
    return path.read_text(encoding="utf-8")


@_garbage_collector_off()
def test_every_figure_in_prose_is_what_the_records_say():
    """And none of another verdict; all in one test, for which the records are read once."""
    differing = [path.relative_to(ROOT) for path in documents() if filled(path, read(path)) != read(path)]
    assert not differing, f"{differing} differ from records or settings: make figures"
    assert "| MHA | 2.70 s |" in filled(ROOT / "x.md", "<!--=rows.prefill-->9 s<!--/-->")
    with pytest.raises(AssertionError, match="higher"):
        recipe("distill", "tiny", "open")
    with pytest.raises(AssertionError, match="open"):
        effect("arm", "reinforce_plus_plus |", "alike", "")


@_garbage_collector_off()
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_sample_page_says_which_folders_it_leaves_out(lang, monkeypatch):
    section = load_texts(lang).section(trust.build(readers.sample_results()))
    (note,) = [headline for headline in section.headlines if "cpu_rl_tuned" in headline.detail]
    folders = {path.name for path in REFERENCE.iterdir() if path.is_dir()}
    assert {name for name in folders if re.search(rf"{name}\b", note.detail)} == folders - {*readers.SAMPLE.values()}
    assert set(re.findall(r"\d+", note.text)) == {str(len(folders) - len(readers.SAMPLE)), str(len(folders))}
    monkeypatch.setitem(readers.LEFT_OUT, "repeated", ())
    with pytest.raises(ValueError, match="cpu_one_launch"):
        readers.sample_results.__wrapped__()


def test_every_figure_is_shown_somewhere():
    shown = {match[2] for path in documents() for match in MARKED.finditer(read(path))}
    assert shown == set(FIGURES)


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


def test_the_readmes_lines_of_python_run(monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```$", read(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(ROOT)
    *lines, drawn = filter(None, code.splitlines())
    assert len(lines) == 4
    exec("\n".join(lines), {})
    assert hasattr(suite.plot, re.match(r"suite\.plot\.(\w+)\(runs\)", drawn)[1])  # tests/api draws it
