import pytest

from suite.configuration.files import choices, read_choice, read_settings
from suite.rl.memory.workload import GPU_GIGABYTES as PROJECTED_GIGABYTES
from suite.rl.memory.workload import devices_needed
from suite.rl.objective import objective_from
from suite.theory.answers.fit import DEFAULTS, GPU_GIGABYTES, SHARDS, algorithm_named, fit_question_from, fits_of

ASKED = {"algorithm": "ppo", "model": "8b", "gpus": "4x80"}


def fits(**changes):
    return fits_of(fit_question_from(ASKED | changes))


@pytest.mark.parametrize("name", choices("algorithm"))
def test_an_algorithm_holds_what_its_objective_has(name):
    settings = {**read_settings("rl_memory"), **read_choice("algorithm", name)}
    objective, found = objective_from(settings, longest_completion=8), algorithm_named(name)
    assert (found.has_critic, found.has_reference, found.kl_in_loss) == (
        *(objective.has_critic, objective.has_reference, objective.kl_in_loss),
    )
    # What the closed form is of, and what an algorithm could change.
    assert (settings["entropy_coef"], settings["logits_chunk"], settings["optimiser"]) == (0, None, "fused")
    assert (settings["critic"], settings["critic_model"], settings["update_order"]) == ("own", None, "one_after_other")


def test_its_defaults_are_those_of_the_workload():
    settings = read_settings("rl_memory")
    names = {"group": "num_generations", "prompts": "prompts_per_step"}
    assert {name: settings[names.get(name, name)] for name in DEFAULTS} == DEFAULTS
    assert settings["micro_batch"] == 1
    assert settings["minibatch"] is None
    assert GPU_GIGABYTES == PROJECTED_GIGABYTES


def test_parts_add_up_to_the_peak_and_the_asked_comes_first():
    found = fits(algorithm="rloo")
    assert [one.algorithm for one in found] == ["rloo", "ppo", "vapo", "grpo", "dr_grpo"]
    for one in found:
        assert sum(one.parts.values()) == pytest.approx(one.peak_bytes)


def test_the_smallest_sets_are_the_fewest_devices_of_each_size():
    one = fits()[0]
    reserve = read_settings("rl_memory")["reserve_bytes_per_device"]
    peaks = {count: fits(gpus=f"{count}x80")[0].peak_bytes for count in SHARDS}
    expected = {size: devices_needed(peaks, size, reserve_bytes=reserve) for size in GPU_GIGABYTES}
    assert {gigabytes: count for count, gigabytes in one.sets} == {size: n for size, n in expected.items() if n}
    assert [count * gigabytes for count, gigabytes in one.sets] == sorted(count * gb for count, gb in one.sets)
    # 23.8 GB at the peak: a device of 24 GB has room for them, but not beside its reserve.
    changes = {"algorithm": "grpo", "seq_len": 4096, "prompt_len": 256, "lora_rank": 16, "precision": "mixed"}
    close = fits(**changes, gpus="1x24")[0]
    assert 24e9 - reserve < close.peak_bytes < 24e9
    assert not close.fits
    assert close.sets[:2] == [(1, 40), (2, 24)]
    assert one.fits
    assert not fits(gpus="1x80")[0].fits
    assert fits(gpus="1x80")[0].spare_bytes == pytest.approx(80e9 - reserve - peaks[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": "gropo"}, "there is no algorithm 'gropo'; did you mean grpo"),
        ({"gpus": "3x80"}, "gpus must be 1, 2, 4, 8 in number; got 3"),
        ({"prompt_len": 2047}, "prompt_len must be a whole number from 1 to 2046; got 2047"),
        ({"group": 1, "prompts": 2}, "group x prompts must be at least the GPUs; got 1 x 2 and 4"),
        ({"precision": "fp8"}, "precision must be one of bf16, mixed, float32; got 'fp8'"),
        ({"model": "deepseek-v3"}, "model must be dense, with equal layers"),
    ],
)
def test_wrong_questions_are_refused_in_a_sentence(changes, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        fit_question_from(ASKED | changes)
