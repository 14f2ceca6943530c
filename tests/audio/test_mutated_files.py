"""Thousands of damaged files go through the whole detector without a crash, a hang, or a verdict on nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = int(os.environ.get("AASIST_MUTANTS", "2000"))
SLOWEST_SECONDS = 5.0


def test_mutants_are_refused_or_judged_in_time() -> None:
    """Run in a process of its own: a crash of a native decoder names its mutant instead of ending the tests."""
    script = Path(__file__).with_name("mutants.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    run = subprocess.run(
        [sys.executable, str(script), "0", str(MUTANTS)],
        capture_output=True, text=True, timeout=600, check=False, env=environment,
    )  # fmt: skip
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    begun, ended = lines[::2], lines[1::2]
    assert run.returncode == 0, f"died with {run.returncode} on mutant {begun[-1:]}: {run.stderr[-2_000:]}"
    assert len(begun) == len(ended) == MUTANTS
    assert run.stderr == ""
    for mutant, outcome in zip(begun, ended, strict=True):
        assert outcome["seconds"] < SLOWEST_SECONDS, (mutant, outcome)
        if "code" in outcome:
            assert "\n" not in outcome["message"], (mutant, outcome)
        else:
            assert outcome["finite"], (mutant, outcome)
            assert outcome["audio"] >= 0.5, (mutant, outcome)
            assert outcome["label"] in {"bonafide", "spoof", "undecided"}, (mutant, outcome)
    codes = {outcome.get("code") for outcome in ended}
    assert None in codes, "not one mutant was readable: the damage is too coarse to test anything"
    assert "unreadable" in codes


def test_a_mutant_is_the_same_each_time() -> None:
    mutants = pytest.importorskip("mutants")
    first, again = (list(mutants.mutants(40, 20)) for _ in range(2))
    assert first == again
    assert len({mutant.data for mutant in first}) == 20
