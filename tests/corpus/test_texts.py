"""Texts: a file of the user's, and sentences of our own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aasist.corpus.texts import built_in, enough, grammar, read_texts, sentence, variety
from aasist.errors import ProtocolError


def test_a_dozen_languages_have_a_thousand_sentences_or_more() -> None:
    assert len(built_in()) >= 12
    assert {"en", "de", "fr", "es", "it", "pt", "ru", "zh", "ja"} <= built_in()
    for language in built_in():
        assert variety(language) >= 1_000, language


@pytest.mark.parametrize("language", sorted(built_in()))
def test_every_slot_of_a_grammar_is_filled_and_every_list_is_used(language: str) -> None:
    random = np.random.default_rng(0)
    drawn = {sentence(language, random) for _ in range(500)}
    assert len(drawn) > 250
    assert not any("{" in text or "  " in text for text in drawn)
    patterns = " ".join(grammar(language)["patterns"])
    assert all(f"{{{name}}}" in patterns for name in grammar(language) if name != "patterns")


def test_enough_is_said_to_fill_the_time_and_no_more() -> None:
    sentences = tuple(f"Sentence number {n} is here." for n in range(20))
    assert enough(sentences, "en", 1.0) == sentences[0]
    assert enough(sentences, "en", 4.0) == " ".join(sentences[:4])
    assert enough(("一二三四五六七八",) * 9, "zh", 3.0) == "一二三四五六七八" * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("en hello", ":1: expected a language, a tab and a text"),
        ("en\tone\nfr\t \n", ":2: expected"),
        ("\n\n", "no line"),
    ],
)
def test_a_file_of_texts_that_is_none_is_named_with_the_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "texts.tsv"
    file.write_text(text)
    with pytest.raises(ProtocolError) as error:
        read_texts(str(file))
    assert said in error.value.message
