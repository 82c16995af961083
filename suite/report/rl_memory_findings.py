"""What an algorithm without a critic saves of PPO's memory, in a sentence for each kind of evidence."""

from collections.abc import Sequence

from suite.records import numbers
from suite.report.blocks import Text, joined, say
from suite.report.model.results import Results
from suite.report.rl_memory_savings import Saving, savings, telling_pairs
from suite.report.rl_memory_setups import drawn_setups, setups

OF_SAMPLING = ("seq_len", "prompts_per_step", "num_generations")
SAID_OF_A_PEAK = ("precision", "dtype", *OF_SAMPLING, "minibatch", "micro_batch", "checkpointing")
"""Without these a saving of memory says nothing."""


def memory_headlines(results: Results) -> list[Text]:
    """What is saved of the peak in the setups that the figures draw: a sentence for projections, and one for runs."""
    return [_saved(pair) for pair in telling_pairs(savings(drawn_setups(setups(results))))]


def _saved(pair: Sequence[Saving]) -> Text:
    """Of the models whose settings are the first one's."""
    first = pair[0].setup
    key = dict(first.key)
    settings = [f"{name}={key[name]}" for name in SAID_OF_A_PEAK if key.get(name)]
    settings += [text for text in (*first.settings, *pair[0].baseline.own) if text not in settings]
    items = [_saved_item(one) for one in pair if one.setup.settings == first.settings]
    return say(
        "rl_memory.headline.measured" if first.is_measured else "rl_memory.headline.projected",
        arm=pair[0].arm.name,
        baseline=pair[0].baseline.name,
        items=joined("list", items),
        settings=say("finding.settings", settings=", ".join(settings)) if settings else "",
    )


def _saved_item(one: Saving) -> Text:
    return say(
        "rl_memory.headline.less" if one.share >= 0 else "rl_memory.headline.more",
        share=numbers.percent(abs(one.share)),
        model=one.setup.first.model,
        before=numbers.bytes_iec(one.baseline.holding.peak),
        after=numbers.bytes_iec(one.arm.holding.peak),
    )
