"""A recipe: the stages that a base model goes through, and how the steps of a run are shared among them. No torch.

Every step of every stage trains on as many completions, in as many updates: recipes are compared at equal budgets.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.configuration.values import not_negative, positive_number, whole_number
from suite.rl.registry import STAGES

RL = "rl"
NEEDS = {
    "sft": ("examples",),
    "own": ("rollouts",),
    "own_unfiltered": ("rollouts",),
    "preference": ("rollouts", "preference_beta", "rpo_alpha"),
    "distill": ("rollouts", "teacher"),
}
"""Options that a recipe must have beside its stages, for the kinds that read them."""
NUMBERS = {"preference_beta": positive_number, "rpo_alpha": not_negative}  # those of them that need not be whole


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage and its steps of the run."""

    kind: str  # a name of suite.rl.registry.STAGES
    first: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    stages: tuple[PlannedStage, ...]
    options: Mapping[str, Any]  # the settings beside the stages

    @property
    def teacher(self) -> Mapping[str, Any] | None:
        """The policy and recipe of the decoder whose answers are learnt from; None where there is none."""
        teacher: Mapping[str, Any] | None = self.options.get("teacher")
        return teacher

    def facts(self) -> list[dict[str, Any]]:
        """Kind and number of steps of each stage, in order."""
        return [{"kind": stage.kind, "steps": stage.steps} for stage in self.stages]


def recipe_from(settings: Mapping[str, Any], steps: int) -> Recipe:
    """Read the recipe, check its stages and options, and lay the stages over so many steps. Raises ValueError."""
    recipe = settings["recipe"]
    stages = recipe.get("stages") if isinstance(recipe, Mapping) else None
    if not isinstance(stages, list) or not stages or not all(isinstance(stage, Mapping) for stage in stages):
        raise ValueError(f"recipe.stages must be a list of stages, as [{{kind: rl, share: 1.0}}]; got {stages!r}")
    options = {name: value for name, value in recipe.items() if name != "stages"}
    for stage in stages:
        _check_stage(stage, options)
    return Recipe(stages=_lay_out(stages, steps), options=options)


def stage_modules(recipe: Mapping[str, Any]) -> list[str]:
    """Modules that hold the stages of the recipe and of its teacher's recipe; a change of their code reruns the cases.
    Dotted kinds, which lie in other packages, are left out."""
    kinds = [str(stage["kind"]) for stage in recipe["stages"]]
    own_modules = [STAGES.module(kind) for kind in kinds if "." not in kind]
    return [*own_modules, *(stage_modules(recipe["teacher"]["recipe"]) if recipe.get("teacher") else [])]


def teacher_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the run that trains the recipe's teacher: the learner's, with the teacher's own policy and recipe,
    and greedy evaluations only where a stage begins or the run ends."""
    teacher = {name: settings["recipe"]["teacher"][name] for name in ("policy", "recipe")}
    return {**settings, **teacher, "eval_every": settings["steps"], "pass_at_k": None}


def _check_stage(stage: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Raise ValueError unless the stage has a known kind, a share above 0 and valid options for its kind."""
    if set(stage) != {"kind", "share"}:
        raise ValueError(f"each of recipe.stages must have a kind and a share, and nothing else; got {dict(stage)!r}")
    STAGES.check(str(stage["kind"]))
    positive_number(stage, "share", where="recipe.stages: ")
    for name in NEEDS.get(stage["kind"], ()):
        if name not in options:
            raise ValueError(f"recipe.{name} must be given for a stage of kind {stage['kind']}; got none")
        if name in NUMBERS:
            NUMBERS[name](options, name, where="recipe.")
        elif name != "teacher":
            whole_number(options, name, at_least=1, where="recipe.")
        else:
            teacher = options[name]
            parts = [teacher.get(part) for part in ("policy", "recipe")] if isinstance(teacher, Mapping) else [None]
            if not all(isinstance(part, Mapping) for part in parts):
                raise ValueError(f"recipe.teacher must have a policy and a recipe; got {teacher!r}")


def _lay_out(stages: list[Mapping[str, Any]], steps: int) -> tuple[PlannedStage, ...]:
    """Lay the stages over the steps; each ends at the sum of shares up to it, rounded to the nearest step. Raises
    ValueError unless the shares sum to 1 and every stage gets a step."""
    shares = [float(stage["share"]) for stage in stages]
    if not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of recipe.stages must sum to 1; got {' + '.join(map(str, shares))}")
    ends = [round(steps * sum(shares[: index + 1])) for index in range(len(shares))]
    planned = []
    for stage, begin, end in zip(stages, [0, *ends[:-1]], ends, strict=True):
        if begin == end:
            raise ValueError(
                f"steps must give each of the recipe's {len(stages)} stages a step, and {stage['kind']} with its share "
                f"of {stage['share']} gets none; got {steps}"
            )
        planned.append(PlannedStage(kind=stage["kind"], first=begin, steps=end - begin))
    return tuple(planned)
