"""Documents that hold figures, and how their markers are filled."""

import functools
import re

from tools.prose.answers import answers
from tools.prose.figures import FIGURES
from tools.prose.readers import ROOT

MARKED = re.compile(r"(<!--=(\w+\.\w+)-->)(.*?)(<!--/-->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- figures:answers -->\n)(.*?)(<!-- /figures:answers -->)", re.DOTALL)
"""A block that is generated whole: the sentences around it hold no markers."""
IN_CHINESE = {
    r"(\d+) of (\d+)": r"\2 次中 \1 次",
    " points": " 个百分点",
    " times": " 倍",
    " to ": " 至 ",
    r" \(": "（",
    r"\)": "）",
}


def documents():
    """Return the checkout's Markdown files, those beside records and in environments left out."""
    folders = [ROOT, *(ROOT / name for name in ("reports", "results", "tests", ".cluster", ".devcontainer"))]
    below = [path for name in ("conf", "suite") for path in (ROOT / name).rglob("*.md")]
    return sorted([*(path for folder in folders for path in folder.glob("*.md")), *below])


def filled(path, text):
    """Return a document with every figure as the records have it, in the language of its name."""
    is_chinese = ".zh" in path.suffixes
    text = BLOCK.sub(lambda match: f"{match[1]}{answers('zh' if is_chinese else 'en')}\n{match[3]}", text)
    return MARKED.sub(lambda match: f"{match[1]}{said(match[2], is_chinese=is_chinese)}{match[4]}", text)


@functools.cache
def read_once(name):
    """Return a figure's text in English; several documents show most of them."""
    return FIGURES[name]()


def said(name, *, is_chinese=False):
    """Return a figure's text. Raises KeyError for a name that figures.py does not have."""
    text = read_once(name)
    for english, chinese in IN_CHINESE.items() if is_chinese else ():
        text = re.sub(english, chinese, text)
    return text
