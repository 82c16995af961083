"""The text that a model reads: plays cut into windows, their words by frequency, and the tokens that belong to them.

A word is a run of letters, apostrophes within it included, in lower case: `lov'd`, `tis`; what stands on either side of
a hyphen is a word of its own. Its frequency is counted in other plays than those that are read. Punctuation and line
ends are no words, nor is the name of a speaker, which heads a paragraph: it is known from before and is no speech. A
name that heads fewer than LEAST_SPEECHES paragraphs of a play is taken for words.
"""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from suite.lm.checkpoint.tokenizer import CheckpointTokenizer
from suite.lm.shakespeare import Play
from suite.measure.workload import UnsupportedError

T = TypeVar("T")

FREQUENT, COMMON, RARE, OTHER = "frequent", "common", "rare", "other"
CLASSES = (FREQUENT, COMMON, RARE, OTHER)
FREQUENT_SHARE, COMMON_SHARE = 0.5, 0.4
"""Shares of all running words: the most frequent words make up the first, the next ones the second; words that are
left, or never occur there, are rare."""
LEAST_SPEECHES = 3
LONGEST_NAME = 40  # characters of a speaker's name, at most
NO_WORD = -1
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FIRST_LINE = re.compile(rf"(?:^|(?<=\n))[ \t]*\n([^\n]{{1,{LONGEST_NAME}}})\n(?=[ \t]*\S)")

Span = tuple[int, int]  # indices of a text's characters, from and up to


def words_in(text: str) -> list[Span]:
    """Spans of all words of the text in order, without the words of speakers' names."""
    speakers = speakers_in(text)
    ends = [end for _, end in speakers]

    def is_speech(span: Span) -> bool:
        place = bisect_right(ends, span[0])
        return place == len(ends) or speakers[place][0] > span[0]

    return [word.span() for word in _WORD.finditer(text) if is_speech(word.span())]


def speakers_in(text: str) -> list[Span]:
    """Spans of speakers' names: short first lines of at least LEAST_SPEECHES paragraphs of this text."""
    lines = list(_FIRST_LINE.finditer(text))
    counts = Counter(line[1].strip() for line in lines)
    return [line.span(1) for line in lines if counts[line[1].strip()] >= LEAST_SPEECHES]


@dataclass(frozen=True, kw_only=True)
class Frequencies:
    frequent: frozenset[str]
    common: frozenset[str]

    @classmethod
    def in_texts(cls, texts: Iterable[str]) -> "Frequencies":
        """Count the texts' words: the most frequent that make up FREQUENT_SHARE of the running words, then
        COMMON_SHARE."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text[slice(*span)].lower() for span in words_in(text))
        classes: dict[str, list[str]] = {FREQUENT: [], COMMON: [], RARE: []}
        running = 0
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            share = running / counts.total()
            name = FREQUENT if share < FREQUENT_SHARE else COMMON if share < FREQUENT_SHARE + COMMON_SHARE else RARE
            classes[name].append(word)
            running += count
        return cls(frequent=frozenset(classes[FREQUENT]), common=frozenset(classes[COMMON]))

    def word_class(self, word: str) -> str:
        """`frequent`, `common` or `rare`, whatever the word's case."""
        word = word.lower()
        return FREQUENT if word in self.frequent else COMMON if word in self.common else RARE


def token_words(words: Sequence[Span], tokens: Iterable[Span]) -> list[int]:
    """For each token the index of its word, the first that its characters touch, or NO_WORD. `words` and `tokens`:
    spans of words and of tokens in one text, both in order."""
    begins, ends = [begin for begin, _ in words], [end for _, end in words]

    def word_at(token: Span) -> int:
        first = bisect_right(ends, token[0])
        return first if first < bisect_left(begins, token[1]) else NO_WORD

    return [word_at(token) for token in tokens]


@dataclass(frozen=True, kw_only=True)
class Window:
    ids: Sequence[int]
    classes: Sequence[str]  # classes of all tokens but the first, which is given
    words: Mapping[str, int]  # number of words of each class


def whole_windows(ids: Sequence[T], length: int) -> list[Sequence[T]]:
    """Cut consecutive windows of `length` from the beginning; the rest at the end, too short for one, is dropped."""
    bounds = range(0, len(ids) + 1, length)
    return [ids[begin:end] for begin, end in pairwise(bounds)]


def evenly_spaced(windows: Sequence[T], count: int, setting: str) -> list[T]:
    """Choose `count` windows at even distances. Raises UnsupportedError, naming the setting, if there are fewer."""
    if count > len(windows):
        raise UnsupportedError(
            f"{setting} must be at most {len(windows)}, the windows that the plays have; got {count}"
        )
    return [windows[int((number + 0.5) * len(windows) / count)] for number in range(count)]


def read_windows(
    plays: Iterable[Play], tokens: CheckpointTokenizer, frequencies: Frequencies, length: int
) -> list[Window]:
    """All whole windows of the plays, one play after the other, with the word class of each token."""
    windows: list[Window] = []
    for play in plays:
        ids, places = tokens.encode_with_places(play.text)
        words = words_in(play.text)
        numbers = token_words(words, places)
        classes = [frequencies.word_class(play.text[slice(*span)]) for span in words]
        counts = Counter(numbers)
        cut = zip(whole_windows(ids, length), whole_windows(numbers, length), strict=True)
        windows += [_window(window_ids, window_numbers, classes, counts) for window_ids, window_numbers in cut]
    return windows


def _window(ids: Sequence[int], numbers: Sequence[int], classes: Sequence[str], counts: Mapping[int, int]) -> Window:
    """A window with the class of each token and the number of words of each class. A word that the window cuts, or
    whose first token is given, is not counted: its tokens are of class `other`."""
    here = Counter(numbers[1:])
    whole = {number for number in here if number != NO_WORD and here[number] == counts[number]}
    token_classes = [classes[number] if number in whole else OTHER for number in numbers[1:]]
    words = Counter(classes[number] for number in whole)
    return Window(ids=ids, classes=token_classes, words={name: words[name] for name in CLASSES})
