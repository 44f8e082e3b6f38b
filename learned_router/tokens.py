"""Text to token ids, just as the tokenizer of an artifact makes them, with the words that came before from memory.

Knows texts and token ids; knows nothing of views or graphs.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from learned_router.bounded import Bounded
from learned_router.errors import ArtifactError
from learned_router.failures import describe, ends_all

# some 200 bytes each; English needs a few thousand for nine words of ten
WORDS_KEPT: Final = 16_384
# a longer one is an address or a hash, and will not come again
WORD_CHARS_KEPT: Final = 24
# of ASCII in lower case and without other control characters than these spaces, what BERT's pre-tokenizer makes a word:
# letters and digits, or one sign
_WORD: Final = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_SPACE: Final = re.compile(r"[ \t\n\r]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Tokens:
    """A tokenizer. Threads share it.

    One that cuts words as BERT does needs only a word to say what its pieces are, whatever stands around it: in plain ASCII
    text each word is looked up, and only those not met before are given to the tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._by_word = _cuts_words(tokenizer)
        self._added = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values())
        self._known: Bounded[str, tuple[int, ...]] = Bounded(WORDS_KEPT)

    @classmethod
    def parse(cls, content: bytes, name: str) -> Tokens:
        """From the bytes of a ``tokenizer.json``. name: of the file. Raises ArtifactError when they are none."""
        try:
            tokenizer = Tokenizer.from_buffer(content)
        except BaseException as error:  # bare Exception for anything wrong with the file, or a panic of its Rust
            if ends_all(error):
                raise
            raise ArtifactError(f"{name}: no tokenizer in it ({describe(error)}); export the artifact again") from None
        return cls(tokenizer)

    @property
    def size(self) -> int:
        """Of the vocabulary, added tokens included."""
        return int(self._tokenizer.get_vocab_size())

    def special(self, *names: str) -> int:
        """Id of the first token of these names that there is. Raises ArtifactError when there is none."""
        for name in names:
            token = self._tokenizer.token_to_id(name)
            if token is not None:
                return int(token)
        raise ArtifactError(f"tokenizer.json has none of {', '.join(names)}; only BERT-like tokenizers are supported")

    def ids_of(self, text: str) -> list[int]:
        """Token ids of a text, special tokens not added."""
        if not self._by_word or _CONTROL.search(text) or any(map(text.__contains__, self._added)):
            return self._ask(text)
        if text.isascii():
            words = _WORD.findall(text.lower())
        else:  # what stands between two spaces is a word too, of several if need be
            words = []
            for part in _SPACE.split(text):
                if part.isascii():
                    words += _WORD.findall(part.lower())
                elif len(part) > WORD_CHARS_KEPT:  # of a script without spaces: nothing of it would be kept
                    return self._ask(text)
                else:
                    words.append(part)
        try:
            found = list(map(self._known.__getitem__, words))
        except KeyError:
            found = self._learn(words)
        return list(chain.from_iterable(found))

    def _learn(self, words: list[str]) -> list[tuple[int, ...]]:
        """The pieces of words, of which some are known, asking for all others at once."""
        known = {word: pieces for word in words if (pieces := self._known.get(word)) is not None}
        asked = [word for word in dict.fromkeys(words) if word not in known]
        encoding = self._tokenizer.encode(asked, is_pretokenized=True, add_special_tokens=False)
        pieces_of: list[list[int]] = [[] for _ in asked]
        for index, token in zip(encoding.word_ids, encoding.ids, strict=True):
            if index is not None:  # as it is for special tokens alone, which were not asked for
                pieces_of[index].append(token)
        learned = {word: tuple(pieces) for word, pieces in zip(asked, pieces_of, strict=True)}
        self._known.keep({word: pieces for word, pieces in learned.items() if len(word) <= WORD_CHARS_KEPT})
        known |= learned
        return [known[word] for word in words]

    def _ask(self, text: str) -> list[int]:
        # one text at a time: the library hands several to threads, and that takes longer
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids


def _cuts_words(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer lowers letters, cuts at spaces and signs, and looks at each word alone, as BERT's does."""
    normalizer = tokenizer.normalizer
    return (
        isinstance(normalizer, BertNormalizer)
        and normalizer.lowercase
        and normalizer.clean_text
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.model, WordPiece)
        and not any(token.normalized for token in tokenizer.get_added_tokens_decoder().values())
    )
