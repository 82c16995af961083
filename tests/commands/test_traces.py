"""`suite trace`: batches in flashinfer-bench's format are read and written; what is written computes attention."""

import json

import numpy
import pytest
import safetensors.numpy
import torch

from suite.commands import traces
from suite.commands.traces import read, write
from suite.theory.layers.attention_plan import AttentionPlan
from suite.theory.layers.flashinfer_bench import definition_of, kernel_of, workload_of
from tests.attention.test_ragged import settings
from tests.records.factory import build, store

MIXED = "2q1s9_q3s21_q1s40"
DECODE = "3q1s9_2q1s33"


@pytest.fixture
def folder(tmp_path):
    """A function that writes one definition and one workload of it, and returns the file of workloads."""

    def add(name, inputs, tables, **sizes):
        path = tmp_path / "definitions" / "gqa_paged" / f"{name}.json"
        path.parent.mkdir(parents=True)
        axes = {axis: {"type": "const", "value": size} for axis, size in sizes.items()}
        path.write_text(json.dumps({"name": name, "op_type": name[:9], "axes": axes, "inputs": inputs}))
        blob = {table: numpy.array(numbers, "int32") for table, numbers in tables.items()}
        safetensors.numpy.save_file(blob, tmp_path / "tables.safetensors")
        sources = {t: {"type": "safetensors", "path": "./tables.safetensors", "tensor_key": t} for t in tables}
        own = {tensor: sources.get(tensor, {"type": "random"}) for tensor in inputs}
        file = tmp_path / "workloads" / "gqa_paged" / f"{name}.jsonl"
        file.parent.mkdir(parents=True)
        entry = {"definition": name, "workload": {"uuid": "a", "axes": {}, "inputs": own}, "solution": None}
        file.write_text(2 * f"{json.dumps(entry)}\n")
        return file

    return add


def inputs_of(*tables, dtype="bfloat16"):
    tensors = dict.fromkeys(("q", "k_cache", "v_cache"), dtype) | dict.fromkeys(tables, "int32")
    return {name: {"dtype": dtype} for name, dtype in tensors.items()}


HEADS = {"num_qo_heads": 32, "num_kv_heads": 8, "head_dim": 128}


def test_batches_are_read_as_settings(folder, capsys):
    tables = {"kv_indptr": [0, 3, 3, 5, 6], "kv_last_page_len": [16, 7, 5, 5]}
    assert read([folder("gqa_paged_decode", inputs_of(*tables), tables, **HEADS, page_size=16)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "# gqa_paged_decode: 2 workloads, 1 different batches; 2 sequences without tokens are left out",
        "suite run -m attention=gqa attention.kv_heads=8 geometry.head_dim=128 geometry.num_heads=32 dtype=bfloat16 "
        "page_size=16 seqs=1q1s5_1q1s21_1q1s48",
    ]


def test_new_tokens_are_read_beside_all(folder, capsys):
    tables = {"qo_indptr": [0, 4, 5], "kv_indptr": [0, 4, 70]}
    sizes = {**HEADS, "num_kv_heads": 1}
    read([folder("gqa_paged_prefill_causal", inputs_of(*tables), tables, **sizes, page_size=1)])
    assert capsys.readouterr().out.splitlines()[1].endswith("page_size=1 seqs=1q1s66_1q4s4")


@pytest.mark.parametrize(
    ("name", "inputs", "tables", "page_size", "words"),
    [
        ("moe_paged", inputs_of("kv_indptr"), {"kv_indptr": [0, 1]}, 1, "must be of causal attention, of gqa_paged"),
        ("gqa_paged_prefill", inputs_of("qo_indptr"), {"qo_indptr": [0, 1]}, 1, "must be of causal attention"),
        ("gqa_paged_fp8", inputs_of(dtype="float8_e4m3fn"), {}, 1, "in one of float32, bfloat16, float16; got float8"),
        ("gqa_paged_ps16", inputs_of("kv_indptr"), {"kv_indptr": [0, 1]}, 16, "kv_last_page_len must be an input"),
        ("gqa_paged_drawn", inputs_of("kv_indptr"), {}, 1, "kv_indptr must come from a file of safetensors"),
        ("gqa_paged_square", inputs_of("kv_indptr"), {"kv_indptr": [[0, 1]]}, 1, "must be a list of at most"),
        ("gqa_paged_back", inputs_of("kv_indptr"), {"kv_indptr": [0, -1]}, 1, "as many tokens as new ones"),
        ("gqa_paged_none", inputs_of(), {}, 1, "as flashinfer-bench writes them; got KeyError: 'kv_indptr'"),
    ],
)
def test_what_is_not_of_the_format_is_refused(folder, name, inputs, tables, page_size, words):
    with pytest.raises(ValueError, match=words):
        read([folder(name, inputs, tables, **HEADS, page_size=page_size)])


@pytest.mark.parametrize(
    ("limit", "most", "words"),
    [
        ("MOST_BYTES", 100, "is larger than 100 bytes"),
        ("MOST_SEQUENCES", 4, "must be a list of at most 4 numbers"),
        ("MOST_SEQUENCES", 7, "must have at most 7 sequences in all"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(folder, monkeypatch, limit, most, words):
    tables = {"kv_indptr": [0, 3, 3, 5, 6], "kv_last_page_len": [16, 7, 5, 5]}
    file = folder("gqa_paged_decode", inputs_of(*tables), tables, **HEADS, page_size=16)
    monkeypatch.setattr(traces, limit, most)
    with pytest.raises(ValueError, match=words):
        read([file])


def test_workloads_lie_below_their_definitions(tmp_path):
    with pytest.raises(ValueError, match="below the folder that has their definitions/"):
        read([tmp_path / "workloads.jsonl"])


@pytest.mark.parametrize("seqs", [DECODE, MIXED])
@pytest.mark.parametrize(("attention", "page_size"), [("gqa", 4), ("mqa", None), ("mla", 16)])
def test_runs_are_written_once_and_read_as_they_were(tmp_path, capsys, seqs, attention, page_size):
    measured = settings(seqs, attention=attention, page_size=page_size, dtype="bfloat16")
    store(tmp_path / "runs", build(settings=measured))
    for count in (1, 0):
        assert write([tmp_path / "runs"], tmp_path / "traces") == 0
        assert f"{count} workloads written; 0 runs" in capsys.readouterr().out
    (file,) = (tmp_path / "traces" / "workloads").rglob("*.jsonl")
    read([file])
    command = capsys.readouterr().out.splitlines()[1]
    plan = AttentionPlan(measured)
    groups = sorted(plan.sequences, key=lambda group: (group.query_len, group.seq_len))
    spelled = "_".join(f"{group.count}q{group.query_len}s{group.seq_len}" for group in groups)
    assert command.endswith(f"seqs={spelled}")
    variant = {"gqa": "mqa"}.get(attention, attention)  # these sizes leave GQA one group
    assert f"attention={variant} " in command
    assert f"geometry.num_heads={plan.shape.num_heads} " in command


@pytest.mark.parametrize("attention", ["gqa", "mla"])
@pytest.mark.parametrize(("seqs", "page_size"), [(DECODE, None), (DECODE, 16), (MIXED, 4)])
def test_a_written_definition_computes_attention(attention, seqs, page_size):
    plan = AttentionPlan(settings(seqs, attention=attention, page_size=page_size))
    kernel = kernel_of(plan)
    definition = definition_of(kernel, is_decode=seqs == DECODE)
    entry, tables = workload_of(definition, kernel, plan)
    sizes = kernel.sizes | entry["workload"]["axes"]
    given = {
        name: torch.randn([sizes[axis] for axis in tensor["shape"]])
        for name, tensor in definition["inputs"].items()
        if tensor["dtype"] == "float32" and tensor["shape"]
    }
    given |= {name: torch.from_numpy(column) for name, column in tables.items()}
    scale = given["sm_scale"] = entry["workload"]["inputs"]["sm_scale"]["value"]
    exec(definition["reference"], code := {})
    output, lse = code["run"](*(given[name] for name in definition["inputs"]))
    if attention == "mla":
        queries, keys = (
            torch.cat([given[a], given[b]], -1) for a, b in (("q_nope", "q_pe"), ("ckv_cache", "kpe_cache"))
        )
        keys, values = keys[:, :, None], given["ckv_cache"][:, :, None]
    else:
        queries, keys, values = given["q"], given["k_cache"], given["v_cache"]
    ends, first = [0, *given["kv_indptr"][1:].tolist()], 0
    for number, sequence in enumerate(each for group in plan.sequences for each in [group] * group.count):
        pages, new = given["kv_indices"][ends[number] : ends[number + 1]].long(), sequence.query_len
        own_keys, own_values = (
            x[pages].flatten(0, 1)[: sequence.seq_len].transpose(0, 1).double() for x in (keys, values)
        )
        own = queries[first : first + new].transpose(0, 1).double()
        scores = own @ own_keys.repeat_interleave(len(own) // len(own_keys), 0).transpose(1, 2) * scale
        scores += torch.full_like(scores, -torch.inf).triu(sequence.seq_len - new + 1)
        expected = scores.softmax(-1) @ own_values.repeat_interleave(len(own) // len(own_values), 0)
        torch.testing.assert_close(output[first : first + new].double(), expected.transpose(0, 1), rtol=1e-4, atol=1e-5)
        base_two = scores.logsumexp(-1).T / torch.tensor(2.0).log()
        torch.testing.assert_close(lse[first : first + new].double(), base_two, rtol=1e-4, atol=1e-4)
        first += new
    assert first == len(output)
