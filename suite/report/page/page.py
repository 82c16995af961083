"""One HTML file that needs nothing else: no network, no fonts, every language and all records in it.

The frame is small. Each view, what differs of it in other languages, the runs and plotly.js stand in it compressed, as
data, and are unpacked when they are asked for; all but the first view stand behind the script that shows it. So that is
there at once, however much the others hold. Scripts are allowed by their hash alone (Content-Security-Policy), so that
text which slipped through would still not run, and the page can load or send nothing; the policy allows plotly.js by
its very text. Text is put into the page as text, never as markup.
"""

import base64
import functools
import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from suite import __version__
from suite.records.metrics import METRICS
from suite.report.blocks import Answers, Section
from suite.report.model.results import Results
from suite.report.page.content import answers_content, ran_content, run_numbers, runs_content, view_content
from suite.report.page.texts import LANGUAGES, Texts, load_texts

HERE = Path(__file__).parent
SAFE_IN_SCRIPT = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})
PACKING = 7  # level 9 takes twice as long for one hundredth fewer bytes
LICENCE = re.compile(r"/\*[*!](?:(?!\*/).)*?(?:licen[cs]e|copyright).*?\*/", re.DOTALL | re.IGNORECASE)
STYLES = ("base", "frame", "answers", "section", "table", "decide", "runs", "print")
SCRIPTS = (
    *("values", "parts", "saving", "address", "traces", "points", "tables", "choices", "figures", "pinned", "section"),
    *("own", "answers", "served", "choose", "fit", "reasons", "decide", "runs", "dropped", "page"),
)
"""Files in scripts/, which become one: the last starts what the others define."""
ENGLISH = "en"
"""The language that stands in the page whole."""
OWN_TRACES = {"scatter", "bar", "heatmap"}
"""What our figures draw. For that plotly.js' cartesian bundle is enough, a third of the whole one in size and start."""
WORDS = ("page", "decide", "column", "clock", "span", "phase", "status", "punctuation")
"""First parts of the keys of sentences that scripts say."""


def page(
    views: Mapping[str, Sequence[Section]],
    results: Results,
    *,
    answers: Answers | None = None,
    decide: Any = None,
    lang: str = "en",
) -> str:
    """Render the whole page as HTML that opens in the language `lang`.

    `views`: sections by view, not yet rendered. `decide`: the data of the chooser, None for a page without it.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    languages = {name: load_texts(name) for name in LANGUAGES}
    libraries = _libraries(section for sections in views.values() for section in sections)
    sources = [gzip.decompress(base64.b64decode(packed_source)).decode() for packed_source in libraries.values()]
    # Each is packed once it is made: as plain data they take ten times as much memory.
    blocks = {name: packed(content) for name, content in _view_contents(views, answers, results, languages)}
    blocks |= {name: packed(content) for name, content in runs_content(results).items()}
    if decide is not None:
        blocks["decide"] = packed(decide)
    notices = [notice.replace("\\n", "\n") for source in sources for notice in LICENCE.findall(source)]
    script = "\n".join(['"use strict";\n(() => {', *(_asset("scripts", f"{name}.js") for name in SCRIPTS), "})();"])
    return environment.get_template("page.html").render(
        texts=languages[lang],
        version=__version__,
        policy=policy([script, *sources]),
        style=Markup("".join(_asset("css", f"{name}.css") for name in STYLES)),
        frame=in_script(_frame(views, languages, lang)),
        blocks=blocks,
        libraries=libraries,
        # The last is what plotly.js names as its own licence and does not hold.
        notices="\n\n".join([*notices, _asset("vendor", "mit.txt")]),
        script=Markup(script),
    )


def _view_contents(
    views: Mapping[str, Sequence[Section]],
    answers: Answers | None,
    results: Results,
    languages: Mapping[str, Texts],
) -> Iterable[tuple[str, Any]]:
    """Yield what each view shows, `answers` among them, as plain data: `en/speed`, and `zh/speed` as what differs."""
    english, numbers = languages[ENGLISH], run_numbers(results)

    def content(view: str, texts: Texts) -> dict[str, Any]:
        if view == "answers":
            return {**answers_content(answers, texts, english), "ran": ran_content(results, texts)}
        return view_content(views[view], texts, english, numbers)

    for view in ("answers", *(view for view, sections in views.items() if sections)):
        base = content(view, english)
        yield f"{ENGLISH}/{view}", base
        for name, texts in languages.items():
            if name != ENGLISH:
                yield f"{name}/{view}", difference(base, content(view, texts))


def difference(base: Any, other: Any) -> Any:
    """What turns `base` into `other` (`patched` in parts.js): a list of the new value alone, or by key or place what
    differs inside."""
    if isinstance(base, dict) and isinstance(other, dict) and base.keys() == other.keys():
        return {key: difference(part, other[key]) for key, part in base.items() if part != other[key]}
    if isinstance(base, list) and isinstance(other, list) and len(base) == len(other):
        pairs = enumerate(zip(base, other, strict=True))
        return {place: difference(part, changed) for place, (part, changed) in pairs if part != changed}
    return [other]


def _frame(views: Mapping[str, Sequence[Section]], languages: Mapping[str, Texts], lang: str) -> dict[str, Any]:
    """What the scripts need before a view is unpacked: languages, titles, words, units, and each view's sections."""
    return {
        "version": __version__,
        "lang": lang,
        "units": {name: metric.unit for name, metric in METRICS.items() if metric.unit},
        "views": {view: [section.id for section in sections] for view, sections in views.items()},
        "languages": {
            name: {
                "titles": {
                    section.id: texts.render(section.title) for sections in views.values() for section in sections
                },
                "words": {key: sentence for key, sentence in texts.sentences.items() if key.partition(".")[0] in WORDS},
            }
            for name, texts in languages.items()
        },
    }


def in_script(value: Any) -> Markup:
    """Plain data as JSON, escaped so that it cannot end the script element it stands in."""
    return Markup(_json(value).translate(SAFE_IN_SCRIPT))


def packed(value: Any) -> str:
    """Plain data as gzip-compressed JSON in base64."""
    return packed_text(_json(value))


def packed_text(text: str) -> str:
    """Text gzip-compressed, in base64; the same bytes each time, so that a page written twice does not differ."""
    # A foreign record may hold half a surrogate pair, which UTF-8 cannot write.
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), PACKING, mtime=0)).decode()


def policy(scripts: Iterable[str]) -> str:
    """A Content-Security-Policy under which these very scripts run, and nothing is loaded or sent."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@functools.cache
def _asset(folder: str, name: str) -> str:
    return (HERE / folder / name).read_text(encoding="utf-8")


def _libraries(sections: Iterable[Section]) -> dict[str, str]:
    """The packed sources of what the page needs: hyparquet, and plotly.js where there are figures."""
    libraries = {"hyparquet": packed_text(_asset("vendor", "hyparquet.min.js"))}
    views = [view for section in sections for figure in section.figures for view in figure.views]
    if {trace.get("type", "scatter") for view in views for trace in view.figure["data"]} - OWN_TRACES:
        from plotly.offline import get_plotlyjs  # takes long to import; only other packages' sections draw these

        # A browser hashes a script with its line ends made \n.
        libraries["plotly"] = packed_text(get_plotlyjs().replace("\r\n", "\n"))
    elif views:
        bundle = HERE / "vendor" / "plotly-cartesian.min.js.gz"
        libraries["plotly"] = base64.b64encode(bundle.read_bytes()).decode()
    return libraries
