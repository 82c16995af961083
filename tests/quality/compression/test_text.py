"""Frequent, common and rare words, and the tokens that belong to them."""

from suite.lm.shakespeare import Play
from suite.quality.compression.text import (
    Frequencies,
    evenly_spaced,
    read_windows,
    speakers_in,
    token_words,
    whole_windows,
    words_in,
)
from tests.quality.compression.cases import Characters

DIALOGUE = """
HAM.
To be, or not to be.

[Exit.]

HAM.
Words.

OPHELIA.
My lord?

HAM.
Well-belov'd.
"""


def spoken(text):
    return [text[slice(*span)] for span in words_in(text)]


def test_words_are_letters_and_apostrophes_within_them():
    told = ["Tis", "well", "belov'd", "o", "night", "naïve", "rd", "x"]
    assert spoken("'Tis well-belov'd, o' night -- naïve 3rd_x") == told


def test_names_of_speakers_are_no_words_where_they_recur():
    assert [DIALOGUE[slice(*span)] for span in speakers_in(DIALOGUE)] == ["HAM."] * 3
    assert spoken(DIALOGUE)[:8] == ["To", "be", "or", "not", "to", "be", "Exit", "Words"]
    assert spoken(DIALOGUE)[8:] == ["OPHELIA", "My", "lord", "Well", "belov'd"]


def test_a_short_line_that_stands_alone_names_no_speaker():
    assert speakers_in("\n[Exit.]\n\n[Exit.]\n\n[Exit.]\n\n") == []


def test_words_are_frequent_common_or_rare_by_running_share():
    text = " ".join(["the"] * 5 + ["and"] * 2 + ["cat", "dog"] + ["owl"])
    found = Frequencies.in_texts([text])
    assert (found.frequent, found.common) == ({"the"}, {"and", "cat", "dog"})
    classes = [found.word_class(word) for word in ("The", "AND", "owl", "unseen")]
    assert classes == ["frequent", "common", "rare", "rare"]


def test_a_token_belongs_to_the_first_word_that_it_touches():
    words = [(1, 4), (5, 9)]
    places = [(0, 1), (0, 4), (1, 2), (4, 5), (4, 7), (7, 9), (9, 10), (3, 6), (2, 2)]
    assert token_words(words, places) == [-1, 0, 0, -1, 1, 1, -1, 0, 0]


def test_whole_windows_drop_the_rest_and_are_taken_evenly():
    assert whole_windows(list(range(11)), 3) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert whole_windows(list(range(2)), 3) == []
    assert evenly_spaced(list(range(10)), 4, "windows") == [1, 3, 6, 8]
    assert evenly_spaced(list(range(4)), 4, "windows") == [0, 1, 2, 3]


def test_a_token_has_the_class_of_a_word_whole_in_its_window():
    text = "the owl is the one"
    found = Frequencies(frequent=frozenset({"the"}), common=frozenset({"is"}))
    first, second = read_windows([Play(name="a", text=text)], Characters(), found, 9)
    assert "".join(map(chr, first.ids)) == "the owl i"
    assert (
        first.classes == ["other"] * 3 + ["rare"] * 3 + ["other"] * 2
    )  # `the` begins with the given token, `is` is cut
    assert first.words == {"frequent": 0, "common": 0, "rare": 1, "other": 0}
    assert second.classes == ["other"] + ["frequent"] * 3 + ["other"] + ["rare"] * 3
    assert second.words == {"frequent": 1, "common": 0, "rare": 1, "other": 0}


def test_no_window_crosses_from_one_play_into_another():
    plays = [Play(name="a", text="x" * 7), Play(name="b", text="y" * 7)]
    found = read_windows(plays, Characters(), Frequencies(frequent=frozenset(), common=frozenset()), 3)
    assert ["".join(map(chr, window.ids)) for window in found] == ["xxx"] * 2 + ["yyy"] * 2
