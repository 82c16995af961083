"""A published model's own tokens, by transformers' tokenizer of it."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from suite.lm.checkpoint.locate import CheckpointFiles
from suite.measure.workload import UnsupportedError

LONGEST_ERROR = 200


class CheckpointTokenizer:
    """Tokens of a published model."""

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        (self.end,) = self._within_vocabulary([tokenizer.eos_token_id])
        """Id of the token that ends its turn, or its text."""

    def encode(self, text: str) -> list[int]:
        """Token ids of the text, without special tokens. Raises UnsupportedError where the tokenizer fails."""
        encode = functools.partial(self._tokenizer.encode, text, add_special_tokens=False)
        return self._within_vocabulary(_call_untrusted("tokenizer", encode))

    def encode_with_places(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """(token ids of the text, where each token's characters begin and end in it). A token may begin with a space.

        Raises UnsupportedError for a tokenizer that does not say which characters a token is of.
        """
        if not self._tokenizer.is_fast:
            raise UnsupportedError("the checkpoint's tokenizer does not say which characters a token is of")
        options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
        encoded = _call_untrusted("tokenizer", lambda: self._tokenizer(text, **options))
        return self._within_vocabulary(encoded["input_ids"]), [(begin, end) for begin, end in encoded["offset_mapping"]]

    def encode_chat(self, instruction: str, messages: Sequence[str]) -> list[int]:
        """Token ids of an instruction and of user's and model's messages in turns, by the chat template if any."""
        if self._tokenizer.chat_template is None:
            paragraphs = "".join(f"{text}\n\n" for text in (instruction, *messages))
            return self._within_vocabulary(_call_untrusted("tokenizer", lambda: self._tokenizer.encode(paragraphs)))
        turns = [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(messages)]
        turns = [{"role": "system", "content": instruction}, *turns]
        template = functools.partial(
            self._tokenizer.apply_chat_template, turns, add_generation_prompt=True, tokenize=False
        )
        return self.encode(_call_untrusted("chat template", template))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the ids, special tokens and spaces included."""
        options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        return str(_call_untrusted("tokenizer", lambda: self._tokenizer.decode(list(ids), **options)))

    def _within_vocabulary(self, ids: Iterable[int]) -> list[int]:
        """The ids as a list. Raises UnsupportedError for one that the weights do not have."""
        token_ids = list(ids)
        if token_ids and max(token_ids) >= self._vocab_size:
            raise UnsupportedError(
                f"the checkpoint's tokenizer has a token {max(token_ids)}, "
                f"but its weights are of {self._vocab_size} tokens"
            )
        return token_ids


def load_tokenizer(place: CheckpointFiles, *, vocab_size: int) -> CheckpointTokenizer:
    """Load a checkpoint's tokenizer. `vocab_size`: tokens that its weights have.

    Raises UnsupportedError where transformers reads none, or one without an end-of-text token.
    """
    from transformers import AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # of the weights of a GGUF, which its tokenizer is read among
    given = {"gguf_file": place.gguf} if place.gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place.folder, local_files_only=True, trust_remote_code=False, **given)
        end = tokenizer.eos_token_id
    except Exception as error:  # whatever transformers makes of a stranger's files
        raise UnsupportedError(
            f"the checkpoint {place.name} has no tokenizer that transformers reads ({_first_line(error)})"
        ) from error
    if end is None:
        raise UnsupportedError(f"the tokenizer of {place.name} must name an eos_token, or no completion would end")
    return CheckpointTokenizer(tokenizer, vocab_size)


def _call_untrusted(part: str, call: Callable[[], Any]) -> Any:
    """The result of `call`, which uses a stranger's files. Raises UnsupportedError, naming the part, for any error."""
    try:
        return call()
    except Exception as error:
        raise UnsupportedError(f"the checkpoint's {part} fails ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:LONGEST_ERROR]}" if lines else type(error).__name__
