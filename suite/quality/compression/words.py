"""Which words of a play are frequent and which are rare, and which of a model's tokens belong to them.

A word is a run of letters, apostrophes within it included, in lower case: `lov'd`, `tis`; what stands on either side of
a hyphen is a word of its own. How often it occurs is counted in other plays than those that are read. No word are
punctuation, line ends, and the name of whoever speaks, which heads a paragraph: it is known from before and is no
speech. A name that heads fewer than LEAST_SPEECHES paragraphs of a play is taken for words.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FREQUENT, COMMON, RARE, OTHER = "frequent", "common", "rare", "other"
CLASSES = (FREQUENT, COMMON, RARE, OTHER)
FREQUENT_SHARE, COMMON_SHARE = 0.5, 0.4
"""Of all running words: the most frequent words that make up the first, then those that make up the second; what is
left, and what never occurs there, is rare."""
LEAST_SPEECHES = 3
LONGEST_NAME = 40
"""In characters."""
NO_WORD = -1
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FIRST_LINE = re.compile(rf"(?:^|(?<=\n))[ \t]*\n([^\n]{{1,{LONGEST_NAME}}})\n(?=[ \t]*\S)")

Span = tuple[int, int]
"""Characters of a text, from and up to."""


def words_in(text: str) -> list[Span]:
    """All but those of speakers' names, in order."""
    speakers = speakers_in(text)
    ends = [end for _, end in speakers]

    def is_of_a_speaker(span: Span) -> bool:
        place = bisect_right(ends, span[0])
        return place < len(ends) and speakers[place][0] <= span[0]

    return [found.span() for found in _WORD.finditer(text) if not is_of_a_speaker(found.span())]


def speakers_in(text: str) -> list[Span]:
    """Short first lines of paragraphs that go on, as often as the same one stands there."""
    lines = [found.span(1) for found in _FIRST_LINE.finditer(text)]
    counts = Counter(text[slice(*span)].strip() for span in lines)
    return [span for span in lines if counts[text[slice(*span)].strip()] >= LEAST_SPEECHES]


@dataclass(frozen=True, kw_only=True)
class Frequencies:
    frequent: frozenset[str]
    common: frozenset[str]

    @classmethod
    def in_texts(cls, texts: Iterable[str]) -> "Frequencies":
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text[slice(*span)].lower() for span in words_in(text))
        classes: dict[str, list[str]] = {FREQUENT: [], COMMON: [], RARE: []}
        running = 0
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            share = running / counts.total()
            place = FREQUENT if share < FREQUENT_SHARE else COMMON if share < FREQUENT_SHARE + COMMON_SHARE else RARE
            classes[place].append(word)
            running += count
        return cls(frequent=frozenset(classes[FREQUENT]), common=frozenset(classes[COMMON]))

    def class_of(self, word: str) -> str:
        word = word.lower()
        return FREQUENT if word in self.frequent else COMMON if word in self.common else RARE


def words_of_tokens(words: Sequence[Span], places: Iterable[Span]) -> list[int]:
    """For each token the number of the word that it is a part of: the first that its characters touch, or NO_WORD."""
    begins, ends = [begin for begin, _ in words], [end for _, end in words]

    def number(place: Span) -> int:
        first = bisect_right(ends, place[0])
        return first if first < bisect_left(begins, place[1]) else NO_WORD

    return [number(place) for place in places]
