"""Questions of the real reasoning-gym: what every task promises, and what is known of datasets and their scorers."""

import random
import subprocess
import sys
from types import CodeType

import pytest
import reasoning_gym
from reasoning_gym.dataset import ProceduralDataset

from suite.commands.run import main
from suite.configuration.files import read_choice
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.tasks import reasoning_gym as adapter
from suite.rl.tasks.task import CHARACTERS, TAGS, draw, make, tokens
from tests.rl.cases import TINY_RL

WRITABLE = ("basic_arithmetic", "chain_sum", "decimal_chain_sum", "products")
OTHERWISE_AND_FAST = {"isomorphic_strings", "list_functions", "ransom_note"}
ASKED_TWICE = ("chain_sum", "gsm_symbolic", "spell_backward", "syllogism", *sorted(OTHERWISE_AND_FAST))
ASK = f"""
import reasoning_gym
for name in {ASKED_TWICE}:
    dataset = reasoning_gym.create_dataset(name, seed=0, size=10000)
    print(name, [dataset[number]["question"] for number in range(0, 10000, 331)])
"""


def task(**changed):
    return make({"task": {**read_choice("task", "reasoning_gym"), **changed}})


def answered(one, item, answer):
    return one.score(item, ["<think>", "</think>", "<answer>", *answer, "</answer>"])


@pytest.mark.parametrize("name", WRITABLE)
def test_a_policy_without_weights_is_asked_what_it_can_write(name):
    one, generator = task(dataset=name, questions=200), random.Random(0)
    one.check_characters()
    for _ in range(50):
        item = draw(one, generator, held_out=False)
        assert set(item.prompt) <= set(CHARACTERS)
        assert set(tokens(one.document(item, generator))) <= {*CHARACTERS, *TAGS}
        score = one.score(item, tokens(one.solution(item, generator)))
        assert (score.accuracy, score.format) == (1.0, 1.0)


def test_no_tokens_at_all_make_a_scorer_raise():
    generator, letters = random.Random(4), [*CHARACTERS, "[", "1", "-", "²", "<pad>"]
    junk = ["{}", *(generator.choices(letters, k=generator.randint(0, 40)) for _ in range(200))]
    for name, raises in (("chain_sum", False), ("game_of_life", True), ("countdown", True)):
        one = task(dataset=name, right="scorer", questions=10, longest_answer=10_000)
        scores = [answered(one, one.item(generator), answer) for answer in junk]
        assert not any(score.accuracy for score in scores)
        assert any(score.parts["unscorable"] for score in scores) is raises, name


def test_every_right_expression_of_countdown_counts():
    one = task(dataset="countdown", right="scorer", questions=10, longest_answer=60)
    item = one.item(random.Random(0))
    assert item.answer not in item.prompt
    for answer, accuracy in ((item.answer, 1.0), (f"({item.answer})", 1.0), (f"{item.answer}+0", 0.0), ("exit()", 0.0)):
        assert answered(one, item, answer).accuracy == accuracy


def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def scorers():
    """Of the datasets that have one of their own: names and texts that its code holds."""
    for name, (dataset, _) in reasoning_gym.factory.DATASETS.items():
        if dataset.score_answer is not ProceduralDataset.score_answer and name != "composite":
            found = list(codes(dataset.score_answer.__code__))
            yield name, {word for code in found for word in (*code.co_names, *code.co_consts) if isinstance(word, str)}


def test_the_scorers_that_run_what_is_written_are_known():
    runs = {name for name, words in scorers() if words & {"eval", "exec", "parse_expr", "sympify"}}
    assert runs == set(adapter.RUNS_ANSWERS)
    assert set(adapter.ARITHMETIC) <= runs


def test_a_task_with_several_right_answers_has_its_own_scorer():
    assert set(adapter.SEVERAL_RIGHT) <= {name for name, _ in scorers()}


def test_what_is_asked_otherwise_in_every_process_is_known():
    said = []
    for seed in ("1", "2"):
        command, environment = [sys.executable, "-W", "ignore", "-c", ASK], {"PYTHONHASHSEED": seed}
        said.append(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    differ = {one.split()[0] for one, other in zip(*map(str.splitlines, said), strict=True) if one != other}
    assert differ == OTHERWISE_AND_FAST <= set(adapter.OTHERWISE_EACH_TIME)


def test_a_run_records_which_answers_could_not_be_scored(tmp_path):
    arguments = [argument for argument in TINY_RL if not argument.startswith("task.")]
    arguments += ["task=reasoning_gym", "task.right=scorer", "steps=2", "++task.parameters.max_terms=2"]
    assert main([*arguments, f"hydra.run.dir={tmp_path}"]) == 0
    (stored,) = read_contents([tmp_path]).stored
    assert stored.record.status is Status.OK
    assert stored.record.settings["task"]["parameters"] == {"max_terms": 2}
    metrics = {reading.metric for reading in stored.record.readings}
    assert {"accuracy", "format", "heldout_accuracy", "unscorable"} <= metrics
