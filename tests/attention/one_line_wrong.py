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


@dataclass(frozen=True)
class Change:
    what: str
    file: str
    before: str
    after: str
    settings: dict = field(default_factory=dict)
    sizes: dict = field(default_factory=dict)
    """The variant's own."""


EAGER, FOLDED, WIDENING = (f"backends/{name}.py" for name in ("eager", "sdpa_folded", "dequantising"))
INDEXED, LATENT, ROTARY = "indexed.py", "latent.py", "rotary.py"
GQA, EXPANDED, GLA, GTA = ({"attention": name} for name in ("gqa", "mla_expanded", "gla", "gta"))
LITE, PREFILL, PLAIN = {"geometry": "deepseek-v2-lite"}, {"phase": "prefill"}, {"backend": "eager"}
INT8, FP8 = {"backend": "dequantising", "cache_dtype": "int8", **GQA}, {"backend": "dequantising", "cache_dtype": "fp8"}
# With the variant's own sizes.
DSA = {"attention": "mla_dsa"}, {"top_k": 8, "index_heads": 3}
RAGGED = {"seqs": "q1s40_2q1s9", "batch": 3, "seq_len": 20, "query_len": 1, **GQA}
PAGED = RAGGED | {"page_size": 4, "backend": "cpp"}
SPECULATED = {"seqs": "2q1s30_q3s20_q3s9", "batch": 4, "seq_len": 23, "query_len": 3, **GQA, **PLAIN}
WINDOW = {"attention": "window", "query_len": 3, **PLAIN}, {"window": 7}
CHANGES = (
    Change("nothing", FOLDED, "", ""),
    Change(
        "scale left to torch's default",
        FOLDED,
        "attn_mask=self._mask_11RT, scale=problem.scale",
        "attn_mask=self._mask_11RT",
    ),
    Change(
        "scale of the cached width",
        LATENT,
        "self.scale = shape.qk_head_dim**-0.5",
        "self.scale = shape.latent_elements**-0.5",
    ),
    Change("YaRN's factor on the scores lost", LATENT, "**-0.5 * shape.rope.score_factor", "**-0.5", LITE),
    Change("mask aligned to the top left", "problem.py", ".tril(first_query)", ".tril()", {"query_len": 3}),
    Change("newest token masked", "problem.py", ".tril(first_query)", ".tril(first_query - 1)", {"query_len": 3}),
    Change(
        "no causal mask in a prefill", FOLDED, "is_causal=self._mask_11RT is None", "is_causal=False", GQA | PREFILL
    ),
    Change(
        "rotary pairs in the wrong order", ROTARY, "x_BHSd[..., 0::2], x_BHSd[..., 1::2]", "x_BHSd.chunk(2, dim=-1)"
    ),
    Change(
        "rotary pairs turned backwards", ROTARY, "cat((-sin_Sr, sin_Sr), dim=-1)", "cat((sin_Sr, -sin_Sr), dim=-1)", GQA
    ),
    Change(
        "query turned one position late", LATENT, "(q_r, cos_Sr, sin_Sr))", "(q_r, self.cos_Sr[:1], self.sin_Sr[:1]))"
    ),
    Change(
        "a slot past the length read", "cache.py", "[:, :, : self.length] for t", "[:, :, 1 : self.length + 1] for t"
    ),
    Change(
        "new token written one slot early",
        "layer.py",
        "slice(start, start + new_",
        "slice(start - 1, start - 1 + new_",
        GQA,
    ),
    Change("value's window one column off", FOLDED, "_offset() - before)", "_offset() - before + 1)", EXPANDED),
    Change(
        "value and key weights exchanged",
        LATENT,
        "kvb[:, self.shape.qk_nope_head_dim :].mT",
        "kvb[:, : self.shape.qk_nope_head_dim].mT",
        LITE,
    ),
    Change("latent cached before its norm", LATENT, "latent_BSc = self._normed(latent_BSc)", "pass"),
    Change(
        "softmax left out",
        EAGER,
        "_softmax(_hide(scores_NRT, hidden_ST), sink_NR1)",
        "_hide(scores_NRT, hidden_ST)",
        PLAIN,
    ),
    Change("indexer's ReLU left out", INDEXED, ".mT).relu_().view", ".mT).view", *DSA),
    Change("the worst tokens chosen", INDEXED, "-1, sorted=False", "-1, largest=False, sorted=False", *DSA),
    Change("indexer's key not turned", INDEXED, "self._turn(ik_BSi, angles)", "ik_BSi", *DSA),
    Change("indexer's factor lost", INDEXED, "* (shape.indexer.heads * shape.indexer.head_dim) ** -0.5", "", *DSA),
    Change("the row behind the chosen one", INDEXED, "chosen_SK.flatten(), out", "chosen_SK.flatten() // 2, out", *DSA),
    Change(
        "indexer's key kept elsewhere", INDEXED, "[:, :, start : start + x", "[:, :, start - 1 : start - 1 + x", *DSA
    ),
    Change("rows kept unscaled", "cache.py", "part = part / scale", "pass", INT8),
    Change("keys' scale forgotten", WIDENING, "k_scales_nNK1.to(wide_dtype) * problem", "problem", INT8),
    Change(
        "values' scale forgotten", WIDENING, "weights_NKR * v_scales_nNK1.to(wide_dtype)", "weights_NKR[None]", INT8
    ),
    Change("float8's sign lost", WIDENING, "~0x7FFF | 0x7F << shift", "0x7F << shift", FP8),
    Change("rotary key's factor lost", WIDENING, "alpha=problem.scale", "alpha=1.0", FP8),
    Change(
        "quantised rows written one slot early",
        "steps.py",
        "cache.write(self._start,",
        "cache.write(self._start - 1,",
        INT8,
    ),
    Change("window one key too wide", "problem.py", "first_query - window + 1)", "first_query - window)", *WINDOW),
    Change(
        "rows of a cache that goes round taken for their order",
        "problem.py",
        "visible_ST.roll(self.oldest_row, dims=-1)",
        "visible_ST",
        *WINDOW,
    ),
    Change(
        "new tokens written one row late in a cache that goes round",
        "window.py",
        "row = first % room",
        "row = (first + 1) % room",
        *WINDOW,
    ),
    Change(
        "second latent's queries in the first's order",
        LATENT,
        "torch.cat((first, second.roll(q_r.shape[-1], dims=-1)), dim=1)",
        "q_BHSd",
        GLA,
    ),
    Change(
        "both latents' values taken from the key's first columns",
        LATENT,
        "kept_BTe.unfold(-1, c, c + d_r)",
        "kept_BTe.unfold(-1, c, c)[:, :, :2]",
        GLA | PLAIN,
    ),
    Change(
        "every head's key and value from the first latent",
        LATENT,
        "latent_BTc.chunk(latents, dim=-1)",
        "[latent_BTc[..., : self.shape.latent_dim]] * latents",
        GLA | PREFILL,
    ),
    Change(
        "latents normed together",
        LATENT,
        "F.rms_norm(latent_BSc.unflatten(-1, (latents, c)), (c,), eps=INNER_NORM_EPS)",
        "F.rms_norm(latent_BSc, (latents * c,), eps=INNER_NORM_EPS).unflatten(-1, (latents, c))",
        GLA,
    ),
    Change(
        "the shared part of tied keys' scores without their scale",
        EAGER,
        "begun_NRT.baddbmm_(q_NRd, k_NTd.mT, beta=scale,",
        "begun_NRT.baddbmm_(q_NRd, k_NTd.mT, beta=1.0,",
        GTA | PLAIN,
    ),
    Change(
        "tied keys taken from the state's other half",
        "tied.py",
        "return q_BHSd, state_BGTd[..., :plain],",
        "return q_BHSd, state_BGTd[..., plain:],",
        GTA | PLAIN,
    ),
    Change(
        "tied queries' first half turned in the place of their second",
        "tied.py",
        "(q_BHSd[..., :plain], rotate_halves(q_BHSd[..., plain:], *angles))",
        "(rotate_halves(q_BHSd[..., :plain], *angles), q_BHSd[..., plain:])",
        GTA | PREFILL,
    ),
    Change(
        "every sequence as long as the longest",
        "ragged_step.py",
        "starts_B1 = torch.tensor(lengths, ",
        "starts_B1 = torch.tensor([lengths[0]] * len(lengths), ",
        RAGGED,
    ),
    Change("a key behind a sequence seen", "problem.py", "- self.query_len\n", "- self.query_len + 1\n", RAGGED),
    Change("a draft's tokens see each other", "problem.py", "<= last_B111 + query_S1", "<= last_B111 + 2", SPECULATED),
    Change(
        "new rows written to the first places",
        "ragged_cache.py",
        "slice(None), slots_BS\n",
        "slice(None), 0 * slots_BS\n",
        RAGGED,
    ),
    Change(
        "new rows of one call for another",
        "ragged_step.py",
        "new_1GNw[0, :, self.tokens]",
        "new_1GNw[0, :, : self.slots_BS.numel()]",
        SPECULATED,
    ),
    Change(
        "queries of one call for another",
        "ragged_step.py",
        "q_1HNd[0, :, self.tokens]",
        "q_1HNd[0, :, : self.slots_BS.numel()]",
        SPECULATED,
    ),
    Change(
        "the mask of the first sequence for all",
        EAGER,
        "hidden_ST.shape[-2:]).masked_fill_(hidden_ST,",
        "hidden_ST.shape[-2:]).masked_fill_(hidden_ST[:1],",
        RAGGED | PLAIN,
    ),
    Change(
        "pages in the order of the tokens",
        "ragged_cache.py",
        "pages_BS = self._table_BP.gather(1, slots_BS // self.page_size)",
        "pages_BS = slots_BS // self.page_size",
        PAGED,
    ),
    Change(
        "a token's place in its page is its number",
        "ragged_cache.py",
        "slice(None), slots_BS % self.page_size",
        "slice(None), slots_BS % self.page_size * 0",
        PAGED,
    ),
    Change(
        "lengths kept from the kernel",
        "backends/cpp.py",
        "self._lengths_B = torch.tensor(problem.lengths,",
        "self._lengths_B = torch.tensor([problem.seq_len] * problem.batch,",
        PAGED,
    ),
    Change(
        "sinks left out of the softmax",
        EAGER,
        "torch.cat((scores, sink), dim=-1).softmax(dim=-1)[..., :-1]",
        "scores.softmax(dim=-1)",
        WINDOW[0] | {"query_len": 1},
        {"sinks": True},
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
