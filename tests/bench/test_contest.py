"""A contest: what becomes of contenders that fail alone, beside the others, or take too much memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aasist.bench import contest as module
from aasist.bench.contender import Contender
from aasist.bench.contest import ALONE, RACE, Contest, Limits, contest
from aasist.errors import AasistError

QUICK, SLOW, BAD = (Contender(name, f"{name}.onnx", "onnxruntime", "fp32", 1, 1) for name in ("quick", "slow", "bad"))
MORE = Contender("quick", "quick.onnx", "onnxruntime", "fp32", 2, 4)

Answer = Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], Any]


def timed(*seconds: float, failure: str = "") -> dict[str, Any]:
    return {"seconds": list(seconds), "joules": [], "failure": failure}


def race_of(took: dict[str, float]) -> Answer:
    """Everyone takes what ``took`` says, in two rounds; the reference a second."""

    def race(arguments: dict[str, Any], heard: Callable[[dict[str, Any]], None]) -> Any:
        heard({"at": 0})
        heard({"round": 1})
        entrants = [timed(took[values["model"]], took[values["model"]]) for values in arguments["contenders"]]
        reference = arguments["reference"]
        return {
            "reference": [timed(1.0, 1.0) for _ in (reference or {"threads": ()})["threads"]],
            "contenders": entrants,
        }

    return race


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What other processes are asked for, with what they answer: by job, a function of its arguments; asked ones are
    under ``asked``."""
    held: dict[str, Any] = {
        ALONE: lambda arguments, heard: {"load_seconds": 0.5, "peak_memory_mb": 100.0, "run_seconds": 0.1},
        RACE: race_of({"quick": 0.1, "slow": 0.4}),
        "asked": [],
    }

    def asked(job: str, arguments: dict[str, Any], *, heard: Callable[..., None] = lambda said: None, **_: Any) -> Any:
        held["asked"].append((job, arguments))
        return held[job](arguments, heard)

    monkeypatch.setattr(module, "asked", asked)
    monkeypatch.setattr(module.memory, "available_bytes", lambda: 10**10)
    return held


def run(*contenders: Contender, with_reference: bool = True, **options: Any) -> Contest:
    return contest(contenders, Limits(rounds=2), with_reference=with_reference, **options)


def test_rows_come_in_order_with_ratios_to_the_reference_of_as_many_threads(answers: dict[str, Any]) -> None:
    told: list[tuple[str, int, int]] = []
    found = run(QUICK, SLOW, MORE, moved=lambda stage, done, total, said: told.append((stage, done, total)))
    assert [row.contender for row in found.rows] == [QUICK, SLOW, MORE]
    assert [row.ratio_to_reference for row in found.rows] == pytest.approx([10.0, 2.5, 40.0])
    assert found.reference_ms == {1: 1000.0, 2: 1000.0}
    assert (found.rounds, found.failures) == (2, {})
    assert [job for job, _ in answers["asked"]] == [ALONE, ALONE, ALONE, RACE]  # each alone, then all in turns
    assert ("memory", 2, 3) in told
    assert ("time", 1, 5) in told


def test_without_torch_there_is_neither_reference_nor_ratio(answers: dict[str, Any]) -> None:
    found = run(QUICK, with_reference=False)
    assert answers["asked"][-1][1]["reference"] is None
    assert found.reference_ms == {}
    assert "ratio_to_reference" not in found.rows[0].to_dict()


def test_who_cannot_run_alone_never_meets_the_others(answers: dict[str, Any]) -> None:
    well = answers[ALONE]

    def alone(arguments: dict[str, Any], heard: Callable[..., None]) -> Any:
        if arguments["contender"]["model"] == "bad":
            raise AasistError("bench", "its process ended by SIGILL")
        return well(arguments, heard)

    answers[ALONE] = alone
    found = run(QUICK, BAD, SLOW)
    assert [row.contender for row in found.rows] == [QUICK, SLOW]
    assert found.failures == {BAD: "its process ended by SIGILL"}


def test_who_brings_all_down_is_left_out_and_the_others_begin_anew(answers: dict[str, Any]) -> None:
    well = answers[RACE]

    def race(arguments: dict[str, Any], heard: Callable[..., None]) -> Any:
        models = [values["model"] for values in arguments["contenders"]]
        if "bad" in models:
            heard({"at": 1 + models.index("bad")})  # behind the reference
            raise AasistError("bench", "nothing was heard of it for 180 s")
        return well(arguments, heard)

    answers[RACE] = race
    found = run(QUICK, BAD, SLOW)
    assert [row.contender for row in found.rows] == [QUICK, SLOW]
    assert found.failures == {BAD: "beside the others: nothing was heard of it for 180 s"}


def test_a_reference_that_fails_takes_no_row_with_it(answers: dict[str, Any]) -> None:
    well = answers[RACE]

    def race(arguments: dict[str, Any], heard: Callable[..., None]) -> Any:
        if arguments["reference"] is not None:
            heard({"at": 0})
            raise AasistError("bench", "its process ended by SIGSEGV")
        return well(arguments, heard)

    answers[RACE] = race
    found = run(QUICK, SLOW)
    assert [row.ratio_to_reference for row in found.rows] == [None, None]
    assert found.failures == {}
    assert found.without_reference == "its process ended by SIGSEGV"


def test_who_fails_in_its_turn_has_no_row(answers: dict[str, Any]) -> None:
    answers[RACE] = lambda arguments, heard: {
        "reference": [timed(1.0)],
        "contenders": [timed(0.1), timed(0.4, failure="no more")],
    }
    found = run(QUICK, SLOW)
    assert [row.contender for row in found.rows] == [QUICK]
    assert found.failures == {SLOW: "no more"}


def test_what_does_not_fit_into_memory_beside_the_others_is_left_out(
    answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    megabytes = {"quick": 100.0, "slow": 700.0}
    answers[ALONE] = lambda arguments, heard: {
        "load_seconds": 0.5,
        "peak_memory_mb": megabytes[arguments["contender"]["model"]],
        "run_seconds": 0.1,
    }
    monkeypatch.setattr(module.memory, "available_bytes", lambda: 900 * 10**6)
    found = run(SLOW, QUICK)
    assert [row.contender for row in found.rows] == [QUICK]
    assert "700 MB do not fit beside the others" in found.failures[SLOW]


def test_nobody_left_is_no_error(answers: dict[str, Any]) -> None:
    def alone(arguments: dict[str, Any], heard: Callable[..., None]) -> Any:
        raise AasistError("bench", "never")

    answers[ALONE] = alone
    found = run(QUICK, SLOW)
    assert (found.rows, set(found.failures)) == ([], {QUICK, SLOW})
    assert not run().rows
