"""The table "What we found": the cards of the sample report, so that prose, page and picture say the same."""

import functools
import re

from suite.report.answers.answers import build_answers
from suite.report.page.texts import load_texts
from tools.prose.readers import sample_results

HEADS = {
    "en": ("question", "answer", "evidence", "when it changes"),
    "zh": ("问题", "答案", "依据", "何时改变"),
}


@functools.cache
def sample_cards():
    return build_answers(sample_results(), "").cards


def answers(lang):
    """The cards as a table in Markdown."""
    texts = load_texts(lang)
    rows = [HEADS[lang], ("---",) * 4]
    for card in sample_cards():
        lead = texts.render_block(card.ruling.lead)
        inside = "; ".join(filter(None, [lead.interval, lead.count]))
        number = f"**{lead.written}**"
        number = texts("claim.number.with", written=number, inside=inside) if inside else number
        evidence = texts("claim.number.about", about=lead.about, written=number)
        answer = texts.render(card.answer)
        rows.append(
            (texts.render(card.question), answer[:1].upper() + answer[1:], evidence, texts.render(card.ruling.flips))
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return re.sub(r"(?<![\w-])-(?=\d)", "−", table)
