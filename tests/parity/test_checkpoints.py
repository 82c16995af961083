"""Published models in our decoder against transformers' own, with the weights that either reads from the same files."""

import json
import math
import random

import pytest
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config

from suite.commands.run import main
from suite.lm.checkpoint.load import load_decoder
from suite.lm.checkpoint.locate import locate_checkpoint, missing
from suite.lm.checkpoint.tokenizer import load_tokenizer
from suite.lm.packed import PackedDecoder, packs
from suite.measure.workload import UnsupportedError
from suite.records.record import Status
from suite.records.stores.store import read_contents
from suite.rl.policy import FORM, CheckpointVocabulary
from suite.rl.tasks.sorting import Sorting
from tests.parity.conftest import SMOLLM2

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 320,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "eos_token_id": 1,
    "initializer_range": 0.2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES, tie_word_embeddings=False, rms_norm_eps=1e-3),
    "llama, tied, of wide heads": LlamaConfig(**SIZES, tie_word_embeddings=True, head_dim=16),
    "llama 3.1's angles": LlamaConfig(**SIZES, tie_word_embeddings=False, rope_parameters=LLAMA3),
    "llama, no groups": LlamaConfig(**{**SIZES, "num_key_value_heads": 4}),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=False),
    "qwen2, tied": Qwen2Config(**SIZES, tie_word_embeddings=True),
}
CLOSE = 1e-5
"""Of logits, relative to the largest: float32's rounding, summed in another order."""

smollm2_at_hand = pytest.mark.skipif(missing(SMOLLM2) is not None, reason=str(missing(SMOLLM2)))


def their_checkpoint(config, folder, **saving):
    """A random model that transformers has saved: gains and biases drawn too, so that one in the wrong place shows."""
    torch.manual_seed(3)
    theirs = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5)
    theirs.save_pretrained(folder, **saving)
    return theirs


def difference(ours, theirs, tokens_BS):
    with torch.no_grad():
        wanted = theirs(tokens_BS).logits
        return float((ours.logits(ours(tokens_BS)) - wanted).abs().max() / wanted.abs().max())


def loaded(checkpoint):
    return load_decoder(str(checkpoint), positions=160, dtype=torch.float32, device=CPU)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_a_folder_are_theirs(name, tmp_path):
    theirs = their_checkpoint(CONFIGS[name], tmp_path)
    tokens_BS = torch.randint(320, (2, 150), generator=torch.Generator().manual_seed(1))
    assert difference(loaded(tmp_path), theirs, tokens_BS) < CLOSE
    if name.startswith("llama 3.1"):  # that the angles count at all
        config = json.loads((tmp_path / "config.json").read_text())
        config["rope_parameters"] = {"rope_type": "default", "rope_theta": LLAMA3["rope_theta"]}
        (tmp_path / "config.json").write_text(json.dumps(config))
        assert difference(loaded(tmp_path), theirs, tokens_BS) > 100 * CLOSE


def test_a_checkpoint_in_several_files_is_one(tmp_path):
    theirs = their_checkpoint(CONFIGS["llama"], tmp_path, max_shard_size="100KB")
    assert len(locate_checkpoint(str(tmp_path)).weight_files()) > 1
    assert difference(loaded(tmp_path), theirs, torch.arange(40)[None]) < CLOSE


def test_a_bias_of_the_output_is_refused(tmp_path):
    their_checkpoint(LlamaConfig(**SIZES, attention_bias=True), tmp_path)
    with pytest.raises(ValueError, match="attention_bias=True"):
        loaded(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "attention_bias": False}))
    with pytest.raises(UnsupportedError, match=r"self_attn\.k_proj\.bias.* not expected"):
        loaded(tmp_path)


@smollm2_at_hand
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_logits_of_smollm2_and_its_packed_copy_are_theirs(smollm2, smollm2_words):
    place = locate_checkpoint(SMOLLM2)
    theirs = AutoModelForCausalLM.from_pretrained(place.folder, gguf_file=place.gguf, dtype=torch.float32).eval()
    ours = smollm2
    tokens_BS = torch.tensor([smollm2_words.encode_chat("Be brief.", ("What is the capital of France?",))])
    assert difference(ours, theirs, tokens_BS) < CLOSE
    assert packs(ours)
    engine = PackedDecoder(ours)
    with torch.inference_mode():
        h_BSD = engine.decode(tokens_BS, engine.new_caches(1, tokens_BS.shape[1]), 0, None)
        logits_BSV, wanted = engine.logits(h_BSD), theirs(tokens_BS).logits
    assert float((logits_BSV - wanted).abs().max() / wanted.abs().max()) < CLOSE
    assert smollm2_words.decode([int(logits_BSV[0, -1].argmax())]) == "The"


@smollm2_at_hand
def test_smollm2_is_asked_by_its_own_template(smollm2_words):
    vocabulary, task = CheckpointVocabulary(SMOLLM2, 49_152), Sorting({"digits": 3})
    item = task.item(random.Random(5))
    asked = smollm2_words.decode(vocabulary.prompt(task, item))
    assert asked.startswith(f"<|im_start|>system\n{FORM}<|im_end|>\n<|im_start|>user\nSort the digits of ")
    assert asked.endswith(f"{task.question(item)}<|im_end|>\n<|im_start|>assistant\n")
    said = "<think> A1</think>\n<answer>1 2</answer>"
    assert "".join(vocabulary.decode(vocabulary.encode(said))) == said
    assert vocabulary.decode(vocabulary.encode("<think>1"))[0] == "<think>"
    assert vocabulary.end == 2


@pytest.fixture
def folder(tmp_path):
    """A tiny Llama of bytes in a private place, with a tokenizer that has no chat template."""
    path = tmp_path / "alice" / "my models" / "tiny"
    their_checkpoint(CONFIGS["llama, tied, of wide heads"], path)
    bytes_ = {letter: number for number, letter in enumerate(["<pad>", "<end>", *sorted(ByteLevel.alphabet())])}
    tokenizer = Tokenizer(BPE(vocab=bytes_, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>").save_pretrained(path)
    return path


END = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
STRANGE = {
    "no JSON": ({"tokenizer.json": "{"}, "JSONDecodeError"),
    "too deep": ({"tokenizer.json": "[" * 100_000}, "RecursionError"),
    "no end": ({"tokenizer_config.json": {**END, "eos_token": None}}, "must name an eos_token"),
    "code of its own": (
        {"tokenizer_config.json": {**END, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}},
        "contains custom code",
    ),
    "a template that fails": ({"chat_template.jinja": "{% for %}"}, "chat template fails"),
    "a template that looks around": ({"chat_template.jinja": "{{ ''.__class__.__mro__ }}"}, r"template fails \(Sec"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "words"), STRANGE.values(), ids=STRANGE)
def test_a_foreign_tokenizers_code_is_refused_and_not_run(files, words, folder):
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UnsupportedError, match=words) as caught:
        load_tokenizer(locate_checkpoint(str(folder)), vocab_size=320).encode_chat("Be brief.", ("What?",))
    assert len(str(caught.value).splitlines()) == 1
    assert not (folder / "ran").exists()


def test_a_token_that_the_weights_do_not_have_is_refused(folder):
    load_tokenizer(locate_checkpoint(str(folder)), vocab_size=258).encode("\xff")
    with pytest.raises(UnsupportedError, match=r"has a token 9[0-9], but its weights are of 90 tokens"):
        load_tokenizer(locate_checkpoint(str(folder)), vocab_size=90).encode("~")


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_a_record_does_not_say_where_its_checkpoint_lies(algorithm, folder, tmp_path):
    out = tmp_path / "out"
    asked = ["steps=2", "prompts_per_step=1", "num_generations=4", "minibatch=4", "micro_batch=2", "eval_prompts=2"]
    asked += ["policy=checkpoint", f"policy.checkpoint='{folder}'", "attention=gqa", "max_completion_length=8"]
    code = main(["workload=rl", f"algorithm={algorithm}", *asked, "telemetry=off", f"hydra.run.dir={out}"])
    (record,) = (stored.record for stored in read_contents([out]).stored)
    assert (code, record.status, record.reason) == (0, Status.OK, None)
    assert record.provenance["base"]["key"] == locate_checkpoint(str(folder)).digest()[:16]
    read = {(one.step, one.metric): one.value for one in record.readings if one.span in ("step", "evaluate")}
    assert all(math.isfinite(value) for value in read.values())
    assert read[0, "kl_reference"] == pytest.approx(0, abs=1e-6)
    assert not any(one.metric == "base_loss" for one in record.readings)
    written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file()) + record.case.id.encode()
    assert b"alice" not in written
    assert b"my models" not in written
