"""One line of a scratch copy of the package changed, and what becomes of a case that runs it.

    python tests/attention/one_line_wrong.py

Prints a line a change: the status that the case's record would have, and the reason. torch is loaded once, and every
change is run by a fork of its own, which finds the copy first.
"""

import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # behind whatever copy is put first

from tests.wrong_lines import try_all  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Change:
    what: str
    file: str
    before: str
    after: str
    settings: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)
    """The variant's own."""


FOLDED, EAGER = "backends/sdpa_folded.py", "backends/eager.py"
GQA, EXPANDED = {"attention": "gqa"}, {"attention": "mla_expanded"}
DSA = {"file": "indexed.py", "settings": {"attention": "mla_dsa"}, "sizes": {"top_k": 8, "index_heads": 3}}
DEQUANTISING = {"file": "backends/dequantising.py"}
INT8 = DEQUANTISING | {"settings": {"backend": "dequantising", "cache_dtype": "int8", **GQA}}
FP8 = DEQUANTISING | {"settings": {"backend": "dequantising", "cache_dtype": "fp8"}}
WINDOW = {"attention": "window", "query_len": 3, "backend": "eager"}
CHANGES = (
    Change(what="nothing", file=FOLDED, before="", after=""),
    Change(
        what="scale left to torch's default",
        file=FOLDED,
        before="attn_mask=self._mask_11RT, scale=problem.scale",
        after="attn_mask=self._mask_11RT",
    ),
    Change(
        what="scale of the cached width",
        file="latent.py",
        before="self.scale = shape.qk_head_dim**-0.5",
        after="self.scale = shape.latent_elements**-0.5",
    ),
    Change(
        what="YaRN's factor on the scores lost",
        file="latent.py",
        before="**-0.5 * shape.rope.score_factor",
        after="**-0.5",
        settings={"geometry": "deepseek-v2-lite"},
    ),
    Change(
        what="mask aligned to the top left",
        file="problem.py",
        before=".tril(first_query)",
        after=".tril()",
        settings={"query_len": 3},
    ),
    Change(
        what="newest token masked",
        file="problem.py",
        before=".tril(first_query)",
        after=".tril(first_query - 1)",
        settings={"query_len": 3},
    ),
    Change(
        what="no causal mask in a prefill",
        file=FOLDED,
        before="is_causal=self._mask_11RT is None",
        after="is_causal=False",
        settings={"phase": "prefill", **GQA},
    ),
    Change(
        what="rotary pairs in the wrong order",
        file="rotary.py",
        before="x_BHSd[..., 0::2], x_BHSd[..., 1::2]",
        after="x_BHSd.chunk(2, dim=-1)",
    ),
    Change(
        what="rotary pairs turned backwards",
        file="rotary.py",
        before="torch.cat((-sin_Sr, sin_Sr), dim=-1)",
        after="torch.cat((sin_Sr, -sin_Sr), dim=-1)",
        settings=GQA,
    ),
    Change(
        what="query turned one position late",
        file="latent.py",
        before="return self.query(q_n, rotate_neighbours(q_r, cos_Sr, sin_Sr))",
        after="return self.query(q_n, rotate_neighbours(q_r, self.cos_Sr[:1], self.sin_Sr[:1]))",
    ),
    Change(
        what="a slot past the length read",
        file="cache.py",
        before="tensor[:, :, : self.length] for tensor in self.tensors]",
        after="tensor[:, :, 1 : self.length + 1] for tensor in self.tensors]",
    ),
    Change(
        what="new token written one slot early",
        file="layer.py",
        before="cached[:, :, start : start + new.shape[2]] = new",
        after="cached[:, :, start - 1 : start - 1 + new.shape[2]] = new",
        settings=GQA,
    ),
    Change(
        what="value's window one column off",
        file=FOLDED,
        before="v_BGTv.storage_offset() - before)",
        after="v_BGTv.storage_offset() - before + 1)",
        settings=EXPANDED,
    ),
    Change(
        what="value and key weights exchanged",
        file="latent.py",
        before="self.w_kvb[:, self.shape.qk_nope_head_dim :].mT",
        after="self.w_kvb[:, : self.shape.qk_nope_head_dim].mT",
        settings={"geometry": "deepseek-v2-lite"},
    ),
    Change(
        what="latent cached before its norm",
        file="latent.py",
        before="latent_BSc = self._normed(latent_BSc)",
        after="pass",
    ),
    Change(
        what="softmax left out",
        file=EAGER,
        before="_softmax(_hide(scores_NRT, hidden_ST), sink_NR1)",
        after="_hide(scores_NRT, hidden_ST)",
        settings={"backend": "eager"},
    ),
    Change(what="indexer's ReLU left out", before=".mT).relu_().view", after=".mT).view", **DSA),
    Change(what="the worst tokens chosen", before="-1, sorted=False", after="-1, largest=False, sorted=False", **DSA),
    Change(what="indexer's key not turned", before="self._turn(ik_BSi, angles)", after="ik_BSi", **DSA),
    Change(
        what="indexer's factor lost", before="* (shape.indexer.heads * shape.indexer.head_dim) ** -0.5", after="", **DSA
    ),
    Change(
        what="the row behind the chosen one",
        before="chosen_SK.flatten(), out",
        after="chosen_SK.flatten() // 2, out",
        **DSA,
    ),
    Change(
        what="indexer's key kept elsewhere",
        before="[:, :, start : start + x",
        after="[:, :, start - 1 : start - 1 + x",
        **DSA,
    ),
    Change(what="rows kept unscaled", before="part = part / scale", after="pass", **INT8 | {"file": "quantised.py"}),
    Change(what="keys' scale forgotten", before="k_scales_nNK1.to(wide_dtype) * problem", after="problem", **INT8),
    Change(
        what="values' scale forgotten",
        before="weights_NKR * v_scales_nNK1.to(wide_dtype)",
        after="weights_NKR[None]",
        **INT8,
    ),
    Change(what="float8's sign lost", before="~0x7FFF | 0x7F << shift", after="0x7F << shift", **FP8),
    Change(what="rotary key's factor lost", before="alpha=problem.scale", after="alpha=1.0", **FP8),
    Change(
        what="quantised rows written one slot early",
        before="self.cache.write(self._start,",
        after="self.cache.write(self._start - 1,",
        **INT8 | {"file": "quantised_step.py"},
    ),
    Change(
        what="window one key too wide",
        file="problem.py",
        before=".triu(first_query - window + 1)",
        after=".triu(first_query - window)",
        settings=WINDOW,
        sizes={"window": 7},
    ),
    Change(
        what="rows of a cache that goes round taken for their order",
        file="problem.py",
        before="visible_ST.roll(self.oldest_row, dims=-1)",
        after="visible_ST",
        settings=WINDOW,
        sizes={"window": 7},
    ),
    Change(
        what="new tokens written one row late in a cache that goes round",
        file="window.py",
        before="row = first % room",
        after="row = (first + 1) % room",
        settings=WINDOW,
        sizes={"window": 7},
    ),
    Change(
        what="second latent's queries in the first's order",
        file="latent.py",
        before="torch.cat((first, second.roll(q_r.shape[-1], dims=-1)), dim=1)",
        after="q_BHSd",
        settings={"attention": "gla"},
    ),
    Change(
        what="both latents' values taken from the key's first columns",
        file="latent.py",
        before="kept_BTe.unfold(-1, c, c + d_r)",
        after="kept_BTe.unfold(-1, c, c)[:, :, :2]",
        settings={"attention": "gla", "backend": "eager"},
    ),
    Change(
        what="every head's key and value from the first latent",
        file="latent.py",
        before="latent_BTc.chunk(latents, dim=-1)",
        after="[latent_BTc[..., : self.shape.latent_dim]] * latents",
        settings={"attention": "gla", "phase": "prefill"},
    ),
    Change(
        what="latents normed together",
        file="latent.py",
        before="F.rms_norm(latent_BSc.unflatten(-1, (latents, c)), (c,), eps=INNER_NORM_EPS)",
        after="F.rms_norm(latent_BSc, (latents * c,), eps=INNER_NORM_EPS).unflatten(-1, (latents, c))",
        settings={"attention": "gla"},
    ),
    Change(
        what="the shared part of tied keys' scores without their scale",
        file=EAGER,
        before="begun_NRT.baddbmm_(q_NRd, k_NTd.mT, beta=scale, alpha=scale)",
        after="begun_NRT.baddbmm_(q_NRd, k_NTd.mT, beta=1.0, alpha=scale)",
        settings={"attention": "gta", "backend": "eager"},
    ),
    Change(
        what="tied keys taken from the state's other half",
        file="tied.py",
        before="return q_BHSd, state_BGTd[..., :plain], state_BGTd",
        after="return q_BHSd, state_BGTd[..., plain:], state_BGTd",
        settings={"attention": "gta", "backend": "eager"},
    ),
    Change(
        what="tied queries' first half turned in the place of their second",
        file="tied.py",
        before="(q_BHSd[..., :plain], rotate_halves(q_BHSd[..., plain:], *angles))",
        after="(rotate_halves(q_BHSd[..., :plain], *angles), q_BHSd[..., plain:])",
        settings={"attention": "gta", "phase": "prefill"},
    ),
    Change(
        what="sinks left out of the softmax",
        file=EAGER,
        before="torch.cat((scores, sink), dim=-1).softmax(dim=-1)[..., :-1]",
        after="scores.softmax(dim=-1)",
        settings={**WINDOW, "query_len": 1},
        sizes={"sinks": True},
    ),
)


def main():
    # What every fork would load for itself.
    import psutil  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch
    import yaml  # noqa: F401

    torch.set_num_threads(1)
    try_all(CHANGES, "attention", outcome, untouched=("suite.measure.runner", "suite.theory.layers.attention_plan"))


def outcome(change, folder):
    changes = change.settings
    sys.path.insert(0, folder)
    try:
        import suite
        from suite.configuration.files import read_choice, read_yaml
        from suite.measure.runner import measure_case
        from suite.theory.layers.roofline import MeasuredCeilings

        assert Path(suite.__file__).is_relative_to(folder)
        groups = {
            "workload": "attention",
            "attention": "mla",
            "geometry": "tiny",
            "backend": "sdpa_folded",
            "measure": "smoke",
            "telemetry": "off",
        }
        chosen = {group: read_choice(group, changes.get(group, name)) for group, name in groups.items()}
        chosen["attention"] = {**chosen["attention"], **change.sizes}
        run = {key: value for key, value in read_yaml("run.yaml").items() if key not in ("defaults", "hydra")}
        settings = {**run, "dtype": "float32", "seq_len": 40, **changes, **chosen}
        ceilings = MeasuredCeilings(flops_per_s=1e11, bytes_per_s_by_size={1 << 20: 1e10})
        status, reason = measure_case(
            lambda **message: None, settings=settings, ceilings=ceilings, takes_energy=False, launches=1
        )
        return f"{status}: {reason}"
    except Exception:
        return traceback.format_exc()


if __name__ == "__main__":
    main()
