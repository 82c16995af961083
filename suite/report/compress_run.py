"""One compressed model that has read held-out text, read from its record: sums over each window, by class of words.

A record may be old or foreign: what it lacks is absent here, and nothing but one window of text is required.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suite.records.derived import constant, noted
from suite.records.quality_metrics import TEXT, below
from suite.records.record import Reading, Record, Status
from suite.report.alike import setting_of
from suite.report.model.results import CurrentRecord
from suite.report.quality_run import ALL, MOST, MOST_STEPS, decoded_s
from suite.report.quality_runs import whole_of
from suite.report.timings import axis
from suite.report.watched import cut

NONE, SVD, ACTIVATION_SVD, BALANCED, INT8 = "none", "svd", "activation_svd", "activation_svd_balanced", "int8"
METHODS = (NONE, SVD, ACTIVATION_SVD, BALANCED, INT8)
"""In the order of tables; a method that is not here stands behind them."""
LOW_RANK = (SVD, ACTIVATION_SVD, BALANCED)
FREQUENT, COMMON, RARE, OTHER = "frequent", "common", "rare", "other"
CLASSES = (FREQUENT, COMMON, RARE, OTHER)
"""`other`: tokens of names, punctuation and line ends, which are no words."""
RANK, CALIBRATION, DECODE_LEN = "rank", "calibration_windows", "decode_len"
LAYER = "layer "
MOST_PLAYS = 12
LONGEST_ORIGIN = 200


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of one window: the summed loss of some tokens, in nats, how many they are, and of how many words."""

    loss: float
    tokens: float
    words: float


@dataclass(frozen=True, kw_only=True, eq=False)
class CompressRun:
    """One record that ran."""

    current: CurrentRecord
    text: Mapping[str, Mapping[int, Part]]
    """By class of words, with ALL for every token; then by window."""
    kept: Sequence[tuple[int, float]]
    """Layers from 1 on, and the share of the squared norm of its keys and values that each keeps."""
    logits_change: float | None
    decode_s: float | None
    """As QualityRun has it."""

    @property
    def record(self) -> Record:
        return self.current.record

    @property
    def method(self) -> str:
        return cut(axis(self.record, "method"))

    @property
    def rank(self) -> int | None:
        return whole_of(axis(self.record, RANK))

    @property
    def calibration(self) -> str:
        """Windows that the latent was chosen by; empty where the method has none."""
        return cut(axis(self.record, CALIBRATION))

    @property
    def is_low_rank(self) -> bool:
        return self.method in LOW_RANK

    @property
    def cache_bytes(self) -> float | None:
        """Of a token, over all layers."""
        return self._size("cache_bytes_per_token")

    @property
    def cache_bytes_mha(self) -> float | None:
        return self._size("cache_bytes_per_token_mha")

    @property
    def decode_len(self) -> str:
        return setting_of(self.record, DECODE_LEN)

    @property
    def weights(self) -> str:
        """Where the model's weights come from, as its run said."""
        return cut(self.record.provenance.get("weights"), LONGEST_ORIGIN)

    @property
    def plays(self) -> Sequence[str]:
        named = self.record.provenance.get("held_out_plays")
        return [cut(name) for name in named[:MOST_PLAYS]] if isinstance(named, list) else []

    def _size(self, metric: str) -> float | None:
        value = constant(self.record, "case", metric)
        return value if value is not None and value < MOST else None


def read_compress_run(current: CurrentRecord) -> CompressRun | None:
    """None for a run that did not end well, or read no text."""
    if current.record.status is not Status.OK:
        return None
    readings = [one for one in current.record.readings if 0 <= one.step < MOST_STEPS and 0 <= one.value < MOST]
    text = _text(readings)
    if not text.get(ALL):
        return None
    change = noted(current.record, "case", "logits_change")
    return CompressRun(
        current=current,
        text=text,
        kept=_kept(readings),
        logits_change=change if change is not None and 0 <= change < MOST else None,
        decode_s=decoded_s(readings, is_cpu=axis(current.record, "device") == "cpu"),
    )


def _text(readings: Sequence[Reading]) -> dict[str, dict[int, Part]]:
    """A class of a window counts where its loss, its tokens and its words are all known."""
    sums: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
    for one in readings:
        name = ALL if one.span == TEXT else below(one.span, TEXT)
        if name is not None and one.metric.startswith("text_"):
            sums[name, one.step][one.metric] = one.value
    found: dict[str, dict[int, Part]] = defaultdict(dict)
    for (name, window), said in sorted(sums.items()):
        if said.keys() >= {"text_loss", "text_tokens", "text_words"} and (name or said["text_tokens"] > 0):
            found[name][window] = Part(loss=said["text_loss"], tokens=said["text_tokens"], words=said["text_words"])
    return found


def _kept(readings: Sequence[Reading]) -> list[tuple[int, float]]:
    found = {}
    for one in readings:
        number = one.span.removeprefix(LAYER)
        if one.metric == "energy_kept" and one.span.startswith(LAYER) and number.isdecimal() and len(number) < 5:
            found[int(number) + 1] = min(one.value, 1.0)
    return sorted(found.items())
