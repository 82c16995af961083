"""A published model's own tokens, by transformers' tokenizer of it."""

from collections.abc import Iterable
from typing import Any

from suite.lm.checkpoint.place import Place
from suite.measure.workload import UnsupportedError

PLAIN = "{question}\n\n"
"""For a model without a chat template."""


class Words:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        """Id of the token that ends its turn, or its text."""

    def encode(self, text: str) -> list[int]:
        """The text's tokens and no others."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def asked(self, question: str) -> list[int]:
        """The question by the model's chat template, up to where its answer begins; as plain text where it has none."""
        if self._tokenizer.chat_template is None:
            return list(self._tokenizer.encode(PLAIN.format(question=question)))
        turns = [{"role": "user", "content": question}]
        text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return self.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text as it stands, its special tokens and spaces included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def words_of(place: Place) -> Words:
    """Raises UnsupportedError where a folder has no tokenizer that ends a text."""
    from transformers import AutoTokenizer

    given = {"gguf_file": place.gguf} if place.gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.folder, local_files_only=True, **given)
    except (OSError, ValueError) as error:
        raise UnsupportedError(
            f"the checkpoint {place.name} has no tokenizer that transformers reads ({error})"
        ) from error
    if tokenizer.eos_token_id is None:
        raise UnsupportedError(f"the tokenizer of {place.name} names no eos_token, so that no completion would end")
    return Words(tokenizer)
