"""The writer of a base model's corpus: never in the asked form where it is untidy, and never too long."""

import random

from suite.rl.tasks.corpus import TIDY_SHARE, UNFINISHED_SHARE, draw_is_tidy, untidy, well_formed
from suite.rl.tasks.task import TAGS, parse, tokens


def documents(count=4000, longest=14):
    generator = random.Random(0)
    return [tokens(untidy("4752", "2457", generator, longest=longest)) for _ in range(count)]


def test_an_untidy_document_is_formless_and_not_too_long():
    for longest in (5, 12, 30):
        for document in documents(500, longest):
            assert not parse(document).is_well_formed
            assert len(document) <= longest


def test_untidy_documents_keep_text_and_disturb_every_tag():
    written = documents(longest=40)
    assert all("".join(token for token in document if token not in TAGS) == "47522457" for document in written)
    for tag in TAGS:
        counts = {document.count(tag) for document in written}
        assert {0, 1, 2} <= counts
        assert len({document.index(tag) for document in written if tag in document}) > 5


def test_most_documents_do_not_close_their_answer():
    written = documents(longest=40)
    assert UNFINISHED_SHARE - 0.2 < sum(document[-1] != "</answer>" for document in written) / len(written) < 0.95


def test_tidy_documents_have_the_form_and_their_share():
    assert well_formed("4752", "2457") == "<think>4752</think><answer>2457</answer>"
    generator = random.Random(0)
    assert abs(sum(draw_is_tidy(generator) for _ in range(20_000)) / 20_000 - TIDY_SHARE) < 0.005
