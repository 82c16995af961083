"""The closed form of a step's memory against every projection on record in its reach, and against a few made anew."""

import statistics
from pathlib import Path

import pytest

from suite.configuration.files import read_choice
from suite.records.holdings import PEAK
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.memory.plan import RlMemoryPlan
from suite.rl.memory.workload import Projection
from suite.theory.answers.step_memory import (
    MOST_APART,
    UPDATE,
    StepSizes,
    held_in,
    model_sizes,
    sizes_of,
    step_peak,
)
from suite.theory.layers.decoder_shape import decoder_shape
from tests.rl.memory.cases import settings

PROJECTED = (Path(__file__).resolve().parents[3] / "results" / "reference" / "cpu").glob("rl_memory*")
REACH = {
    "checkpointing": True,
    "engine": "shared",
    "reference": "device",
    "reward_model": "none",
    "optimiser": "fused",
    "logits_chunk": None,
    "frozen_base": "computed",
    "entropy_coef": 0.0,
    "critic_model": None,
}
"""Settings that the closed form is of."""


def step_of(composed, shape, shards):
    has_reference = composed["kl_coef"] > 0
    return StepSizes(
        model=sizes_of(shape),
        has_critic=composed["adv_estimator"] == "gae",
        has_reference=has_reference,
        kl_in_loss=has_reference and not composed["use_kl_in_reward"],
        completions=composed["prompts_per_step"] * composed["num_generations"],
        shards=shards,
        **{name: composed[name] for name in ("precision", "lora_rank", "seq_len", "prompt_len", "micro_batch")},
    )


def in_reach(record):
    is_plain = all(record.settings.get(name, value) == value for name, value in REACH.items())
    order, critic = record.settings.get("update_order"), record.settings.get("critic")
    return is_plain and order in (None, "one_after_other") and critic in (None, "own")


def test_every_recorded_update_is_met_within_the_stated_share():
    apart = []
    for stored in read_contents(PROJECTED).stored:
        record = stored.record
        if record.case.workload != "rl_memory" or record.status is not Status.OK or not in_reach(record):
            continue
        (peak,) = (one.value for one in record.readings if one.metric == PEAK and one.span == UPDATE)
        geometry = record.settings["geometry"]
        shape = decoder_shape(
            geometry, record.settings["attention"], vocab_size=geometry["vocab_size"], where="geometry."
        )
        held = held_in(UPDATE, step_of(record.settings, shape, record.settings["shards"]))
        apart.append(abs(sum(held.values()) / peak - 1))
    assert len(apart) > 50
    assert max(apart) < MOST_APART / 5
    assert statistics.median(apart) < MOST_APART / 50


# Few layers, narrow ones and many words: what a real model has most of is most of these too.
SMALL = {
    "name": "small",
    "attention": "gqa",
    "hidden_size": 256,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 64,
    "intermediate_size": 640,
    "vocab_size": 5000,
    "rope_theta": 10000,
    "tie_embeddings": False,
}
WIDE = SMALL | {"vocab_size": 300, "hidden_size": 512, "intermediate_size": 2048, "num_heads": 8}
TIED = SMALL | {"tie_embeddings": True}
STEP = {"seq_len": 300, "prompt_len": 40, "prompts_per_step": 2, "num_generations": 4, "micro_batch": 1}


@pytest.mark.parametrize(
    ("algorithm", "geometry", "changes"),
    [
        ("grpo", TIED, {"precision": "mixed"}),
        ("grpo", SMALL, {"lora_rank": 4}),
        ("dr_grpo", WIDE, {"seq_len": 100}),
    ],
    ids=["tied, mixed", "LoRA", "one pass, few words"],
)
def test_projections_made_anew_are_met_on_any_number_of_devices(algorithm, geometry, changes):
    composed = settings(algorithm, geometry=geometry, **STEP | changes)
    plan = RlMemoryPlan(composed)
    projection = Projection(plan, composed["attention"])
    for shards in (1, 8):
        _, held = step_peak(step_of(composed, plan.training_shape, shards))
        assert sum(held.values()) == pytest.approx(projection.smallest_peak(shards), rel=2 * MOST_APART)


def test_a_geometrys_sizes_are_those_of_its_projection():
    shape = decoder_shape(SMALL, read_choice("attention", "gqa"), vocab_size=5000, where="")
    assert sizes_of(shape) == model_sizes(SMALL)


def test_experts_and_uneven_layers_are_refused():
    for name in ("deepseek-v3", "gemma-4-31b"):
        with pytest.raises(ValueError, match=f"^model must be dense, .* got '{name}'"):
            model_sizes(read_choice("geometry", name))
