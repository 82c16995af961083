"""Both languages say the same things."""

import string
from pathlib import Path

import suite.report
from suite.configuration import languages, read_yaml
from suite.report.rl_gains import COUNTED
from suite.report.sections.rl_evolution import VIEWS
from suite.report.sections.rl_stability import MEASURES
from suite.report.words import load_words


def placeholders(sentence):
    return sorted(name for _, name, _, _ in string.Formatter().parse(sentence) if name)


def test_both_languages_have_the_same_keys_and_placeholders():
    assert languages("report") == ("en", "zh")
    english, chinese = load_words("en").sentences, load_words("zh").sentences
    assert list(english) == list(chinese)
    assert {key: placeholders(text) for key, text in english.items()} == {
        key: placeholders(text) for key, text in chinese.items()
    }


def test_no_sentence_is_left_over():
    folder = Path(suite.report.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for pattern in ("*.py", "*.html") for path in folder.rglob(pattern))
    composed = ("status.", "evidence.", "clock.", "span.", "phase.", "regime.", "fact.", "cache.", "column.", "mark.")
    composed += tuple(f"rl_memory.{part}" for part in ("owner.", "kind.", "over.", "view.", "what.", "alike.", "by_"))
    composed += (
        "state.",
        "power.quantity.",
        "power.phase.",
        "power.source.",
        "published.pass.",
        "outcome.",
        "verdict.",
    )
    composed += ("rl.budget.", "rl.clock.", "rl.phase.", "rl_efficiency.axis.", "rl_efficiency.at_equal.")
    composed += ("rl_stability.view.", "rl_stability.axis.", "rl_conformance.metric.")
    composed += ("rl_conformance.family.",)
    composed += ("rl_stages.kind.", "rl_evolution.view.", "rl_evolution.axis.")
    composed += ("rl_feedback.table.", "rl_feedback.note.", "rl_feedback.headline.")
    composed += tuple(f"rl_stages.{metric}" for metric in COUNTED)
    composed += tuple(f"rl_evolution.{metric}" for metric in VIEWS)
    composed += tuple(f"rl_stability.{measure.metric}" for measure in MEASURES)
    composed += tuple(f"quality_tiers.{part}." for part in ("asked", "tier", "mix", "form", "cached"))
    composed += tuple(f"quality.{part}." for part in ("match", "part", "line", "axis"))
    composed += tuple(
        f"compress.{part}." for part in ("method", "class", "view", "axis", "table", "ranking", "check", "added", "by")
    )
    composed += ("claim.outcome.", "claim.ceiling.", "claim.needs.")
    composed += tuple(f"claim.{claim['id']}" for claim in read_yaml("claims.yaml")["claims"])
    unused = [key for key in load_words("en").sentences if key not in code and not key.startswith(composed)]
    assert unused == []
