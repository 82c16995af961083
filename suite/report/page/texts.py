"""Every sentence a reader sees, by language: suite/texts/report/<lang>.yaml holds dotted keys with {placeholders}."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from suite.configuration import read_text
from suite.report.blocks import Joined, Say, Section, Text, View
from suite.report.charts import figure_text


@dataclass(frozen=True, kw_only=True)
class Texts:
    """One language."""

    lang: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """Return the sentence under `key`, filled in. Values are inserted as they are: the page escapes the whole."""
        return self.sentences[key].format(**values)

    def said(self, text: Text, foreign: Callable[[str], str] = str) -> str:
        """Return a text in this language, with all that stands in it. `foreign`: what is made of text not our own."""
        if isinstance(text, str):
            return foreign(text)
        if isinstance(text, Joined):
            between = self.sentences.get(f"punctuation.{text.by}", text.by)
            return between.join(self.said(part, foreign) for part in text.parts)
        if text.otherwise is not None and text.key not in self.sentences:
            return self.said(text.otherwise, foreign)
        is_text = str | Say | Joined
        return self.sentences[text.key].format(
            **{name: self.said(one, foreign) if isinstance(one, is_text) else one for name, one in text.fields}
        )

    def section(self, section: Section) -> Section:
        """Return a section that holds strings alone."""
        said: Section = self._plain(section)
        return said

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Say | Joined):
            return self.said(value)
        if isinstance(value, View):
            return View(title=self.said(value.title), figure=self._drawn(value.figure))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{one.name: self._plain(getattr(value, one.name)) for one in fields(value)})
        return self._inside(value, self._plain)

    def _drawn(self, value: Any) -> Any:
        """Return a figure that is said; what is not our own in it is made harmless."""
        return self.said(value, figure_text) if isinstance(value, Say | Joined) else self._inside(value, self._drawn)

    def _inside(self, value: Any, each: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: each(item) for name, item in value.items()}
        return [each(item) for item in value] if isinstance(value, list | tuple) else value


def load_texts(lang: str) -> Texts:
    """Return a language. Raises ValueError, naming the choices, for one that is not there."""
    return Texts(lang=lang, sentences=read_text("report", lang))
