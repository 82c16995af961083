"""Judgements as the gate makes them, from a few named facts."""

from typing import Any

from suite.gate.verdict import Judgement, Outcome, Side, Verdict

EVIL = '</script><script>alert(1)</script><a href="https://evil.example">x</a>|`@octocat`|%{x}\r\n::error::\x1b[2J\ud800\x00'
FACTS = {
    "sweep": "gate",
    "target": 0.05,
    "floor": 0.02,
    "clock": "thread_cpu",
    "launches": 2,
    "seconds": 12.3456,
    "started_at": "2026-03-01T10:00:00+00:00",
    "machine": {"cpu": "A processor"},
}
REASONS = {
    Outcome.SLOWER: "slower by more than the 2.0% that is allowed",
    Outcome.SAME: "a change of 5.0% is ruled out",
    Outcome.INCONCLUSIVE: "the noise could still hide a change of 5.0%",
    Outcome.INCOMPARABLE: "the two sides ran on different processors",
    Outcome.BROKEN: "the benchmark ended with an error: no kernel",
    Outcome.MISSING: "it was there before and is gone",
    Outcome.UNJUDGED: "it runs installed code, suite, and no code of the two revisions",
    Outcome.NEW: "there is nothing to compare it with",
    Outcome.FASTER: "faster by more than 2.0%",
    Outcome.ACCEPTED: "accepted until 2026-12-31: a new check costs this",
}


def case_id(*, attention: str = "mla", phase: str = "decode", seq_len: int = 2048, **more: Any) -> str:
    """Return an id as `Case.id` writes it."""
    axes = {"workload": "attention", "attention": attention, "geometry": "deepseek-v2-lite", "match": "heads"}
    axes |= {"phase": phase, "seq_len": seq_len, "query_len": 1, "batch": 1, "dtype": "bfloat16", "cache_dtype": "null"}
    return " ".join(f"{name}={value}" for name, value in (axes | more).items())


def timing(outcome: Outcome = Outcome.SAME, ratio: float = 1.001, **said: Any) -> Verdict:
    """A layer's latency, with an interval of 1% to either side."""
    facts: dict[str, Any] = {
        "case": case_id(),
        "reason": REASONS[outcome],
        "span": "layer",
        "metric": "latency_s",
        "before": 1.5e-3,
        "after": 1.5e-3 * ratio,
        "low": ratio - 0.01,
        "high": ratio + 0.01,
        "level": 0.99,
        "allowed": 1.02,
        "clock": "thread_cpu",
        "rounds": 64,
        "launches": 2,
    }
    return Verdict(outcome=outcome, ratio=ratio, **facts | said)


def exact(outcome: Outcome = Outcome.SLOWER, before: float = 24576, after: float = 30720, **said: Any) -> Verdict:
    """Bytes of the cache, which have no interval."""
    facts: dict[str, Any] = {"case": case_id(), "reason": "an exact quantity changed", "span": "case"}
    facts |= {"metric": "cache_bytes", "before": before, "after": after, "ratio": after / before, "allowed": 1.0}
    return Verdict(outcome=outcome, **facts | said)


def whole(outcome: Outcome = Outcome.BROKEN, **said: Any) -> Verdict:
    """A verdict on a case as a whole."""
    return Verdict(outcome=outcome, **{"case": case_id(), "reason": REASONS[outcome]} | said)


def judgement(*verdicts: Verdict, **said: Any) -> Judgement:
    facts: dict[str, Any] = {
        "form": "against",
        "before": Side(label="main", commit="0123456789abcdef"),
        "after": Side(label="working tree", commit="89abcdef01234567", dirty=True),
        "facts": FACTS,
    }
    return Judgement(verdicts=verdicts, **facts | said)


def mixed() -> Judgement:
    """One verdict of each kind, and six quantities that are the same."""
    return judgement(
        *(timing(case=case_id(seq_len=512 * n), ratio=1 + n / 1000) for n in range(1, 7)),
        timing(Outcome.SLOWER, 1.052),
        exact(case=case_id(attention="gqa")),
        timing(Outcome.FASTER, 0.9, case=case_id(attention="mqa")),
        timing(Outcome.INCONCLUSIVE, 1.03, case=case_id(phase="prefill"), notes=["wall time says otherwise"]),
        timing(Outcome.ACCEPTED, 1.08, case=case_id(phase="train")),
        whole(Outcome.BROKEN, case=case_id(attention="tied")),
        whole(Outcome.MISSING, case=case_id(attention="old")),
        whole(Outcome.INCOMPARABLE, case=case_id(attention="mha")),
        whole(Outcome.NEW, case=case_id(attention="mla_latent")),
        warnings=["two threads on two cores: barriers spin"],
    )


def hostile() -> Judgement:
    """Evil text wherever a file can hold text."""
    return judgement(
        *(
            timing(
                outcome, 1.2, case=f"{EVIL} {outcome}", reason=EVIL, span=EVIL, metric=EVIL, clock=EVIL, notes=[EVIL]
            )
            for outcome in REASONS
        ),
        timing(Outcome.SLOWER, float("nan"), low=float("inf"), high=float("nan"), before=float("inf")),
        form=EVIL,
        before=Side(label=EVIL, commit=EVIL),
        after=Side(label=EVIL, commit=EVIL),
        warnings=[EVIL],
        facts=dict.fromkeys(FACTS, EVIL),
    )
