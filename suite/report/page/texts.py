"""Every sentence a reader sees, by language: suite/texts/report/<lang>.yaml holds dotted keys with {placeholders}."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from suite.configuration.files import languages, read_sentences, read_text
from suite.report.blocks import Joined, Say, Section, Text, View
from suite.report.plot.text import figure_text

LANGUAGES = languages("report")
PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of what holds no text that is rendered."""
SPACE_IN_CHINESE = re.compile(r"(?<=[\u4e00-\u9fff）：，。]) (?=[\u4e00-\u9fff（])")
"""A space that a placeholder has around it for Latin letters and digits, where Chinese was filled in."""
SECTIONS = "mla_grpo_suite.sections"  # the group of entry points in which other packages name sections of theirs


@dataclass(frozen=True, kw_only=True)
class Texts:
    """One language."""

    lang: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The sentence under `key`, filled in without escaping: the page escapes the whole. Raises KeyError."""
        return self.sentences[key].format(**values)

    def render(self, text: Text, foreign: Callable[[str], str] = str) -> str:
        """A text in this language, with the texts inside it. `foreign` is applied to plain strings."""
        if isinstance(text, str):
            return foreign(text)
        if isinstance(text, Joined):
            between = self.sentences.get(f"punctuation.{text.separator}", text.separator)
            return between.join(self.render(part, foreign) for part in text.parts)
        if text.otherwise is not None and text.key not in self.sentences:
            return self.render(text.otherwise, foreign)
        is_text = str | Say | Joined
        sentence = self.sentences[text.key].format(
            **{
                name: self.render(value, foreign) if isinstance(value, is_text) else value
                for name, value in text.fields
            }
        )
        return SPACE_IN_CHINESE.sub("", sentence) if self.lang == "zh" else sentence

    def section(self, section: Section) -> Section:
        """The section with every text rendered to a string."""
        rendered: Section = self.render_block(section)
        return rendered

    def render_block(self, value: Any) -> Any:
        """A section, figure, table or any part of one, with every text in it rendered to a string."""
        if type(value) in PLAIN:  # most of a page, and the checks below take ten times as long
            return value
        if isinstance(value, Say | Joined):
            return self.render(value)
        if isinstance(value, View):
            return View(title=self.render(value.title), figure=self.figure(value.figure))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{part.name: self.render_block(getattr(value, part.name)) for part in fields(value)})
        return self.map_inside(value, self.render_block)

    def figure(self, value: Any) -> Any:
        """A Plotly figure, or a part of one, rendered; plain strings in its sentences are made harmless to Plotly."""
        if type(value) in PLAIN:
            return value
        is_text = isinstance(value, Say | Joined)
        return self.render(value, figure_text) if is_text else self.map_inside(value, self.figure)

    def map_inside(self, value: Any, each: Any) -> Any:
        """Apply `each` to a mapping's values, or to a list's or tuple's items (gives a list); others are unchanged."""
        if isinstance(value, list | tuple):
            return [each(item) for item in value]
        return {name: each(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def foreign_sections() -> list[EntryPoint]:
    """Other packages' entry points for sections of theirs, sorted by name: `mine = "package.module:build"`."""
    return sorted(entry_points(group=SECTIONS), key=lambda point: point.name)


def load_texts(lang: str) -> Texts:
    """The texts of a language, with those that other packages' sections have beside them in `texts/`.

    What such a package does not say in this language it says in English. Raises ValueError, naming the choices, for a
    language that is not there, and for a key that two of them have.
    """
    sentences = dict(read_text("report", lang))
    for point in foreign_sections():
        spec = find_spec(point.module)
        folder = Path(spec.origin).parent / "texts" if spec and spec.origin else None
        for place in [folder / lang, folder / "en"] if folder else []:
            path = place if place.is_dir() else place.with_suffix(".yaml")
            if path.exists():
                package_sentences = read_sentences(path)
                if taken := sorted(sentences.keys() & package_sentences.keys()):
                    raise ValueError(f"the texts of {point.value} must have keys of their own; got {taken[0]!r} again")
                sentences |= package_sentences
                break
    return Texts(lang=lang, sentences=sentences)
