"""Plays by the character: windows of Shakespeare, at each of whose characters the next one is asked.

The one task whose questions nobody made up: how often a character is asked for is how often it is written. Its result
is the loss. Windows to train on begin anywhere in 33 plays; those of an evaluation are of the four others.
"""

import functools
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.configuration.values import whole_number
from suite.lm.shakespeare import Play, held_out_plays, missing, other_plays
from suite.measure.task_loader import NeedsPackageError
from suite.quality.tasks.task import Ids, Questions, single

CHARACTERS = f"{string.ascii_letters} \n',.;:?!-[]\""
"""Characters with an id of their own: the others (digits, braces) are 1 of 30,000 together, and share one."""
OTHER = 1 + len(CHARACTERS)
LEAST_SHARES = (0.02, 0.005, 0.0)
"""Shares of the written characters from which on a character is `frequent`, `common` or `rare`."""
HELD_OUT_CHARACTERS = 20_000


class Plays:
    """See suite.quality.tasks.task.QualityTask."""

    least_layers = 1
    kinds = ("frequent", "common", "rare")
    groups: Mapping[str, Any] = {}
    vocab_size = OTHER + 1
    chance = 1 / len(CHARACTERS)  # even guessing: a blank alone gets more, but what counts here is the loss

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._window = whole_number(settings, "window", at_least=1, at_most=HELD_OUT_CHARACTERS, where="task.")
        self.longest = self._window
        if (lacking := missing()) is not None:
            raise NeedsPackageError(lacking)

    def training(self, sequences: int, generator: np.random.Generator, progress: float) -> Questions:
        """Windows that begin at random places in the plays to train on; `progress` does not matter."""
        text = _to_train_on()
        return self._windows(text, generator.integers(len(text) - self._window, size=sequences))

    def held_out(self) -> Questions:
        """The same windows in every call, which begin at equal distances in the held-out plays."""
        text = _ids(held_out_plays())
        windows = HELD_OUT_CHARACTERS // self._window
        return self._windows(text, np.linspace(0, len(text) - self._window - 1, windows, dtype=np.int64))

    def facts(self) -> Mapping[str, Any]:
        """Characters of a window, and the number of held-out windows."""
        return {"window": self._window, "held_out_windows": HELD_OUT_CHARACTERS // self._window}

    def _windows(self, text: NDArray[np.uint8], begins_B: Ids) -> Questions:
        """A window of the text at each beginning, with the next character asked for at every place."""
        # One character more than a window has, since its last asks for that.
        characters_BS = text[begins_B[:, None] + np.arange(self._window + 1)].astype(np.int64)
        answers_BS = characters_BS[:, 1:]
        return Questions(
            tokens_BSK=single(characters_BS[:, :-1]), answers_BQ=answers_BS, kinds_BQ=_id_kinds()[answers_BS]
        )


@functools.cache
def _to_train_on() -> NDArray[np.uint8]:
    return _ids(other_plays())


@functools.cache
def _id_kinds() -> Ids:
    shares_V = np.bincount(_to_train_on(), minlength=OTHER + 1) / len(_to_train_on())
    return np.array([next(kind for kind, least in enumerate(LEAST_SHARES) if share >= least) for share in shares_V])


def _ids(plays: Sequence[Play]) -> NDArray[np.uint8]:
    """Character ids of the plays' texts, with a line end between two plays."""
    text = "\n".join(play.text for play in plays)
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    table = np.full(max(map(ord, CHARACTERS)) + 2, OTHER, dtype=np.uint8)
    for place, character in enumerate(CHARACTERS):
        table[ord(character)] = 1 + place
    ids: NDArray[np.uint8] = table[np.minimum(points, len(table) - 1)]
    return ids
