"""Seeded questions for the chooser, and Python's answers to them in the fields that the page's script answers with."""

import random
from dataclasses import asdict

from suite.configuration.files import choices
from suite.theory.choose import ORDERS, SIZES, answers_to, question_from
from suite.theory.fit import fit_question_from, fits_of
from suite.theory.parallel import WAYS

SEED, MANY = 27, 200
DEVICES = ("h100", "h100", "h200", "h200", "h200", "b200", "a100", "gb200", "l40s", "v100", "mi300x", "80", "141", "24")
COUNTS = (1, 1, 2, 2, 4, 4, 8, 8, 8, 3, 16)


def serving_questions(count=MANY):
    """Ask every model, most of them more than once, with own sizes, refusals and caches in eight bits among them."""
    chance = random.Random(SEED)
    models = [*choices("geometry"), *chance.choices(choices("geometry"), k=count)]
    return [_serving(chance, model) for model in models[: count - count // 10]] + [
        _serving(chance, None) for _ in range(count // 10)
    ]


def _serving(chance, model):
    context = chance.choice([64, 513, 4096, 4096, 32_768, 32_768, 131_071])
    asked = {
        "gpus": f"{chance.choice(COUNTS)}x{chance.choice(DEVICES)}",
        "context": context,
        "batch": chance.choice([None, None, None, 1, 8, 17, 64]),
        "new_tokens": chance.choice([1, 1, 1, 2, 4, 100]),
        "way": chance.choice(WAYS),
        "weights": chance.choice(["bfloat16", "fp8", "int4", "int4"]),
        "cache_dtype": chance.choice(["bfloat16", "bfloat16", "bfloat16", "fp8", "int8"]),
        "price": chance.choice([None, 2.5]),
        "watts": chance.choice([None, 350]),
    }
    return asked | ({"sizes": _sizes(chance)} if model is None else {"model": model})


def _sizes(chance):
    heads = chance.choice([8, 12, 32, 64])
    groups = chance.choice([1, 2, 4, 5, heads])
    sizes = (
        chance.choice([1024, 4096]),
        chance.choice([4, 36]),
        heads,
        groups,
        chance.choice([64, 66, 128]),
        11_008,
        50_000,
    )
    return dict(zip(SIZES, sizes, strict=True))


def rl_questions(count=MANY):
    chance = random.Random(SEED)
    return [
        {
            "algorithm": chance.choice(choices("algorithm")),
            "gpus": f"{chance.choice([1, 1, 2, 3, 4, 8])}x{chance.choice(['80', 'h100', '24', 'h200'])}",
            "seq_len": chance.choice([64, 2048, 20_480]),
            "prompt_len": chance.choice([16, 63, 256]),
            "group": chance.choice([1, 8, 64]),
            "prompts": chance.choice([1, 16]),
            "lora_rank": chance.choice([None, None, 16]),
            "precision": chance.choice(["bf16", "bf16", "mixed", "float32"]),
            **(
                {"sizes": _sizes(chance)}
                if chance.random() < 0.1
                else {"model": chance.choice([*choices("geometry"), "8b", "70b", "7b", "0.5b", "72b"])}
            ),
        }
        for _ in range(count)
    ]


def serving_answer(asked, order):
    """Return what Python answers, or its refusal."""
    try:
        question = question_from({**{k: v for k, v in asked.items() if k != "way"}, "parallel": asked["way"]})
    except ValueError as error:
        return {"refusal": str(error)}
    found = asdict(answers_to(question, order))
    return {"by": found["by"], "watts": found["watts"], "answers": [_plain(answer) for answer in found["answers"]]}


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
