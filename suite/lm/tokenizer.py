"""Tokens as numbers: a fixed list of texts, of which the first two are padding and the end."""

from collections.abc import Iterable, Sequence

PAD, END = 0, 1
NAMES = ("<pad>", "<end>")
WIDTH_MULTIPLE = 64
"""Divisor of the vocabulary's size, as kernels like it; ids that are over have no text, and a trained model never
samples one."""


class Tokenizer:
    """A map from token texts to ids and back. `texts`: all that may occur, padding and end aside."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [*NAMES, *texts]
        assert len(set(self._texts)) == len(self._texts)
        self._ids = {text: id for id, text in enumerate(self._texts)}
        self._texts += [NAMES[PAD]] * (self.vocab_size - len(self._texts))

    @property
    def vocab_size(self) -> int:
        """Number of ids, rounded up to a multiple of WIDTH_MULTIPLE."""
        return -(-len(self._texts) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of the tokens. Raises KeyError for a text that is no token."""
        return [self._ids[token] for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The texts of the ids; for one without a text, which an untrained model may sample, the padding's."""
        return [self._texts[id] for id in ids]
