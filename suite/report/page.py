"""One HTML file that needs nothing else: no network, no fonts, plotly.js in it once and only where there is a figure.

Text is escaped by jinja2. Scripts are allowed by their hash alone (Content-Security-Policy), so that text which slipped
through would still not run, and the page can load or send nothing. plotly.js stands in it compressed, as data: the page
inflates it and runs it, which the policy allows for that very text.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from suite import __version__
from suite.records import numbers
from suite.report.charts import figure_text
from suite.report.facets import choices, told
from suite.report.findings import headlines
from suite.report.results import Results
from suite.report.section import Section
from suite.report.words import Words

HERE = Path(__file__).parent
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


def page(sections: Sequence[Section], results: Results, words: Words) -> str:
    """The whole page, as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    has_figures = any(section.figures for section in sections)
    plotly_js = _plotly_js() if has_figures else ""
    script = _script()
    return environment.get_template("page.html").render(
        words=words,
        version=__version__,
        intro=_intro(results, words),
        headlines=headlines(results, words),
        sections=sections,
        choices=choices(sections),
        script=Markup(script),
        plotly=_packed(plotly_js) if has_figures else "",
        policy=_policy([script, *([plotly_js] if has_figures else [])]),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        config=in_script(PLOTLY_CONFIG),
        figure_text=figure_text,
        told=told,
        in_script=in_script,
    )


def in_script(value: Any) -> Markup:
    """Plain data as JSON that cannot end the script element it stands in."""
    return Markup(json.dumps(value, ensure_ascii=False, allow_nan=False).translate(SAFE_IN_SCRIPT))


def _intro(results: Results, words: Words) -> str:
    if not results.records:
        return words("page.no_records")
    labels = words("punctuation.list").join(results.labels)
    return words("page.intro", records=numbers.count(len(results.records)), labels=labels)


def _script() -> str:
    parts = [(HERE / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(['"use strict";\n(() => {', *parts, "})();"])


def _plotly_js() -> str:
    # Imported here, since it takes longer than everything else and pages without figures do not need it.
    from plotly.offline import get_plotlyjs

    # A browser hashes a script with its line ends made \n.
    source: str = get_plotlyjs().replace("\r\n", "\n")
    return source


def _packed(source: str) -> str:
    """Less than half as long, and the same each time: a page that is written twice does not differ."""
    return base64.b64encode(gzip.compress(source.encode(), mtime=0)).decode()


def _policy(scripts: Sequence[str]) -> str:
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
