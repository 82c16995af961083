"""Questions of the package reasoning-gym, by an adapter: `task.dataset=chain_sum` asks `4 + 3 =` for `7`.

Its scorers were made to encourage, not to be exact, so here an answer is right or wrong: right is the dataset's own
answer to the character, or, by `right=scorer`, what its scorer gives full marks. Marks in part, which there are for an
answer that lies anywhere within what is written, count as nothing. Full marks are the dataset's own affair: version
0.1.25 gives them to "the answer is 8 or 8" in gsm_symbolic and to anything at all in game_of_life_halting.

A policy that learns to write from nothing is asked the bare expression where the question has one, since the words
around it are most of a short question; one that reads language is asked the question. What an item is about is the
multiset of its prompt's words: no order of a held-out sum's terms is trained on.

Questions are numbered, and each is made once in a process, when it is first drawn: countdown makes 83 of them a second.
"""

import functools
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from suite.configuration.values import one_of, whole_number
from suite.machine.installation import install_command
from suite.measure.task_loader import NeedsPackageError
from suite.rl.tasks.corpus import WrittenTask
from suite.rl.tasks.task import CHARACTERS, Item, Score, parse

RIGHT = ("exact", "scorer")
SEVERAL_RIGHT = (
    *("countdown", "cryptarithm", "group_anagrams", "intermediate_integration", "jugs", "kakurasu", "n_queens"),
    *("palindrome_generation", "palindrome_partitioning", "puzzle24", "quantum_lock", "shortest_path"),
    *("simple_integration", "sokoban", "survo", "tower_of_hanoi"),
)
"""Datasets whose own answer is one of several right ones."""
RUNS_ANSWERS = (
    *("binary_matrix", "countdown", "intermediate_integration", "n_queens", "number_sorting"),
    *("polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix", "string_insertion"),
)
"""Datasets whose scorers hand what a policy wrote to Python's eval, themselves or by sympy's parse_expr: `exit()` ends
a run."""
ARITHMETIC = ("countdown", "puzzle24")
"""Those of them whose right answers are all plain arithmetic: nothing else is handed over."""
PLAIN = frozenset("0123456789+-*/() ")
OTHERWISE_EACH_TIME = (
    *("codeio", "intermediate_integration", "isomorphic_strings", "knight_swap", "list_functions"),
    *("polynomial_multiplication", "ransom_note", "word_ladder"),
)
"""Datasets that follow the order of a set of strings or the module random's own state, which differ from process to
process."""
LOOKED_AT = 16  # number of first questions that are read to see which characters a dataset writes
MOST_PASSED_OVER = 1000


@dataclass(frozen=True, kw_only=True)
class GymQuestion(Item):
    """An item with the entry of the dataset that it was made of."""

    entry: Mapping[str, Any]  # the dataset's own entry, which its scorer wants


class ReasoningGym(WrittenTask):
    """Documents hold an answer: of another question, the right one, or that in disorder."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._right = one_of(settings, "right", RIGHT, where="task.")
        self._longest_answer = whole_number(settings, "longest_answer", at_least=1, where="task.")
        self._count = whole_number(settings, "questions", at_least=10, where="task.")
        self._name = str(settings["dataset"])
        name, right = self._name, self._right
        if name in OTHERWISE_EACH_TIME:
            raise ValueError(f"task.dataset must ask the same in every process; {name} does not")
        if right == "exact" and name in SEVERAL_RIGHT:
            raise ValueError(f"task.right must be scorer for {name}, which has several right answers; got {right!r}")
        if right == "scorer" and name in RUNS_ANSWERS and name not in ARITHMETIC:
            raise ValueError(f"task.right must not be scorer for {name}, whose scorer runs what a policy wrote")
        parameters = json.dumps(dict(settings["parameters"]), sort_keys=True)
        self._questions = _questions(self._name, self._count, parameters)
        self._questions.item(0)  # raises where there are no answers at all
        super().__init__(thought=self._longest_answer, answer=self._longest_answer)

    def item(self, generator: random.Random) -> GymQuestion:
        """Draw a question whose answer is not too long. Raises ValueError where MOST_PASSED_OVER are."""
        for _ in range(MOST_PASSED_OVER):
            item = self._questions.item(generator.randrange(self._count))
            if len(item.answer) <= self._longest_answer:
                return item
        raise ValueError(
            f"task.longest_answer must be at least the length of some answer; none of {MOST_PASSED_OVER} questions of "
            f"{self._name} has one of at most {self._longest_answer} characters"
        )

    def question(self, item: Item) -> str:
        assert isinstance(item, GymQuestion)
        return str(item.entry["question"])

    def _guess(self, item: Item, generator: random.Random) -> str:
        """Draw the answer of another question, the right one, or the right one in disorder."""
        kind = generator.choices(("other", "right", "disorder"), (55, 25, 20))[0]
        if kind == "other":
            return self.item(generator).answer
        return item.answer if kind == "right" else "".join(generator.sample(item.answer, k=len(item.answer)))

    def score(self, item: Item, completion: Sequence[str]) -> Score:
        """Score by the dataset's own answer, or by full marks of its scorer with `right=scorer`. A completion on which
        the scorer raises, or which is not handed to it, scores 0 and is counted as `unscorable`: a scorer that fails on
        right answers would else look like a hard task."""
        parsed = parse(completion)
        answer = None if parsed.answer is None else "".join(completion[parsed.answer])
        form = float(parsed.is_well_formed)
        if self._right == "exact":
            return Score(accuracy=float(answer == item.answer), format=form)
        marks = 0.0 if answer is None else self._marks(item, answer)
        return Score(accuracy=float(marks == 1), format=form, parts={"unscorable": float(marks is None)})

    def _marks(self, item: Item, answer: str) -> float | None:
        """Marks by the dataset's scorer; None where it raises, or the answer is not safe to hand to it."""
        assert isinstance(item, GymQuestion)
        # Nor is one with powers asked about: 9**9**9**9 takes longer than there is time.
        if self._name in ARITHMETIC and not (set(answer) <= PLAIN and "**" not in answer):
            return None
        try:
            return float(self._questions.dataset.score_answer(answer, item.entry))
        except Exception:  # of whatever kind: a hundred scorers of others, each with its own failures. It is counted
            return None

    def check_characters(self) -> None:
        """Raise ValueError if one of the first questions has a character that is none of the tasks' tokens."""
        for number in range(LOOKED_AT):
            item = self._questions.item(number)
            unknown = sorted(set(item.prompt + item.answer) - set(CHARACTERS))
            if unknown:
                raise ValueError(
                    f"task.dataset must be one whose questions and answers a policy without weights can write, such "
                    f"as chain_sum; {self._name} has {unknown[0]!r}, which is none of its tokens"
                )


class _Questions:
    """A dataset's questions by their number."""

    def __init__(self, name: str, count: int, parameters: str) -> None:
        self.dataset = _dataset(name, count, json.loads(parameters))
        self._name = name
        self.item = functools.cache(self._make_item)

    def _make_item(self, number: int) -> GymQuestion:
        """Make the question of this number from the dataset's entry. Raises ValueError where its answer is no text."""
        entry = self.dataset[number]
        question, answer = entry["question"], entry["answer"]
        if not isinstance(answer, str) or not answer:
            raise ValueError(f"task.dataset must be one with answers of its own; {self._name} has none")
        bare = entry["metadata"].get("expression")
        # Not every expression is what is asked: countdown's is the answer.
        prompt = f"{bare} =" if isinstance(bare, str) and bare in question else question
        words = sorted(re.findall(r"\w+|[^\w\s]", prompt))
        return GymQuestion(prompt=prompt, content=" ".join(words), answer=answer, entry=entry)


_questions = functools.cache(_Questions)  # the same questions for all tasks of a process


def _dataset(name: str, count: int, parameters: Mapping[str, Any]) -> Any:
    """The dataset of this name with `count` entries. Raises NeedsPackageError without the package, or ValueError."""
    try:
        import reasoning_gym  # here: an extra, and a second to load
    except ImportError as error:
        raise NeedsPackageError(
            "task=reasoning_gym needs the package reasoning-gym, which the extra of that name brings: "
            + install_command("reasoning-gym", folder=".")
        ) from error
    datasets = reasoning_gym.factory.DATASETS
    one_of({"dataset": name}, "dataset", sorted(datasets), where="task.")
    choices = sorted({field.name for field in fields(datasets[name][1])} - {"seed", "size"})
    for parameter in parameters:
        one_of({"parameters": parameter}, "parameters", choices, where="task.")
    try:
        return reasoning_gym.create_dataset(name, seed=0, size=count, **parameters)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"task.parameters must suit {name}; it says: {error}") from error
