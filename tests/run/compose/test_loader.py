"""Files are merged, and references resolved, as Hydra and OmegaConf do it themselves."""

from dataclasses import asdict

import pytest

from suite.run.compose import loader
from suite.run.compose.composer import compose

FILES = {
    "sweep/mine": """# @package _global_
batch: 3
geometry: {inner: {b: [3]}, num_heads: 8}
tp: ???
measure: {max_steps: 20}
""",
    "geometry/own": "inner: {a: 1, b: [1, 2], c: null}\nnum_heads: 6\n",
    "geometry/missing": "inner: {a: '???'}\nnum_heads: ???\n",
    "geometry/reference": """inner: ${geometry.other}
other: {a: '${batch}', d: ['${seq_len}', {e: '${geometry.num_heads}'}]}
""",
}


@pytest.mark.parametrize("geometry", ["own,tiny", "missing,own", "reference,own"])
def test_points_are_hydras_own(tmp_path, monkeypatch, geometry):
    for name, text in FILES.items():
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    arguments = [
        "-m",
        "sweep=mine",
        f"geometry={geometry}",
        "attention=mha,mla",
        "batch=1,2",
        f"--config-dir={tmp_path}",
    ]
    ours = list(map(asdict, compose(arguments)))
    monkeypatch.delattr(loader.Loader, "_compose_config_from_defaults_list")
    monkeypatch.setattr(loader, "_resolved", lambda config: loader.OmegaConf.to_container(config, resolve=True))
    assert ours == list(map(asdict, compose(arguments)))
    assert len(ours) == 8


def test_a_reference_to_nothing_is_refused_by_its_key():
    with pytest.raises(loader.REFUSALS, match="full_key: price_per_device_hour"):
        compose(["price_per_device_hour='${no.such.key}'"])


def test_a_text_in_place_of_an_option_is_refused(tmp_path):
    file = tmp_path / "sweep" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\nbackend: cpp\n", encoding="utf-8")
    with pytest.raises(ValueError, match="- override /backend: cpp"):
        compose(["-m", "sweep=mine", "seq_len=64,128", f"--config-dir={tmp_path}"])
