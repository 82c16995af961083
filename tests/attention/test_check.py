"""A wrong kernel must not pass, in whichever way it is wrong."""

from dataclasses import replace

import pytest
import torch

from suite.attention import cache, check
from suite.attention.backends.eager import attend
from suite.attention.grouped import GroupedAttention
from suite.attention.problem import visible_keys
from suite.attention.workload import AttentionWorkload
from suite.configuration.files import choices, read_choice, read_yaml
from suite.measure.workload import IncorrectError, UnsupportedError

SMALL = {"window": {"window": 7}}


def settings(**changes):
    run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
    groups = {"workload": "attention", "attention": "mla", "geometry": "tiny", "backend": "auto"}
    chosen = {group: read_choice(group, changes.pop(group, name)) for group, name in groups.items()}
    return {**run, **chosen, "dtype": "float32", "seq_len": 40, **changes}


def prepared(**changes):
    workload = AttentionWorkload(settings(**changes))
    workload.prepare()
    return workload


def with_sizes(attention, **changes):
    """A prepared variant, of `sizes` of its own, or of such that a case of forty tokens shows them."""
    own = SMALL.get(attention, {}) | changes.pop("sizes", {})
    workload = AttentionWorkload({**settings(**changes), "attention": read_choice("attention", attention) | own})
    workload.prepare()
    return workload


def hidden(problem, shift=0):
    """Return the keys that a query must not see; a negative shift hides the newest keys too."""
    visible = torch.ones(problem.query_len, problem.seq_len, dtype=torch.bool)
    return ~visible.tril(problem.seq_len - problem.query_len + shift)


WRONG = {
    "scale of the cached width": lambda p, q, k, v: attend(q, k, v, scale=p.qk_dim**-0.5, hidden_ST=hidden(p)),
    "no mask": lambda p, q, k, v: attend(q, k, v, scale=p.scale, hidden_ST=None),
    "mask aligned to the top left": lambda p, q, k, v: attend(
        q, k, v, scale=p.scale, hidden_ST=~torch.ones(p.query_len, p.seq_len, dtype=torch.bool).tril()
    ),
    "last key left out": lambda p, q, k, v: attend(q, k, v, scale=p.scale, hidden_ST=hidden(p, shift=-1)),
    "keys in reverse": lambda p, q, k, v: attend(q, k.flip(2), v, scale=p.scale, hidden_ST=hidden(p)),
    "heads exchanged": lambda p, q, k, v: attend(q.flip(1), k, v, scale=p.scale, hidden_ST=hidden(p)),
    "no softmax": lambda p, q, k, v: (q @ k.mT * p.scale).masked_fill(hidden(p), 0) @ v,
    "nothing computed": lambda p, q, k, v: torch.zeros(*q.shape[:3], v.shape[-1]),
    "not a number": lambda p, q, k, v: torch.full((*q.shape[:3], v.shape[-1]), float("nan")),
}


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_kernel_is_incorrect(way):
    workload = prepared(query_len=3)
    problem = workload.work.problem
    workload.work.backend = lambda q, k, v: WRONG[way](problem, q, k, v)
    with pytest.raises(IncorrectError, match="relative error"):
        workload.check()


def test_a_kernel_that_reads_past_the_length_is_incorrect():
    workload = prepared()
    problem, right = workload.work.problem, workload.work.backend

    def peeking(q, k, v):
        whole = workload.work.cache.tensors[0]
        return right(q, k, v) + 1e-12 * whole[:, :, problem.seq_len, :1, None]

    workload.work.backend = peeking
    with pytest.raises(IncorrectError, match="past the length"):
        workload.check()


@pytest.mark.parametrize("backend", ["sdpa", "sdpa_folded"])
@pytest.mark.parametrize(("phase", "query_len"), [("prefill", 1), ("decode", 3), ("train", 1)])
def test_a_window_passes_by_each_backend_that_masks(backend, phase, query_len):
    assert with_sizes("window", backend=backend, phase=phase, query_len=query_len).check()


@pytest.mark.parametrize(("phase", "query_len"), [("prefill", 1), ("decode", 1), ("decode", 3)])
def test_sinks_are_eagers_alone_and_are_not_trained(phase, query_len):
    sinks = {"sinks": True}
    assert with_sizes("window", sizes=sinks, phase=phase, query_len=query_len).work.backend.name == "eager"
    assert with_sizes("window", sizes=sinks, phase=phase, query_len=query_len, backend="eager").check()
    with pytest.raises(UnsupportedError, match=r"^sdpa_folded does not support attention sinks; "):
        with_sizes("window", sizes=sinks, phase=phase, query_len=query_len, backend="sdpa_folded")
    with pytest.raises(UnsupportedError, match=r"^phase=train does not support attention sinks"):
        with_sizes("window", sizes=sinks, phase="train", backend="eager")


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("query_len", [1, 3, 40])
def test_a_wrong_window_or_sink_is_incorrect(sinks, query_len):
    phase = "prefill" if query_len == 40 else "decode"
    workload = with_sizes("window", sizes={"sinks": sinks}, phase=phase, query_len=query_len, backend="eager")
    assert workload.check()
    problem = workload.work.problem
    hidden_ST = ~problem.visible_keys()
    wrong = [(hidden_ST | _begin(problem, later=1), True)]  # a key too few
    wrong += [(hidden_ST & ~_begin(problem), True)] if problem.window is not None else []  # a key too many
    wrong += [(hidden_ST, False)] if sinks else []
    for hidden, has_sink in wrong:
        workload.work.backend = lambda q, k, v, *sink, hidden=hidden, has_sink=has_sink: attend(
            q, k, v, scale=problem.scale, hidden_ST=hidden, sink_H=(*sink, None)[0] if has_sink else None
        )
        with pytest.raises(IncorrectError, match="relative error"):
            workload.check()


def _begin(problem, later=0):
    """The key before each query's window, or one so much later."""
    own = problem.seq_len - problem.query_len - (problem.window or problem.seq_len) + later
    before_ST = torch.ones(problem.query_len, problem.seq_len, dtype=torch.bool).tril(own).triu(own)
    return before_ST.roll(problem.oldest_row, dims=-1)


LARGEST = {"float64": 1e-13, "float32": 1e-5, "bfloat16": 3e-2, "float16": 5e-3}


@pytest.mark.parametrize("dtype", LARGEST)
def test_an_error_just_above_the_bound_is_incorrect(dtype):
    workload = prepared(dtype=dtype)
    problem = workload.work.problem

    def off_by(share):
        def kernel(q, k, v):
            exact = check.reference_rows(q, k, v, ~hidden(problem), problem.scale)
            eagers = check.relative_error(attend(q, k, v, scale=problem.scale, hidden_ST=None), exact)
            return (exact * (1 + share * min(2 * eagers + 1e-6, LARGEST[dtype]))).to(q.dtype)

        return kernel

    workload.work.backend = off_by(0.8)
    assert workload.check()
    workload.work.backend = off_by(1.1)
    with pytest.raises(IncorrectError, match="relative error"):
        workload.check()


def test_what_rounding_adds_grows_with_the_root_of_the_keys():
    problem = replace(prepared().work.problem, dtype=torch.float32)
    for keys, added in ((40, 1e-6), (1024, 1e-6), (4096, 2e-6), (16_384, 4e-6)):
        assert check.allowed_error(1e-7, replace(problem, seq_len=keys)) == pytest.approx(2e-7 + added, rel=1e-9)
    for dtype, largest in LARGEST.items():
        assert check.allowed_error(1.0, replace(problem, dtype=getattr(torch, dtype))) == largest


class Unstated(GroupedAttention):
    """A stranger's layer: it inherits a definition and states none."""


def unstated(**changes):
    workload = AttentionWorkload(settings(attention="gqa", **changes))
    workload._layer_class = Unstated
    workload.prepare()
    return workload


@pytest.mark.parametrize("phase", ["prefill", "decode", "train"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda y_BSD: y_BSD * 0, "for two different inputs"),
        (lambda y_BSD: torch.cat((y_BSD[:, :1] * 0 + 1, y_BSD[:, 1:]), dim=1), "for two different inputs"),
        (lambda y_BSD: y_BSD * float("nan"), "not finite"),
    ],
    ids=["zeros", "one token alike", "not a number"],
)
def test_a_layer_without_definition_must_answer_its_input(damage, words, phase):
    workload = unstated(phase=phase, query_len=3)
    assert workload.facts()["layer_check"].startswith("none")
    assert workload.check()
    layer, right = workload.work.layer, workload.work.layer.output
    layer.output = lambda o_BHSv: damage(right(o_BHSv))
    with pytest.raises(IncorrectError, match=words):
        workload.check()


@pytest.mark.parametrize("cache_dtype", [None, "int8"])
def test_a_decoded_token_that_ignores_its_input_is_incorrect(cache_dtype):
    workload = unstated(cache_dtype=cache_dtype)
    assert workload.check()
    layer = workload.work.layer
    right, alike_BSD = layer.project, layer.drawn_input(workload.plan.forward, workload.work._generator)
    layer.project = lambda x_BSD, *where: right(alike_BSD, *where)
    with pytest.raises(IncorrectError, match="for two different inputs"):
        workload.check()


def test_a_score_factor_off_by_more_than_rounding_is_incorrect():
    workload = prepared()
    workload.work.layer.scale *= 1 + 3e-13
    with pytest.raises(IncorrectError, match="factor on the scores"):
        workload.check()


@pytest.mark.parametrize("attention", sorted({*choices("attention")} - {"mla_dsa"}))  # test_indexed.py has that
@pytest.mark.parametrize(("phase", "query_len"), [("prefill", 1), ("decode", 1), ("decode", 3), ("train", 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_right_kernels_pass(attention, phase, query_len, dtype):
    readings = with_sizes(attention, phase=phase, query_len=query_len, dtype=dtype).check()
    values = {reading.metric: reading.value for reading in readings}
    checked = [metric for metric in values if metric.startswith("relative_error")]
    by_gradient = 0 if phase != "train" else 2 if attention == "mla_absorbed" else 3
    assert len(checked) == len(("kernel", "q", "k", "v", "y", "scale")) + by_gradient
    assert all(0 <= values[metric] <= values[metric.replace("relative", "allowed")] for metric in checked)


BARE = {"qk_rope_head_dim": 0, "latent_norm": False}


@pytest.mark.parametrize("attention", ["mla", "mla_absorbed", "mla_latent", "mla_expanded"])
@pytest.mark.parametrize(("phase", "query_len"), [("prefill", 1), ("decode", 1), ("decode", 3), ("train", 1)])
@pytest.mark.parametrize("backend", ["auto", "eager", "sdpa", "sdpa_folded"])
def test_mla_without_rotary_part_and_norm_passes_too(attention, phase, query_len, backend):
    assert with_sizes(attention, sizes=BARE, phase=phase, query_len=query_len, backend=backend).check()


@pytest.mark.parametrize("latent", ["frozen", "slice"])
@pytest.mark.parametrize("attention", ["mla", "mla_latent", "gla"])
@pytest.mark.parametrize(("phase", "sizes"), [("decode", {}), ("train", {"qk_rope_head_dim": 0})])
def test_a_latent_that_is_not_trained_passes_too(attention, phase, sizes, latent):
    assert with_sizes(attention, sizes={**sizes, "latent": latent, "kv_lora_rank": 16}, phase=phase).check()


@pytest.mark.parametrize("backend", ["flash_mla", "flashinfer"])
def test_a_kernel_for_latent_and_rotary_part_refuses_one_alone(backend):
    sizes = {"kv_lora_rank": 512, "qk_rope_head_dim": 0}
    with pytest.raises(UnsupportedError, match=r"576.*got 1 with keys 512 and values 512 wide"):
        with_sizes("mla", sizes=sizes, dtype="bfloat16", seq_len=64, backend=backend)


@pytest.mark.parametrize("attention", ["gqa", "mla", "mla_expanded"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_folded_kernels_are_right_backwards_too(attention, dtype):
    assert prepared(attention=attention, phase="train", dtype=dtype, backend="sdpa_folded").check()


def test_a_rotary_key_wider_than_the_value_leaves_room():
    sizes = {"qk_rope_head_dim": 24, "v_head_dim": 8}
    assert with_sizes("mla_expanded", sizes=sizes, phase="train", backend="sdpa_folded").check()


@pytest.mark.parametrize("seq_len", [200, 600])
def test_the_kernel_whose_gradients_are_checked_is_timed(seq_len):
    work = prepared(phase="train", seq_len=seq_len).work
    assert type(work.checked_backend) is type(work.backend)
    assert work.backend.name == ("eager" if seq_len == 200 else "sdpa_folded")
    assert work.checked_backend.problem.seq_len < 300


@pytest.mark.parametrize(("attention", "letter"), [("gqa", "q"), ("gqa", "k"), ("gqa", "v"), ("mla_absorbed", "k")])
def test_a_wrong_gradient_behind_a_right_output_is_incorrect(attention, letter):
    workload = prepared(attention=attention, phase="train")
    right = workload.work.checked_backend

    def wrong(**inputs):
        inputs[letter] = inputs[letter] * 1.1 - (inputs[letter] * 0.1).detach()  # the same number, a larger gradient
        return right(*inputs.values())

    workload.work.checked_backend = lambda q, k, v: wrong(q=q, k=k, v=v)
    with pytest.raises(IncorrectError, match=f"relative error of d{letter.upper()}"):
        workload.check()


def test_the_gradient_of_a_key_that_is_the_value_too_holds_both():
    problem = prepared(attention="mla_absorbed", phase="train").work.problem
    _, k, v = check.leaves(*(torch.randn(1, 1, 2, width) for width in (40, 40, 32)), problem)
    (only_value,) = torch.autograd.grad(v.sum(), k)
    assert only_value.sum() == 2 * problem.v_dim


def test_at_a_long_context_one_key_left_out_does_not_pass():
    workload = prepared(seq_len=16384, backend="sdpa")
    assert workload.check()
    problem, left_out = workload.work.problem, torch.zeros(1, 16384, dtype=torch.bool)
    left_out[0, 5000] = True
    workload.work.backend = lambda q, k, v: attend(q, k, v, scale=problem.scale, hidden_ST=left_out)
    with pytest.raises(IncorrectError, match="relative error"):
        workload.check()


def test_the_inputs_of_every_check_are_drawn_fresh():
    workload = prepared()
    before = workload.work.projected[0].clone()
    workload.check()
    assert not torch.equal(before, workload.work.projected[0])


def test_streamed_keys_give_what_all_keys_at_once_give(monkeypatch):
    workload = prepared(query_len=3)
    q, k, v = workload.work.projected
    visible = visible_keys(3, 40, torch.device("cpu"))
    whole = check.reference_rows(q, k, v, visible, 0.2)
    monkeypatch.setattr(check, "KEY_BLOCK", 7)
    assert check.relative_error(check.reference_rows(q, k, v, visible, 0.2), whole) < 1e-14


def test_a_long_cache_repeats_what_was_drawn_and_no_row(monkeypatch):
    monkeypatch.setattr(cache, "DRAWN", 53)
    filled = cache.Cache(batch=1, kv_heads=2, length=8, widths=(4,), dtype=torch.float32, device=torch.device("cpu"))
    filled.fill(torch.Generator().manual_seed(0))
    (tokens,) = filled.views()
    assert len(tokens.unique()) <= 53 < tokens.numel()
    assert len(tokens.flatten(0, 2).unique(dim=0)) == 2 * 8


def test_every_row_is_compared_up_to_so_many_scores():
    problem = replace(prepared(phase="prefill").work.problem, heads=16, seq_len=2048)
    few, many = (replace(problem, query_len=count) for count in (2047, 2048))
    chance = torch.Generator().manual_seed(0)
    assert check._compared_positions(few, chance).tolist() == list(range(2047))
    assert len(check._compared_positions(many, chance)) <= 64


def test_sampled_rows_of_a_long_prefill_hold_ends_and_middle(monkeypatch):
    monkeypatch.setattr(check, "WHOLE_BELOW_SCORES", 1)
    short = prepared(attention="mla_absorbed", phase="prefill").work.problem
    problem = replace(short, heads=16, query_len=1000, seq_len=1000)
    positions = check._compared_positions(problem, torch.Generator().manual_seed(0)).tolist()
    assert {0, 499, 500, 999} <= set(positions)
    assert len(positions) * 16 <= 64
