"""The sum of ids that a token is, the loss, and shares by kind, against the same by hand."""

import dataclasses

import pytest
import torch

from suite.measure.rng import numpy_rng
from suite.quality.workload import QuestionBatch, answer_logits, answers_to, embed, training_loss
from tests.quality.decoders import prepared

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def workload():
    return prepared("tiers", task_changes={"query_frequency": "uniform_weighted"}, dtype="float64")


def drawn(workload):
    return QuestionBatch.from_questions(workload.plan.task.training(6, numpy_rng(0), 0.0), CPU)


def test_a_token_is_the_sum_of_its_ids_and_no_id_adds_nothing(workload):
    table = workload.model.embedding
    x_BSD = embed(workload.model, torch.tensor([[[5, 7, 0], [9, 0, 0]]]))
    torch.testing.assert_close(x_BSD, torch.stack((table[5] + table[7], table[9]))[None], rtol=0, atol=1e-15)
    single = torch.tensor([[[5], [9]]])
    assert torch.equal(embed(workload.model, single), torch.stack((table[5], table[9]))[None])


def test_the_loss_is_the_weighted_mean_over_the_answers(workload):
    asked = drawn(workload)
    weighted = 0.0
    logits_BQV = answer_logits(workload.model, asked)
    for sequence in range(6):
        for question in range(18):
            log_shares = logits_BQV[sequence, question].log_softmax(0)
            loss = -log_shares[asked.answers_BQ[sequence, question]]
            weighted += loss * asked.weights_BQ[sequence, question]
    assert float(training_loss(workload.model, asked).detach()) == pytest.approx(float(weighted.detach()) / 108)
    unweighted = dataclasses.replace(asked, weights_BQ=None)
    assert training_loss(workload.model, unweighted) != training_loss(workload.model, asked)


def test_a_question_is_answered_as_if_alone():
    workload = prepared("tiers", dtype="float64")
    asked = drawn(workload)
    alone = dataclasses.replace(
        asked,
        tokens_BSK=torch.cat((asked.tokens_BSK[:, :6], asked.tokens_BSK[:, 9:10]), dim=1),
        answers_BQ=asked.answers_BQ[:, 3:4],
        mask_11SS=None,
    )
    attention = workload.model.attention_layer(0)  # without its rotary angles: the question's place is all that differs
    attention.cos_Sr.fill_(1.0)
    attention.sin_Sr.fill_(0.0)
    together = answer_logits(workload.model, asked)[:, 3:4]
    torch.testing.assert_close(answer_logits(workload.model, alone), together, rtol=0, atol=1e-12)


def test_accuracies_by_kind_are_those_counted_one_by_one(workload, monkeypatch):
    asked = drawn(workload)
    whole = answers_to(workload.model, asked, 6)
    monkeypatch.setattr("suite.quality.workload.TOKENS_AT_ONCE", 50)
    in_parts = answers_to(workload.model, asked, 6)
    assert len(asked.parts()) == 3
    right_BQ = answer_logits(workload.model, asked).argmax(-1) == asked.answers_BQ
    for told in (whole, in_parts):
        assert told.asked_N.tolist() == [int((asked.kinds_BQ == kind).sum()) for kind in range(6)]
        assert told.right_N.tolist() == [int(right_BQ[asked.kinds_BQ == kind].sum()) for kind in range(6)]
        assert told.accuracy(range(6)) == float(right_BQ.double().mean())
        assert told.accuracy([4]) == float(right_BQ[asked.kinds_BQ == 4].double().mean())
    torch.testing.assert_close(whole.loss_N, in_parts.loss_N)
