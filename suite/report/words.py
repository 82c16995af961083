"""Every sentence a reader sees, by language: suite/texts/report/<lang>.yaml holds dotted keys with {placeholders}."""

from collections.abc import Mapping
from dataclasses import dataclass

from suite.configuration import read_text


@dataclass(frozen=True, kw_only=True)
class Words:
    lang: str
    sentences: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The sentence under `key`, filled in. Values are inserted as they are: the page escapes the whole."""
        return self.sentences[key].format(**values)

    def either(self, key: str, otherwise: str) -> str:
        """The sentence under `key`, or `otherwise` for a name from a record that we do not know."""
        return self.sentences.get(key, otherwise)


def load_words(lang: str) -> Words:
    """Raises ValueError, naming the choices, for a language that is not there."""
    return Words(lang=lang, sentences=read_text("report", lang))
