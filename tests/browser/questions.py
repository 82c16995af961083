"""Seeded questions for the chooser, and Python's answers to them in the fields that the page's script answers with."""

import random
from dataclasses import asdict

from suite.configuration.files import choices, read_choice
from suite.theory.answers.asked import SIZES
from suite.theory.answers.choose import ORDERS, answers_to, question_from
from suite.theory.answers.fit import fit_question_from, fits_of
from suite.theory.answers.step_memory import model_sizes

SEED, MANY = 27, 200
DEVICES = ("h100", "h200", "b200", "a100", "gb200", "l40s", "v100", "mi300x", "80", "141", "24")
COUNTS = (1, 2, 4, 8, 8, 3, 16, 2048)
PARALLEL = (None, None, None, "tp", "tp", "dp", "dcp", "tp2", "tp4", "dp2", "dp4", "tp5")
ROOMY = {"gpus": ("8xh200", "8xh200", "8xb200", "16xh200"), "weights": ("fp8", "fp8", "int4")}
"""Devices on which nearly every model fits, so that its kinds of layers have times."""


def serving_questions(count=MANY):
    """Ask every model where it fits, then at random, with own sizes, refusals and caches in eight bits among them."""
    chance = random.Random(SEED)
    models, own = choices("geometry"), count // 10
    found = [_serving(chance, model, **{name: chance.choice(of) for name, of in ROOMY.items()}) for model in models]
    found += [_serving(chance, chance.choice(models)) for _ in range(count - len(models) - own - 1)]
    # At the context at which an indexer begins to pick among rows.
    picks = {"gpus": "16xb200", "weights": "int4", "context": 4096, "batch": 1, "parallel": "tp"}
    return [*found, _serving(chance, "deepseek-v4-pro", **picks), *(_serving(chance, None) for _ in range(own))]


def _serving(chance, model, **given):
    asked = {
        "gpus": f"{chance.choice(COUNTS)}x{chance.choice(DEVICES)}",
        "context": chance.choice([64, 513, 4096, 32_768, 131_071]),
        "batch": chance.choice([None, None, None, 1, 8, 16]),
        "new_tokens": chance.choice([1, 1, 1, 2, 4, 20]),
        "parallel": chance.choice(PARALLEL),
        "weights": chance.choice(["bfloat16", "fp8", "int4"]),
        "cache_dtype": chance.choice(["bfloat16", "bfloat16", "bfloat16", "fp8", "int8"]),
        "price": chance.choice([*[None] * 9, *[2.5] * 9, 0, -1]),
        "watts": chance.choice([*[None] * 9, *[350] * 9, 0]),
        "tpot": chance.choice([*[None] * 6, 0.01, 0.03, 0.1, 0.5]),
        "ttft": chance.choice([*[None] * 8, 0.1, 2.0]),
        **given,
    }
    return asked | ({"sizes": _sizes(chance)} if model is None else {"model": model})


def _sizes(chance):
    heads = chance.choice([8, 12, 32, 64])
    groups = chance.choice([1, 2, 4, 5, heads])
    hidden, layers, width = (chance.choice(sizes) for sizes in ([1024, 4096], [4, 36], [64, 66, 128]))
    return dict(zip(SIZES, (hidden, layers, heads, groups, width, 11_008, 50_000), strict=True))


def rl_questions(count=MANY):
    """Ask dense models mostly, of many words and of few, with refusals among them."""
    chance = random.Random(SEED)
    dense = [name for name in choices("geometry") if _is_dense(name)]
    return [
        {
            "algorithm": chance.choice(choices("algorithm")),
            "gpus": f"{chance.choice([1, 2, 4, 8, 8, 3])}x{chance.choice(['80', 'h100', '24', 'h200'])}",
            "seq_len": chance.choice([64, 2048, 20_480]),
            "prompt_len": chance.choice([16, 62, 63]),
            "group": chance.choice([1, 8, 64]),
            "prompts": chance.choice([1, 16]),
            "lora_rank": chance.choice([None, None, None, 16, 16, 0]),
            "precision": chance.choice(["bf16", "mixed", "float32"]),
            **_rl_model(chance, dense),
        }
        for _ in range(count)
    ]


def _is_dense(name):
    try:
        return bool(model_sizes(read_choice("geometry", name)))
    except ValueError:
        return False


def _rl_model(chance, dense):
    if chance.random() < 0.2:
        return {"sizes": _sizes(chance)}
    return {"model": chance.choice([*dense, "8b", "70b", "llama-2-7b", "llama-2-7b", "deepseek-v3", "gemma-4-31b"])}


def serving_answer(asked, order):
    """Return what Python answers, or its refusal."""
    try:
        question = question_from(asked)
    except ValueError as error:
        return {"refusal": str(error)}
    found = asdict(answers_to(question, order))
    return {**found, "answers": list(map(_plain, found["answers"])), "layouts": list(map(_plain, found["layouts"]))}


def rl_answer(asked):
    try:
        return {"answers": [_plain(asdict(fit)) for fit in fits_of(fit_question_from(asked))]}
    except ValueError as error:
        return {"refusal": str(error)}


def _plain(value):
    """Return tuples as lists, as JSON has them."""
    return {key: [list(one) for one in part] if key == "sets" else part for key, part in value.items()}


def order_of(at):
    return ORDERS[at % len(ORDERS)]
