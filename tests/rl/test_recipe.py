"""Recipes: a run's steps are shared among the stages, and what is no recipe is refused."""

import re

import pytest

from suite.configuration.files import choices, locate
from suite.rl.policy import TaskVocabulary
from suite.rl.recipe import recipe_from, stage_modules
from suite.rl.registry import STAGES
from tests.rl.cases import plan, recipe

RL = {"kind": "rl", "share": 1.0}
PPO = {"prompts_per_step": 16, "adv_estimator": "gae"}
PAIRS = {"stages": [{"kind": "preference", "share": 1.0}], "rollouts": 2, "rpo_alpha": 1.0}


def half(kind):
    return {"kind": kind, "share": 0.5}


@pytest.mark.parametrize("name", choices("recipe"))
def test_every_named_recipe_fills_all_steps_with_its_stages(name):
    stages = plan(steps=50, recipe=recipe(name)).recipe.stages
    assert [stage.first for stage in stages] == [0, *(stage.first + stage.steps for stage in stages[:-1])]
    assert stages[-1].first + stages[-1].steps == 50


def test_r1_is_fine_tuning_rl_fine_tuning_on_its_own_and_rl():
    assert recipe_from({"recipe": recipe("r1")}, 50).facts() == [
        {"kind": "sft", "steps": 5},
        {"kind": "rl", "steps": 20},
        {"kind": "own", "steps": 5},
        {"kind": "rl", "steps": 20},
    ]


def test_a_recipe_names_the_code_of_all_its_stages():
    modules = stage_modules(recipe("distill"))
    assert set(modules) == {f"suite.rl.stages.{name}" for name in ("distill", "sft", "rl", "own")}
    assert all(callable(locate(f"{module}.begin")) for module in modules)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"recipe": {"stages": [{"kind": "grow", "share": 1.0}]}},
            f"the kind of a stage must be one of {', '.join(STAGES.names)}, or the dotted name",
        ),
        ({"recipe": {"stages": [RL, half("rl")]}}, "the shares of recipe.stages must sum to 1; got 1.0 + 0.5"),
        ({"recipe": {"stages": [{"kind": "rl", "share": 0}]}}, "recipe.stages: share must be a number above 0; got 0"),
        (
            {"recipe": {"stages": [{"kind": "rl"}]}},
            "each of recipe.stages must have a kind and a share, and nothing else",
        ),
        ({"recipe": {"stages": []}}, "recipe.stages must be a list of stages, as [{kind: rl, share: 1.0}]; got []"),
        (
            {"recipe": recipe("r1"), "steps": 4},
            "steps must give each of the recipe's 4 stages a step, and sft with its share",
        ),
        ({"recipe": {"stages": [half("rl"), half("sft")]}}, "recipe.examples must be given for a stage of kind sft"),
        ({"recipe": {**recipe("sft"), "examples": 0}}, "recipe.examples must be a whole number of at least 1; got 0"),
        ({"recipe": {**recipe("distill"), "teacher": "r1"}}, "recipe.teacher must have a policy and a recipe; got"),
        ({"recipe": recipe("distill"), "steps": 4}, "steps must give each of the recipe's 4 stages a step"),
        ({"reward_source": "vote"}, "reward_source must be one of ground_truth, majority; got 'vote'"),
        (
            {"reward_source": "majority", "recipe": recipe("r1"), "steps": 50},
            "reward_source must be ground_truth for a stage of kind own",
        ),
        ({"reward_source": "majority", "recipe": {**PAIRS, "preference_beta": 0.1}}, "a stage of kind preference"),
        ({"recipe": PAIRS}, "recipe.preference_beta must be given for a stage of kind preference; got none"),
        ({"recipe": {**PAIRS, "preference_beta": 0}}, "recipe.preference_beta must be a number above 0; got 0"),
        ({"recipe": {**PAIRS, "preference_beta": 0.1, "rpo_alpha": -1}}, "recipe.rpo_alpha must be a number of at"),
        ({"recipe": {**PAIRS, "preference_beta": 0.1}, "num_generations": 1, **PPO}, "num_generations must be at"),
        ({"recipe": {**PAIRS, "preference_beta": 0.1}, "micro_batch": 3}, "micro_batch must be even for a stage of"),
        (
            {"reward_source": "majority", "supervision": "process"},
            "reward_source must be ground_truth for supervision=process",
        ),
        (
            {"reward_source": "majority", "num_generations": 1, "prompts_per_step": 16, "adv_estimator": "gae"},
            "num_generations must be at least 2 for reward_source=majority, a vote of the completions",
        ),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        plan(**changes)


def test_a_policy_without_task_tokens_learns_by_rl_alone(monkeypatch):
    monkeypatch.setattr(TaskVocabulary, "is_of_tasks", False)
    assert [stage.kind for stage in plan().recipe.stages] == ["rl"]
    with pytest.raises(
        ValueError, match=r"recipe must be r1_zero for a policy from a checkpoint; got stages of kind sft$"
    ):
        plan(recipe=recipe("sft"))
