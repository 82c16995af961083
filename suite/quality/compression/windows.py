"""Plays cut into windows of equally many tokens: what a model reads at once, and which words are told apart in it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from suite.lm.shakespeare import Play
from suite.measure.workload import UnsupportedError
from suite.quality.compression.words import CLASSES, NO_WORD, OTHER, Frequencies, Span, words_in, words_of_tokens

T = TypeVar("T")


class Tokens(Protocol):
    """See suite.lm.checkpoint.tokenizer.Words."""

    def encode_with_places(self, text: str) -> tuple[list[int], list[Span]]: ...


@dataclass(frozen=True, kw_only=True)
class Window:
    ids: Sequence[int]
    classes: Sequence[str]
    """Of each token but the first, which is given."""
    words: Mapping[str, int]
    """How many of each class."""


def whole_windows(ids: Sequence[T], length: int) -> list[Sequence[T]]:
    """From the beginning on; what is left at the end is dropped."""
    bounds = range(0, len(ids) + 1, length)
    return [ids[begin:end] for begin, end in pairwise(bounds)]


def evenly(windows: Sequence[T], count: int, setting: str) -> list[T]:
    """So many of them, evenly spread. Raises UnsupportedError where there are fewer; `setting` is what asked."""
    if count > len(windows):
        raise UnsupportedError(f"{setting}={count} is more than the {len(windows)} windows that the plays have")
    return [windows[int((number + 0.5) * len(windows) / count)] for number in range(count)]


def read_windows(plays: Iterable[Play], tokens: Tokens, frequencies: Frequencies, length: int) -> list[Window]:
    """All whole windows of the plays, one play after the other."""
    found: list[Window] = []
    for play in plays:
        ids, places = tokens.encode_with_places(play.text)
        words = words_in(play.text)
        numbers = words_of_tokens(words, places)
        classes = [frequencies.class_of(play.text[slice(*span)]) for span in words]
        counts = Counter(numbers)
        cut = zip(whole_windows(ids, length), whole_windows(numbers, length), strict=True)
        found += [_window(part, of_part, classes, counts) for part, of_part in cut]
    return found


def _window(ids: Sequence[int], numbers: Sequence[int], classes: Sequence[str], counts: Mapping[int, int]) -> Window:
    """A word that the window cuts, or whose first token is given, is none: its tokens are of class `other`."""
    here = Counter(numbers[1:])
    whole = {number for number in here if number != NO_WORD and here[number] == counts[number]}
    of_tokens = [classes[number] if number in whole else OTHER for number in numbers[1:]]
    words = Counter(classes[number] for number in whole)
    return Window(ids=ids, classes=of_tokens, words={name: words[name] for name in CLASSES})
