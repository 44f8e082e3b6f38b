"""Token ids from the words of memory are those of the tokenizer, whatever the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from learned_router import tokens
from learned_router.bounded import Bounded
from learned_router.tokens import Tokens

WORDS = (
    "which",
    "orders",
    "are",
    "late",
    "unbelievably",
    "get_userName",
    "1,182.50",
    "don't",
    "[SEP]",
    "x" * 120,
    "…",
    "é",
)


@pytest.fixture(scope="module")
def tokenizer(artifact: Path) -> Tokenizer:
    found = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    found.no_padding()
    found.no_truncation()
    return found


@pytest.fixture(scope="module")
def ours(artifact: Path) -> Tokens:
    path = artifact / "tokenizer.json"
    return Tokens.parse(path.read_bytes(), str(path))


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


ANY_TEXT = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=200),
    st.lists(st.sampled_from((*WORDS, " ", "\n", "\x0b", "\x7f", "-", "##ly")), max_size=30).map("".join),
    st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)


@settings(max_examples=500, deadline=None)
@given(text=ANY_TEXT)
@example("")
@example("a\x00b a\x1cb a\x0bb a\tb\r\nc")
@example("say [SEP] and [MASK]")
def test_words_from_memory_have_the_tokenizers_ids(ours: Tokens, tokenizer: Tokenizer, text: str) -> None:
    assert ours.ids_of(text) == ids_of(tokenizer, text)  # met for the first time, or not
    assert ours.ids_of(text) == ids_of(tokenizer, text)


def test_the_memory_is_bounded_and_goes_on_after_it_was_full(
    ours: Tokens, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "_known", Bounded(10))
    for start in range(0, 60, 7):
        text = " ".join(f"w{number} or" for number in range(start, start + 7))
        assert ours.ids_of(text) == ids_of(tokenizer, text)
        assert len(ours._known) <= 10
    many = " ".join(f"w{number}" for number in range(40))
    assert ours.ids_of(many) == ids_of(tokenizer, many)


def test_a_long_word_is_not_kept(ours: Tokens) -> None:
    ours.ids_of("a " + "b" * 500)
    assert max(map(len, ours._known)) <= tokens.WORD_CHARS_KEPT


@pytest.mark.parametrize("change", ["cased", "no cleaning", "other cutting", "normalized token"])
def test_a_tokenizer_that_reads_more_than_words_is_asked_each_time(artifact: Path, change: str) -> None:
    tokenizer = Tokenizer.from_file(str(artifact / "tokenizer.json"))
    if change == "cased":
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    elif change == "no cleaning":
        tokenizer.normalizer = normalizers.BertNormalizer(clean_text=False)
    elif change == "other cutting":
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        tokenizer.add_tokens(["order number"])
    own = Tokens(tokenizer)
    text = "The Order number\x01 of get_user"
    assert own.ids_of(text) == ids_of(tokenizer, text)
    assert not own._known


def test_a_word_without_pieces_is_an_error_each_time() -> None:
    tokenizer = Tokenizer(models.WordPiece({"a": 0, "[CLS]": 1}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    own = Tokens(tokenizer)
    assert own.ids_of("a a") == [0, 0]
    for _ in range(2):
        with pytest.raises(Exception, match="UNK"):
            own.ids_of("a zebra")
