"""Documents that hold figures, and how they are filled: markers by figures.py, and the table "What we found" whole.

The table has the cards of the sample report, so that prose, page and picture say the same.
"""

import functools
import re

from suite.report.answers.answers import build_answers
from suite.report.page.texts import load_texts
from tools.prose.figures import FIGURES
from tools.prose.readers import ROOT, sample_results

HEADS = {
    "en": ("question", "answer", "evidence", "when it changes"),
    "zh": ("问题", "答案", "依据", "何时改变"),
}
MARKED = re.compile(r"(<!--=(\w+\.\w+)-->)(.*?)(<!--/-->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- figures:answers -->\n)(.*?)(<!-- /figures:answers -->)", re.DOTALL)
"""A block that is generated whole: of the sentences around it only the one on null rates has markers."""


def documents():
    """The checkout's Markdown files, those beside records and in environments left out."""
    folders = [ROOT, *(ROOT / name for name in ("reports", "results", "tests", ".cluster", ".devcontainer"))]
    below = [path for name in ("conf", "suite") for path in (ROOT / name).rglob("*.md")]
    return sorted([*(path for folder in folders for path in folder.glob("*.md")), *below])


def filled(path, text):
    """The document's text with every figure as the records have it, in the language of its name."""
    lang = "zh" if ".zh" in path.suffixes else "en"
    text = BLOCK.sub(lambda match: f"{match[1]}{answers(lang)}\n{match[3]}", text)
    return MARKED.sub(lambda match: f"{match[1]}{figure_text(match[2])}{match[4]}", text)


@functools.cache
def figure_text(name):
    """A figure's text, made once for all documents. Raises KeyError for a name that figures.py does not have."""
    return FIGURES[name]()


@functools.cache
def sample_cards():
    """The answers on the sample report, which is built once."""
    return build_answers(sample_results(), "").cards


def answers(lang):
    """The sample's answers as a table in Markdown."""
    texts = load_texts(lang)
    rows = [HEADS[lang], ("---",) * 4]
    for card in sample_cards():
        lead = texts.render_block(card.ruling.lead)
        inside = texts("punctuation.notes").join(filter(None, [lead.interval, lead.count]))
        number = f"**{lead.written}**"
        number = texts("claim.number.with", written=number, inside=inside) if inside else number
        evidence = texts("claim.number.about", about=lead.about, written=number)
        answer = texts.render(card.answer)
        rows.append(
            (texts.render(card.question), answer[:1].upper() + answer[1:], evidence, texts.render(card.ruling.flips))
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return re.sub(r"(?<![\w-])-(?=\d)", "−", table)
