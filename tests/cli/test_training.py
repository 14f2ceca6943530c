"""What is said while a model trains, where no terminal shows a bar."""

from __future__ import annotations

import pytest

from aasist.cli import training
from aasist.cli.training import Progress

MACHINE = {"windows_per_second": 12.5, "waiting_share": 0.25, "cache_hit_share": 0.5, "memory_bytes": 2e9}
LINE = {"step": 40, "loss": 0.25, "machine": MACHINE}


def test_without_a_terminal_a_line_a_minute_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(training.time, "monotonic", lambda: now)
    with Progress() as progress:
        progress.stepped(LINE, 1000)
        assert capsys.readouterr().err == ""
        now += training.SECONDS_BETWEEN_LINES
        progress.stepped(LINE, 1000)
        said = "step 40 of 1,000: loss 0.2500, 12.5 windows/s, 25% waiting for data, cache hits 50%, 2.00 GB\n"
        assert capsys.readouterr().err == said
        progress.stepped({**LINE, "loss": None}, 1000)
        assert capsys.readouterr().err == ""


def test_an_epoch_says_when_its_weights_were_kept_and_no_speed_where_no_step_was_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = {**LINE, "epoch": 0, "dev_eer": 0.5, "dev_within_source": None, "faults": 0, "best": True}
    line["machine"] = {**MACHINE, "windows_per_second": 0.0, "seconds": 61.0}
    with Progress() as progress:
        progress.ended_epoch(line, 3)
        assert capsys.readouterr().err == (
            "epoch 1/3, step 40: loss 0.2500, dev EER 50.00%, kept as the best so far; 2.00 GB, 1:01\n"
        )
        progress.ended_epoch({**line, "best": False}, 3)
        assert "best" not in capsys.readouterr().err
