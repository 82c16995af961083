"""What stays as it was drawn while a decoder is trained: a frozen latent, a sliced one, frozen embeddings."""

import pytest
import torch

from suite.quality.plan import QualityPlan
from suite.quality.workload import QualityWorkload
from tests.quality.cases import settings

LATENT, EMBEDDING = "blocks.0.attention.w_latent", "embedding"


def case(latent="trained", **changes):
    own = settings("tiers", "mla", dtype="float64", **changes)
    return {**own, "attention": {**own["attention"], "latent": latent, "kv_lora_rank": 8}}


def prepared(**changes):
    workload = QualityWorkload(case(**changes))
    workload.prepare(None)
    return workload


def weights(workload):
    return {name: weight.clone() for name, weight in workload.model.state_dict().items()}


@pytest.mark.parametrize(
    ("changes", "unmoved"),
    [
        ({}, set()),
        ({"latent": "frozen"}, {LATENT}),
        ({"latent": "slice"}, set()),
        ({"embeddings": "frozen"}, {EMBEDDING}),
        ({"latent": "frozen", "embeddings": "frozen"}, {LATENT, EMBEDDING}),
    ],
)
def test_training_moves_all_weights_but_the_frozen(changes, unmoved):
    workload = prepared(**changes)
    before = weights(workload)
    for number in range(2):
        workload._update(number)
    assert {name for name, weight in weights(workload).items() if torch.equal(weight, before[name])} == unmoved
    resumed = prepared(seed=9, **changes)
    resumed.restore(workload.state())
    assert all(torch.equal(weight, weights(resumed)[name]) for name, weight in weights(workload).items())


def test_frozen_weights_need_no_room_for_gradient_and_moments():
    whole = QualityPlan(case())
    for changes, frozen in (
        ({"latent": "frozen"}, whole.shape.layer.hidden_size * whole.shape.layer.kv_lora_rank),
        ({"embeddings": "frozen"}, whole.shape.vocab_size * whole.shape.hidden_size),
    ):
        assert whole.least_bytes() - QualityPlan(case(**changes)).least_bytes() == 3 * 8 * frozen
