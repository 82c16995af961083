"""One HTML file that needs nothing else: no network, no fonts, plotly.js in it once and only where there is a figure.

Text is escaped by jinja2. Scripts are allowed by their hash alone (Content-Security-Policy), so that text which slipped
through would still not run, and the page can load or send nothing. plotly.js stands in it compressed, as data: the page
inflates it and runs it, which the policy allows for that very text.
"""

import base64
import functools
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from suite import __version__
from suite.records import numbers
from suite.report.blocks import Section
from suite.report.model.results import Results
from suite.report.page.filters import choices, table_facets
from suite.report.page.texts import Texts
from suite.report.plot.text import figure_text

HERE = Path(__file__).parent
COMMENT = re.compile(r"/\*[*!].*?\*/", re.DOTALL)
PLOTLY_CONFIG = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
SCRIPTS = ("values", "saving", "controls", "tables", "traces", "points", "figures", "page")
"""Files in scripts/, which become one: the last starts what the others define."""
SAFE_IN_SCRIPT = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


def page(sections: Sequence[Section], results: Results, texts: Texts, made_of: str = "") -> str:
    """Return the whole page, as text. `made_of`: a digest of the folders that it was asked for."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    plotly_js = _plotly_js() if any(section.figures for section in sections) else ""
    parts = [(HERE / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    script = "\n".join(['"use strict";\n(() => {', *parts, "})();"])
    fields = {"records": numbers.count(len(results.records)), "labels": texts("punctuation.list").join(results.labels)}
    return environment.get_template("page.html").render(
        texts=texts,
        version=__version__,
        intro=texts("page.intro", **fields) if results.records else texts("page.no_records"),
        headlines=[headline for section in sections for headline in section.headlines],
        sections=sections,
        choices=choices(sections),
        script=Markup(script),
        plotly=_packed(plotly_js) if plotly_js else "",
        plotly_version=_plotly_version(plotly_js),
        notices=_notices(plotly_js) if plotly_js else "",
        policy=_policy(filter(None, [script, plotly_js])),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        config=in_script(PLOTLY_CONFIG),
        figure_text=figure_text,
        facets_of_table=table_facets,
        in_script=in_script,
        made_of=made_of,
    )


def in_script(value: Any) -> Markup:
    """Return plain data as JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value, ensure_ascii=False, allow_nan=False).translate(SAFE_IN_SCRIPT))


@functools.cache
def _plotly_js() -> str:
    # Imported here, since it takes longer than everything else and pages without figures do not need it.
    from plotly.offline import get_plotlyjs

    # A browser hashes a script with its line ends made \n.
    source: str = get_plotlyjs().replace("\r\n", "\n")
    return source


def _plotly_version(source: str) -> str:
    """Return it as its own first comment gives it; empty where it does not."""
    found = re.search(r"plotly\.js v(\S+)", source[:1000])
    return found[1] if found else ""


def _notices(source: str) -> str:
    """Return the licences of plotly.js and what is bundled in it: packed as it is, nobody could read them there."""
    notices = [text for text in COMMENT.findall(source) if re.search("licen[cs]e|copyright", text, re.IGNORECASE)]
    # What plotly.js names as its own licence and does not hold.
    mit = (HERE / "mit.txt").read_text(encoding="utf-8")
    return "\n\n".join([*(notice.replace("\\n", "\n") for notice in notices), mit])


@functools.cache
def _packed(source: str) -> str:
    """Return it less than half as long, and the same each time: a page that is written twice does not differ."""
    return base64.b64encode(gzip.compress(source.encode(), mtime=0)).decode()


def _policy(scripts: Iterable[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
