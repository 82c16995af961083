"""A published model's own tokens, by transformers' tokenizer of it."""

from collections.abc import Iterable, Sequence
from typing import Any

from suite.lm.checkpoint.place import Place
from suite.measure.workload import UnsupportedError

ROLES = ("user", "assistant")


class Words:
    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        """Id of the token that ends its turn, or its text."""

    def encode(self, text: str) -> list[int]:
        """The text's tokens and no others."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def encode_with_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The same, and where in the text the characters of each token begin and end; a space may be a word's first.

        Raises UnsupportedError for a tokenizer that does not say.
        """
        if not self._tokenizer.is_fast:
            raise UnsupportedError("the checkpoint's tokenizer does not say which characters a token is of")
        encoded = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [(begin, end) for begin, end in encoded["offset_mapping"]]

    def asked(self, instruction: str, said: Sequence[str]) -> list[int]:
        """An instruction and what a user and the model said in turns, up to where the model goes on: by its chat
        template, or as paragraphs where it has none."""
        if self._tokenizer.chat_template is None:
            return list(self._tokenizer.encode("".join(f"{text}\n\n" for text in (instruction, *said))))
        turns = [{"role": ROLES[number % 2], "content": text} for number, text in enumerate(said)]
        turns = [{"role": "system", "content": instruction}, *turns]
        return self.encode(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))

    def decode(self, ids: Iterable[int]) -> str:
        """The text as it stands, its special tokens and spaces included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def words_of(place: Place) -> Words:
    """Raises UnsupportedError where a folder has no tokenizer that ends a text."""
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of the weights of a GGUF, which its tokenizer is read among
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
