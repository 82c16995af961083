import pytest

from suite.configuration.files import read_choice
from tests.rl import cases as of_runs
from tests.rl.memory.cases import SMALLER, TINY, plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"micro_batch": 17}, r"micro_batch must be at most minibatch, which is 16; got 17"),
        ({"prompt_len": 11}, r"prompt_len must be a whole number from 1 to 10; got 11"),
        ({"shards": 3}, r"shards must be one of 1, 2, 4, 8; got 3"),
        ({"shards": 4}, r"shards x micro_batch must be at most the minibatch, which is 16; got 4 x 6"),
        ({"rollout_batch": None}, r"rollout_batch must be fit, all or a whole number of at least 1; got None"),
        ({"frozen_base": "bf16"}, r"frozen_base must be one of computed, float32; got 'bf16'"),
        ({"gpus": "4x80", "shards": 2}, r"shards must be as many as gpus=4x80 has; got 2"),
        ({"gpus": "3x80"}, r"gpus must be 1, 2, 4, 8 in number; got '3x80'"),
        ({"gpus": "2xt4", "micro_batch": 1}, r"gpus must be of a device with a published peak in bfloat16, .* as"),
        ({"precision": "fp8"}, r"precision must be one of bf16, mixed, float32; got 'fp8'"),
        ({"logits_chunk": 2, "entropy_coef": 0.1}, r"logits_chunk must be null where entropy_coef is above 0"),
        ({"num_generations": 1, "micro_batch": 1}, r"num_generations must be at least 2 for adv_estimator=grpo"),
        ({"device": "cuda"}, r"workload=rl_memory simulates: device must be one of cpu; got 'cuda'"),
    ],
)
def test_what_is_wrong_in_itself_is_refused_in_a_sentence(changes, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        plan("grpo", **changes)


@pytest.mark.parametrize(
    ("minibatch", "micro_batch", "read"), [(None, None, (16, 16)), (8, None, (8, 8)), (8, 3, (8, 3))]
)
def test_batches_mean_the_same_to_a_run_and_a_projection(minibatch, micro_batch, read):
    asked = {"prompts_per_step": 4, "num_generations": 4, "minibatch": minibatch, "micro_batch": micro_batch}
    for made in (plan("grpo", **asked), of_runs.plan("grpo", **asked)):
        assert (made.minibatch, made.micro_batch) == read


def test_experts_are_right_in_themselves_and_not_projected():
    geometry = read_choice("geometry", "deepseek-v2-lite")
    refusal = plan(geometry=geometry, attention="mla").refusal
    assert refusal == "the decoder of this suite is dense, and this geometry has experts"
    assert plan().refusal is None
    critic = SMALLER["critic_sizes"] | {"moe": {}}
    assert (
        plan(**SMALLER | {"critic_sizes": critic}).refusal
        == "the decoder of this suite is dense, and this critic's geometry has experts"
    )


def test_layers_that_are_not_alike_are_not_projected():
    said = "the decoder of this suite has equal layers of plain attention, and this geometry has other ones"
    assert plan(geometry=read_choice("geometry", "gemma-4-31b")).refusal == said
    assert plan(geometry=read_choice("geometry", "qwen3.5-27b")).refusal == said
    assert plan(geometry=read_choice("geometry", "gemma-2-2b")).refusal is None


def test_parameters_are_counted_by_owner():
    counts = plan(reward_model="own").parameter_counts()
    assert counts["policy"] == counts["reference"]
    assert counts["critic"] == counts["reward_model"] == counts["policy"] - 50 * 16 + 16
    assert plan(critic="shared_trunk").parameter_counts()["critic"] == 16
    assert plan("dr_grpo").parameter_counts() == {**counts, "critic": 0, "reference": 0, "reward_model": 0}
    assert plan(lora_rank=2).parameter_counts()["reference"] == 0


def test_the_largest_unit_is_a_block_or_vocabulary_matrix():
    assert plan(geometry=TINY | {"vocab_size": 9000}).gathered_bytes == 2 * 9000 * 16
    small = plan(precision="float32")
    assert small.gathered_bytes == 4 * small.shape.block_parameter_count


def test_latent_attention_takes_no_biases_of_a_geometry():
    assert plan().shape.qkv_bias
    assert not plan(attention="mla").shape.qkv_bias


def test_the_cache_of_a_completion_follows_the_shapes():
    a_token = 2 * 2 * 8 * 2  # two layers' keys and values, of two bytes each
    assert plan().completion_cache_bytes == 12 * a_token
    assert plan(precision="float32").completion_cache_bytes == 2 * 12 * a_token
