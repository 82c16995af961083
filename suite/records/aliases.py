"""Old names in records, and the names of today under which they are read.

They are applied where a record, a case or settings are read and compared. Files stay as they are, and a command line
has the names of today alone.

`attention=mla` was absorbed in every phase and said no mode. It now is what one deploys, which absorbs in decode alone:
in a prefill and in training an older record of it is read as `mla_absorbed`. In decode all of them are one case, `mla`.
"""

from collections.abc import Mapping
from typing import Any

SETTINGS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "reward_from": ("reward_source", {"key": "ground_truth"}),
    "task.asked": (
        "task.query_frequency",
        {
            "unevenly": "skewed",
            "evenly": "uniform",
            "evenly_weighted": "uniform_weighted",
            "swapped": "reversed",
        },
    ),
}
"""Today's name of a setting by its old one, and today's values by those that the old name had."""
METRICS = {
    "answered": "answer_accuracy",
    "recoverable": "linear_probe_accuracy",
    "energy_kept": "retained_variance",
}
SPANS = {"knocked_out": "head_ablation"}
"""Today's name by the old one, of a whole span or of the first part of one."""
EARLIER_DEFAULTS = {
    "recipe": {"stages": [{"kind": "rl", "share": 1.0}]},
    "reward_source": "ground_truth",
    "outcome_as_step": False,
    "format_reward": "added",
    "autocast": False,
    "critic_warmup_steps": 0,
    "task.corrections": 0.0,
    "attention.latent_norm": True,
    "attention.latent": "trained",
    "embeddings": "trained",
    "rollout_batch": "all",
    "frozen_base": "computed",
    "checkpointing": False,
    "rollout_lag": 0,
    "rollout_correction": "none",
    "ranks": "equal",
    "distill_updates": 0,
    "distill_learning_rate": 1e-4,
}
"""Settings that older records do not have, at the value that says what those did."""
MODES = {
    "suite.attention.latent.AbsorbedLatentAttention": "absorbed",
    "suite.attention.latent.ReexpandingLatentAttention": "latent",
    "suite.attention.latent.ExpandedLatentAttention": "expanded",
}
"""Mode of a case that does not say its own, by the code that it ran."""
VARIANTS = {("mla", "prefill"): "mla_absorbed", ("mla", "train"): "mla_absorbed"}
"""Today's name of a variant, by its name and phase in a case that does not say its mode."""
SAME_VARIANT = {("mla_absorbed", "decode"): "mla"}
"""The one name of a variant that has two, by name and phase."""
_SHAPES = "suite.theory.layers.shapes"
MODULES = {
    **{f"suite.theory.{name}": _SHAPES for name in ("shapes", "tied_shapes", "window_shapes")},
    **{f"suite.theory.{name}": f"suite.theory.layers.{name}" for name in ("latent_shapes", "indexed_shapes")},
    "suite.theory.attention_plan": "suite.theory.layers.attention_plan",
}
"""Today's place of code that settings name, by the module in which it was."""
NAMES_CODE = {"attention": "shape", "workload": "plan"}
"""The setting of a group that is a dotted name of such code."""


def settings_today(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under today's names and places of code; where MLA has no mode, with the one that its code had."""
    renamed = pairs_today(settings)
    for group, options in renamed.items():
        if isinstance(options, Mapping) and any(old.startswith(f"{group}.") for old in SETTINGS):
            dotted_names = pairs_today({f"{group}.{name}": value for name, value in options.items()})
            renamed[group] = {name.removeprefix(f"{group}."): value for name, value in dotted_names.items()}
    for group, name in NAMES_CODE.items():
        if isinstance(renamed.get(group), Mapping) and isinstance(dotted := renamed[group].get(name), str):
            module, _, code = dotted.rpartition(".")
            renamed[group] = {**renamed[group], name: f"{MODULES.get(module, module)}.{code}"}
    attention = renamed.get("attention")
    if isinstance(attention, Mapping) and "mode" not in attention:
        mode = MODES.get(str(attention.get("_target_")))
        # A language model with `attention=mla`, which has no phase, has no mode: it trains expanded, decodes absorbed.
        if mode is not None and (mode != "absorbed" or renamed.get("phase") is not None):
            renamed["attention"] = {**attention, "mode": mode}
    return renamed


def pairs_today(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name under today's names, in their order."""
    renamed = {}
    for name, value in pairs.items():
        today, values = SETTINGS.get(name, (name, {}))
        renamed[today] = values.get(value, value) if isinstance(value, str) else value  # a list has no older spelling
    return renamed


def axes_today(axes: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The axes of a case, which may be an old one, under today's names."""
    attention = settings.get("attention")
    says_mode = isinstance(attention, Mapping) and "mode" in attention
    return pairs_today(axes) if says_mode else _with_variant(pairs_today(axes), VARIANTS)


def axes_by_one_name(axes: Mapping[str, Any]) -> dict[str, Any]:
    """The axes of a case of today, with the one name that counts for a variant that has two."""
    return _with_variant(axes, SAME_VARIANT)


def span_today(span: str) -> str:
    """A span under today's name."""
    first, slash, rest = span.partition("/")
    return f"{SPANS.get(first, first)}{slash}{rest}"


def _with_variant(axes: Mapping[str, Any], names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    variant = names.get((str(axes.get("attention")), str(axes.get("phase"))))
    return {**axes} if variant is None else {**axes, "attention": variant}
