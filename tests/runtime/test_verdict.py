"""Windows to segments, llr to score, and the JSON of a verdict."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import AudioError
from aasist.runtime.verdict import ModelIdentity, Note, Span, Verdict, score_of, unjudged

from .contract import CONTRACT_KEYS

MODEL = ModelIdentity("fake", "0" * 64, "fp32")


def test_score_is_one_half_at_llr_0_and_rises_from_0_to_1() -> None:
    assert score_of(0.0) == 0.5
    assert score_of(math.log(3)) == pytest.approx(0.75)
    assert (score_of(-1e6), score_of(1e6)) == (0.0, 1.0)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_score_is_symmetric_ordered_and_within_0_and_1(llr: float, other: float) -> None:
    assert 0.0 <= score_of(llr) <= 1.0
    assert score_of(llr) + score_of(-llr) == pytest.approx(1.0)
    if llr < other:
        assert score_of(llr) <= score_of(other)


@given(st.floats(-30, 30))
def test_a_score_gives_its_llr_back(llr: float) -> None:
    score = score_of(llr)
    assert math.log(score) - math.log1p(-score) == pytest.approx(llr, rel=1e-3, abs=1e-9)


def verdict(path: str = "a.wav", llr: float = 1.0) -> Verdict:
    span = Span(0.0, 4.0, score_of(llr), llr)
    return Verdict(
        path, "bonafide", score_of(llr), llr, 0.0, 4.0, 3.0, 8_000, 1, (span,), (Note("clipped", "loud"),), MODEL,
        windows=(span, span),
    )  # fmt: skip


def test_json_has_the_keys_of_the_contract_in_their_order_and_windows_only_on_request() -> None:
    values = json.loads(verdict().to_json())
    assert list(values) == CONTRACT_KEYS
    assert list(values["segments"][0]) == ["start", "end", "score", "llr"]
    assert set(values["model"]) == {"name", "sha256", "precision"}
    assert values["error"] is None
    assert len(json.loads(verdict().to_json(timeline=True))["windows"]) == 2


def test_a_verdict_that_could_not_be_reached_has_the_same_keys_and_the_error() -> None:
    values = json.loads(unjudged("b.wav", AudioError("empty", "no"), threshold=0.5, model=MODEL).to_json())
    assert list(values) == CONTRACT_KEYS
    assert values["error"] == {"code": "empty", "message": "no"}
    assert (values["label"], values["score"], values["llr"], values["threshold"]) == (None, None, None, 0.5)


@given(st.text())
def test_any_path_becomes_one_line_of_json_and_comes_back(path: str) -> None:
    text = verdict(path).to_json()
    assert "\n" not in text
    assert json.loads(text)["path"] == path


def test_a_path_that_is_no_utf_8_becomes_json_that_can_be_written_and_comes_back() -> None:
    path = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    text = verdict(path).to_json()
    assert json.loads(text.encode("utf-8"))["path"] == path
    assert "café" in verdict("café.wav").to_json(), "others stay legible"


@pytest.mark.parametrize("llr", [math.nan, math.inf, -math.inf])
def test_json_never_holds_what_is_not_a_number(llr: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        verdict(llr=llr).to_json()
