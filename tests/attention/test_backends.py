"""Which operators really run, and what is refused. What compiles takes seconds to import: its tests do so."""

import subprocess
from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend

from suite.attention import check
from suite.attention.backends import auto, needs, sdpa_folded
from suite.attention.backends.auto import choose
from suite.attention.backends.cpp import Cpp
from suite.attention.backends.eager import Eager
from suite.attention.backends.needs import AbsentError, PackagedBackend
from suite.attention.backends.sdpa import Sdpa
from suite.attention.backends.sdpa_by_name import SdpaCudnn, SdpaEfficient, SdpaFlash
from suite.attention.backends.sdpa_folded import SdpaFolded
from suite.attention.problem import ValueLayout, joined_key
from suite.measure.meter import Meter
from suite.measure.profiling import AllocatorProbe
from suite.measure.workload import UnsupportedError
from tests.attention.test_check import prepared
from tests.kernels import shapes
from tests.measure.devices.simulated_cuda import BYTES_PER_S, L2_BYTES, START_S, simulated_cuda

DECODE = replace(shapes.ABSORBED, heads=4, seq_len=128, qk_dim=40, v_dim=32, scale=0.2)
FLASH, MATH = "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math"


def has_compiler():
    try:
        needs.cpp_compiler("flex")
    except AbsentError:
        return False
    return True


needs_compiler = pytest.mark.skipif("not has_compiler()", reason="flex needs a C++ compiler")  # asked when a test runs


def inputs(problem):
    q = torch.randn(problem.batch, problem.heads, problem.query_len, problem.qk_dim).to(problem.dtype)
    if problem.value_layout is ValueLayout.ENDS_OF_KEY:
        return shapes.drawn(problem)
    buffer = torch.randn(problem.batch, problem.kv_heads, problem.seq_len, problem.qk_dim + problem.v_dim)
    k, v = buffer.to(problem.dtype).split((problem.qk_dim, problem.v_dim), dim=-1)
    return (q, k, k[..., : problem.v_dim]) if problem.value_layout is ValueLayout.PREFIX_OF_KEY else (q, k, v)


def assert_close(output, expected, dtype):
    tolerance = {} if dtype is torch.float32 else {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(output, expected, **tolerance)


def operators(backend, problem):
    drawn, probe = inputs(problem), AllocatorProbe()
    kernel = backend(problem).autotuned(*drawn)
    with torch.inference_mode(), Meter(probe).span("kernel"):
        kernel(*drawn)
    return probe.operators[0]


@pytest.mark.parametrize("query_len", [1, 2, 128])
@pytest.mark.parametrize(
    ("kv_heads", "v_dim", "value_layout"),
    [
        (1, 32, ValueLayout.PREFIX_OF_KEY),
        (2, 40, ValueLayout.SEPARATE),
        (2, 32, ValueLayout.ENDS_OF_KEY),
        (4, 40, ValueLayout.SEPARATE),
        (4, 32, ValueLayout.SUFFIX_OF_BUFFER),
        (4, 8, ValueLayout.SUFFIX_OF_BUFFER),
    ],
)
def test_folded_keeps_the_fast_kernel(query_len, kv_heads, v_dim, value_layout):
    problem = replace(DECODE, query_len=query_len, kv_heads=kv_heads, v_dim=v_dim, value_layout=value_layout)
    ran = operators(SdpaFolded, problem)
    assert FLASH in ran
    assert MATH not in ran


def test_plain_sdpa_falls_to_math_where_the_value_is_narrower():
    assert MATH in operators(Sdpa, DECODE)


@pytest.mark.parametrize("changes", [{}, {"kv_heads": 2, "value_layout": ValueLayout.ENDS_OF_KEY}])
@pytest.mark.parametrize("batch", [1, 3])
def test_folded_copies_neither_keys_nor_values_of_a_cache(changes, batch):
    ran = operators(SdpaFolded, replace(DECODE, batch=batch, **changes))
    assert "clone" not in ran
    assert "copy_" not in ran


@pytest.mark.parametrize("backend", [Eager, SdpaFolded, Sdpa])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
def test_latents_around_one_rotary_key_are_two_heads(backend, dtype, batch):
    sizes = {"kv_heads": 2, "query_len": 3, "value_layout": ValueLayout.ENDS_OF_KEY}
    problem = replace(DECODE, dtype=dtype, batch=batch, **sizes)
    drawn = inputs(problem)
    apart = Eager(replace(problem, value_layout=ValueLayout.SEPARATE))(*(x.contiguous() for x in drawn))
    assert_close(backend(problem)(*drawn), apart, dtype)
    if backend is Eager:
        assert ("addmm" in operators(Eager, problem)) == (batch > 1 or dtype is torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_key_part_that_groups_share_is_never_written_out(dtype, batch):
    problem = replace(DECODE, batch=batch, kv_heads=2, query_len=3, value_layout=ValueLayout.SEPARATE, dtype=dtype)
    state_BGTd = torch.randn(batch, 2, problem.seq_len + 3, 32).to(dtype)[:, :, : problem.seq_len]
    shared_B1Tr = torch.randn(batch, 1, problem.seq_len + 3, 8).to(dtype)[:, :, : problem.seq_len]
    q_BHSd, probe = torch.randn(batch, 4, 3, 40).to(dtype), AllocatorProbe()
    kernel = Eager(replace(problem, shared_key_dim=8))
    with torch.inference_mode(), Meter(probe).span("kernel"):
        output = kernel(q_BHSd, state_BGTd, state_BGTd, shared_B1Tr)
    assert not {"clone", "expand"} & set(probe.operators[0])
    expected = Eager(problem)(q_BHSd, joined_key(state_BGTd, shared_B1Tr), state_BGTd)
    assert_close(output, expected, dtype)


@pytest.mark.parametrize(("v_dim", "value_layout"), [(32, ValueLayout.SEPARATE), (48, ValueLayout.SUFFIX_OF_BUFFER)])
def test_folded_refuses_a_value_that_no_view_holds(v_dim, value_layout):
    with pytest.raises(UnsupportedError, match=f"{v_dim} and 40"):
        SdpaFolded(replace(DECODE, v_dim=v_dim, value_layout=value_layout))


def test_auto_prefills_folded_where_it_fits():
    prefill = replace(DECODE, query_len=128)
    assert choose(prefill).name == "sdpa_folded"
    assert choose(replace(prefill, value_layout=ValueLayout.SEPARATE)).name == "eager"


@pytest.mark.parametrize("value_layout", [ValueLayout.SEPARATE, ValueLayout.SUFFIX_OF_BUFFER])
@pytest.mark.parametrize("query_len", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_eager_multiplies_16_bits_in_a_roomy_cache_by_group(value_layout, query_len, dtype):
    problem = replace(DECODE, batch=2, kv_heads=2, query_len=query_len, value_layout=value_layout, dtype=dtype)
    q, k, v = inputs(problem)
    dense = Eager(problem)(q, k.contiguous(), v.contiguous())
    assert_close(Eager(problem)(q, k, v), dense, dtype)
    assert ("addmm" in operators(Eager, problem)) == (dtype is not torch.float32)


def chosen(monkeypatch, times_s, **changes):
    """What `auto` takes where the backends it tries take so long."""
    monkeypatch.setattr(auto, "least_s", lambda backend, *inputs: times_s[backend.name])
    problem = replace(DECODE, **changes)
    return choose(problem).autotuned(*inputs(problem))


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("folded_s", "eager_s", "name"), [(0.95, 2.0, "cpp"), (0.8, 0.7, "eager"), (0.5, 0.6, "sdpa_folded")]
)
def test_auto_decodes_by_the_fastest_on_the_very_inputs(monkeypatch, dtype, folded_s, eager_s, name):
    times_s = {"cpp": 1.0, "sdpa_folded": folded_s, "eager": eager_s}
    found = chosen(monkeypatch, times_s, query_len=3, dtype=dtype)
    assert found.name == name
    slower = {other: seconds for other, seconds in times_s.items() if other != name}
    fared = [f"{other} took {seconds / times_s[name]:.2f}× as long" for other, seconds in slower.items()]
    assert found.form.endswith("; ".join(fared))


@pytest.mark.parametrize(("eager_s", "name"), [(0.8, "eager"), (0.95, "sdpa_folded"), (1.7, "sdpa_folded")])
def test_auto_says_what_it_did_not_try(monkeypatch, eager_s, name):
    found = chosen(monkeypatch, {"eager": eager_s, "sdpa_folded": 1.0}, dtype=torch.float16)
    assert found.name == name
    assert found.form.endswith("not tried: cpp supports float32, bfloat16; got float16")


def test_auto_may_have_one_way_only(monkeypatch):
    def tried(**changes):
        problem = replace(DECODE, query_len=5, **changes)
        return [backend.name for backend in choose(problem)._computing(*inputs(problem))[0]]

    assert tried(value_layout=ValueLayout.SEPARATE) == ["eager"]
    assert tried() == ["sdpa_folded", "eager"]
    monkeypatch.setattr(auto, "MOST_SCORES", 4 * 5 * 127)
    assert tried() == ["sdpa_folded"]


def stand_in(name, *, form=None, refuses=None, fails=None):
    """An installed backend, as far as `auto` can tell."""

    class StandIn(Eager):
        def check(self, problem):
            if refuses:
                raise refuses

        def __call__(self, *inputs):
            if fails:
                raise fails
            return super().__call__(*inputs)

    StandIn.name, StandIn.form = name, form
    return StandIn


class Failing(PackagedBackend):
    name, distribution = "fa3", "flash-attn-3"

    def set_up(self, problem):
        pass

    def __call__(self, *inputs):
        raise KeyError("sm_90")


INSTALLED = (
    stand_in("triton", form="two splits"),
    stand_in("flashinfer"),
    stand_in("flash_mla", refuses=UnsupportedError("flash_mla is not for this problem")),
    stand_in("flash_attn", refuses=AbsentError("flash_attn is not here")),
    Failing,
    stand_in("sdpa_folded", fails=torch.OutOfMemoryError("tried to allocate 2 GiB")),
    Eager,
)


@pytest.mark.parametrize(
    ("package_s", "eager_s", "name", "form"),
    [
        (0.95, 2.0, "triton", "two splits; flashinfer took 0.95× as long; eager took 2.00× as long"),
        (0.50, 0.8, "flashinfer", "triton took 2.00× as long; eager took 1.60× as long"),
    ],
)
def test_auto_tries_on_a_gpu_what_is_installed(monkeypatch, package_s, eager_s, name, form):
    monkeypatch.setattr(auto, "DECODING", INSTALLED)
    times_s = {"triton": 1.0, "flashinfer": package_s, "eager": eager_s}
    found = chosen(monkeypatch, times_s, device=torch.device("cuda"))
    assert found.name == name
    assert found.form.split("; not tried: ") == [
        form,
        "flash_attn is not here",
        "fa3: the package flash-attn-3 fails on this problem (KeyError: 'sm_90')",
        "sdpa_folded needs more memory than there is",
    ]


def test_a_bug_of_ours_is_no_refusal(monkeypatch):
    monkeypatch.setattr(auto, "DECODING_ON_A_CPU", (stand_in("cpp", fails=AssertionError("a bug")), Eager))
    with pytest.raises(AssertionError, match=r"^a bug$"):
        choose(DECODE).autotuned(*inputs(DECODE))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_auto_without_packages_decodes_by_torch_on_a_gpu(monkeypatch):
    latent = {"qk_dim": 576, "v_dim": 512, "dtype": torch.bfloat16, "device": torch.device("cuda")}
    found = chosen(monkeypatch, {"sdpa_folded": 1.0, "eager": 0.5}, **latent)
    assert found.name == "eager"
    tried, *not_tried = found.form.split("; not tried: ")
    assert tried == "sdpa_folded took 2.00× as long"
    assert [reason.partition(" needs ")[0] for reason in not_tried] == ["triton", "flashinfer", "flash_mla", "fa3"]


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_auto_falls_to_its_rule_where_no_fast_path_computes(needs_gradient):
    changes = {"query_len": 128, "v_dim": 40, "value_layout": ValueLayout.SEPARATE, "dtype": torch.float64}
    problem = replace(DECODE, **changes, needs_gradient=needs_gradient, device=torch.device("cuda"))
    found = choose(problem).autotuned(*inputs(problem))
    assert found.name == "sdpa_folded"
    assert found.form == "not tried: sdpa_flash supports bfloat16, float16; got float64"


@pytest.mark.parametrize("changes", [{"query_len": 128}, {"query_len": 128, "needs_gradient": True}])
def test_auto_tries_torchs_fast_paths_on_rows(monkeypatch, changes):
    fast = [type(kind.__name__, (kind,), {"check": lambda self, problem: None}) for kind in auto.ROWS[1:3]]
    monkeypatch.setattr(auto, "ROWS", [auto.ROWS[0], *fast])
    for kind in fast:  # torch has no other on a CPU
        monkeypatch.setattr(kind, "kernel", SDPBackend.FLASH_ATTENTION)
        monkeypatch.setattr(kind, "widens", True)
    times_s = {"sdpa_efficient": 1.0, "sdpa_cudnn": 2.0}
    found = chosen(monkeypatch, times_s, **changes, device=torch.device("cuda"))
    assert found.name == "sdpa_efficient"
    assert found.form.startswith("sdpa_cudnn took 2.00× as long; not tried: sdpa_flash supports bfloat16")


def test_a_try_takes_the_clock_of_its_device(monkeypatch):
    tries = {"event_s": iter([9.0, 7.0, 8.0]), "wall_s": iter([5.0, 6.0, 4.0])}
    for clock, taken_s in tries.items():
        monkeypatch.setattr(auto, clock, lambda work, taken_s=taken_s: work() or next(taken_s))
    for device, seconds in (("cuda", 7.0), ("cpu", 4.0)):  # the shortest counts: others' work only adds to one
        backend = Eager(replace(DECODE, device=torch.device(device)))
        assert auto.least_s(backend, *inputs(DECODE)) == seconds


def test_a_try_in_training_has_a_backward_pass():
    problem, ran = replace(DECODE, query_len=128, needs_gradient=True), []

    class Watched(Eager):
        def __call__(self, *inputs):
            output = super().__call__(*inputs)
            output.register_hook(lambda gradient: ran.append(gradient.shape))
            return output

    with torch.no_grad():  # as a workload is prepared
        auto.least_s(Watched(problem), *inputs(problem))
    assert ran == [(1, 4, 128, 32)] * auto.TRIES


def test_a_try_on_a_gpu_takes_what_the_device_takes(monkeypatch):
    with simulated_cuda(monkeypatch):
        # More than the L2 holds, so that what is written is written back, at whatever address it begins.
        values = torch.ones(2 * L2_BYTES // 4)
        read_s = values.nbytes / BYTES_PER_S
        assert auto.event_s(values.sum) == pytest.approx(START_S + read_s, rel=0.05), "cold, and without its launch"
        assert auto.event_s(lambda: [values.neg_() for _ in range(50)]) > 50 * START_S + read_s


@needs_compiler
def test_our_kernel_is_named_among_what_ran():
    assert "cpp_decode" in operators(Cpp, DECODE)


@needs_compiler
def test_auto_leaves_out_a_kernel_that_wants_another_layout():
    problem = replace(DECODE, query_len=3)
    q, k, v = inputs(problem)
    found = choose(problem).autotuned(q.mT.contiguous().mT, k, v)
    assert found.name != "cpp"
    assert found.form.endswith("not tried: cpp needs the columns of queries, keys and values to be adjacent in memory")


@pytest.mark.parametrize("attention", ["mha", "gqa", "mla", "mla_latent", "mla_expanded"])
def test_a_workload_settles_what_auto_leaves_open(attention):
    workload = prepared(attention=attention, dtype="bfloat16")
    assert workload.facts()["backend"] in ("cpp", "eager", "sdpa_folded")
    assert "× as long" in workload.facts()["backend_form"]
    assert workload.check()


def test_a_training_step_checks_the_kernel_that_was_tried(monkeypatch):
    monkeypatch.setattr(auto, "tried_for", lambda problem: (SdpaFolded, Eager))
    monkeypatch.setattr(auto, "least_s", lambda backend, *inputs: {"sdpa_folded": 2.0, "eager": 1.0}[backend.name])
    workload = prepared(phase="train", seq_len=300)
    assert workload.facts()["backend_form"] == "sdpa_folded took 2.00× as long"
    assert type(workload.work.checked_backend) is type(workload.work.backend) is Eager
    assert workload.check()


def test_auto_trains_a_narrower_value_eagerly_up_to_a_length():
    training = replace(DECODE, query_len=128, needs_gradient=True)
    assert choose(training).name == "eager"
    assert choose(replace(training, query_len=513, seq_len=513)).name == "sdpa_folded"
    assert choose(replace(training, v_dim=40, kv_heads=4, value_layout=ValueLayout.SEPARATE)).name == "sdpa_folded"


@pytest.mark.parametrize("value_layout", [ValueLayout.SEPARATE, ValueLayout.SUFFIX_OF_BUFFER])
def test_a_single_row_passed_twice_gives_what_it_gives_once(monkeypatch, value_layout):
    problem = replace(DECODE, kv_heads=4, v_dim=40, value_layout=value_layout, dtype=torch.bfloat16)
    drawn, outputs = inputs(problem), {}
    for twice in (True, False):
        monkeypatch.setattr(sdpa_folded, "twice_is_faster", lambda dtype, twice=twice: twice)
        backend = SdpaFolded(problem)
        outputs[backend.form] = backend(*drawn)
    once, again = outputs.values()
    assert [form.rpartition(" ")[2] for form in outputs] == ["twice", "once"]
    assert once.shape == again.shape
    torch.testing.assert_close(once, again, rtol=0.02, atol=0.02)


def test_only_a_single_bfloat16_row_is_ever_passed_twice(monkeypatch):
    monkeypatch.setattr(sdpa_folded, "twice_is_faster", lambda dtype: True)
    one_row = replace(DECODE, kv_heads=4, v_dim=40, value_layout=ValueLayout.SEPARATE, dtype=torch.bfloat16)
    assert SdpaFolded(one_row).form is not None
    for other in (replace(one_row, dtype=torch.float32), replace(one_row, kv_heads=2), replace(one_row, query_len=2)):
        assert SdpaFolded(other).form is None


@needs_compiler
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("query_len", [1, 3, 128])
@pytest.mark.parametrize(("kv_heads", "value_layout"), [(1, ValueLayout.PREFIX_OF_KEY), (2, ValueLayout.SEPARATE)])
def test_flex_scores_and_masks_as_eager_does(monkeypatch, query_len, kv_heads, value_layout):
    from suite.attention.backends.flex import Flex

    # Uncompiled, which is the same definition: compiling takes seconds a problem, and one test below does it.
    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    problem = replace(DECODE, query_len=query_len, kv_heads=kv_heads, value_layout=value_layout)
    drawn = inputs(problem)
    for same in (problem, replace(problem, window=20), replace(problem, window=126, oldest_row=50)):
        torch.testing.assert_close(Flex(same)(*drawn), Eager(same)(*drawn), rtol=1e-4, atol=1e-5)


def test_flex_skips_blocks_of_keys_outside_a_window(monkeypatch):
    from suite.attention.backends.flex import Flex

    monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
    problem = replace(DECODE, query_len=1024, seq_len=1024)
    whole, windowed = (Flex(one)._block_mask.sparsity() for one in (problem, replace(problem, window=128)))
    assert (whole, windowed) == (pytest.approx(100 * 28 / 64), pytest.approx(100 * (64 - 15) / 64))


def test_flex_says_that_it_has_no_compiler(no_compiler):
    from suite.attention.backends.flex import Flex

    with pytest.raises(UnsupportedError, match=r"needs a C\+\+ compiler"):
        Flex(DECODE)


@pytest.mark.parametrize("query_len", [1, 3, 128])
@pytest.mark.parametrize("value_layout", [ValueLayout.PREFIX_OF_KEY, ValueLayout.SUFFIX_OF_BUFFER])
def test_a_kernel_by_name_is_the_folded_form_with_it_alone(query_len, value_layout):
    problem = replace(DECODE, query_len=query_len, value_layout=value_layout)
    drawn = inputs(problem)
    backend = SdpaFlash(problem).autotuned(*drawn)
    assert torch.equal(backend(*drawn), SdpaFolded(problem)(*drawn))
    ran = operators(SdpaFlash, problem)
    assert FLASH in ran
    assert MATH not in ran


def test_a_kernel_by_name_without_a_backward_pass_is_refused(monkeypatch):
    problem = replace(DECODE, query_len=128, needs_gradient=True)

    def no_plan(*arguments):
        raise RuntimeError("cuDNN Frontend error: no valid execution plans\nand where")

    monkeypatch.setattr(check, "gradients", no_plan)
    with (
        torch.no_grad(),
        pytest.raises(UnsupportedError, match=r"RuntimeError: cuDNN Frontend error: no valid execution plans$"),
    ):
        SdpaFlash(problem).autotuned(*inputs(problem))


@pytest.mark.parametrize("query_len", [1, 3, 128])
@pytest.mark.parametrize("value_layout", list(ValueLayout))
@pytest.mark.parametrize("backend", [SdpaCudnn, SdpaEfficient])
def test_a_kernel_for_any_widths_gets_the_value_as_it_is(monkeypatch, backend, value_layout, query_len):
    kv_heads = 2 if value_layout is ValueLayout.ENDS_OF_KEY else 1
    problem = replace(DECODE, kv_heads=kv_heads, query_len=query_len, value_layout=value_layout)
    monkeypatch.setattr(backend, "check", lambda self, problem: None)  # it wants a device
    monkeypatch.setattr(backend, "kernel", SDPBackend.MATH)  # which torch has on a CPU, for any widths too
    passed, attend = [], sdpa_folded.F.scaled_dot_product_attention
    monkeypatch.setattr(
        sdpa_folded.F, "scaled_dot_product_attention", lambda q, k, v, **s: passed.append(v) or attend(q, k, v, **s)
    )
    drawn = inputs(problem)
    torch.testing.assert_close(backend(problem)(*drawn), Eager(problem)(*drawn), rtol=1e-4, atol=1e-5)
    assert passed[0].shape[-1] == problem.v_dim
    assert passed[0].data_ptr() == drawn[2].data_ptr()


def test_a_kernel_by_name_refuses_in_torchs_words():
    q, k, _ = inputs(DECODE)
    k = k.mT.contiguous().mT  # columns apart: the flash kernel wants them side by side
    with pytest.raises(UnsupportedError, match=r"^sdpa_flash: torch's kernel does not take this problem\. .*stride"):
        SdpaFlash(DECODE).autotuned(q, k, k)


def test_what_cannot_be_compiled_is_a_reason(monkeypatch):
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError

    from suite.attention.backends import compiled_eager

    errors = [
        TorchDynamoException("out of resource\nand much more"),
        CppCompileError(["g++"], "out of resource"),
        subprocess.CalledProcessError(255, "ptxas"),
        AssertionError(),
    ]

    def compiled(*inputs, **settings):
        raise error

    monkeypatch.setattr(compiled_eager, "compiled", lambda function: compiled)
    monkeypatch.setattr(compiled_eager.CompiledEager, "check", lambda self, problem: None)
    for error in errors:
        with pytest.raises(UnsupportedError) as refusal:
            compiled_eager.CompiledEager(DECODE).autotuned(*inputs(DECODE))
        said = str(error).partition("\n")[0]
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        assert str(refusal.value) == f"compiled_eager cannot be compiled for this problem ({reason})"


@needs_compiler
def test_compiled_eager_computes_as_eager_and_is_compiled_once():
    from torch._dynamo.utils import counters

    from suite.attention.backends.compiled_eager import CompiledEager

    problem = replace(DECODE, query_len=3)
    with torch.inference_mode():
        drawn = inputs(problem)
    graphs_before = counters["stats"]["unique_graphs"]
    with torch.no_grad():
        backend = CompiledEager(problem).autotuned(*drawn)
    with torch.inference_mode():
        torch.testing.assert_close(backend(*drawn), Eager(problem)(*drawn), rtol=1e-4, atol=1e-5)
    assert counters["stats"]["unique_graphs"] == graphs_before + 1


@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch compiles through its own deprecated parts
def test_flex_is_compiled_into_a_kernel_of_its_own():
    from suite.attention.backends.flex import Flex

    problem = replace(DECODE, query_len=3)
    drawn, kernel, probe = inputs(problem), Flex(problem), AllocatorProbe()
    with torch.inference_mode():
        torch.testing.assert_close(kernel(*drawn), Eager(problem)(*drawn), rtol=1e-4, atol=1e-5)
        with Meter(probe).span("kernel"):
            kernel(*drawn)
    assert not {MATH, "bmm", "softmax", "_softmax"} & set(probe.operators[0])
