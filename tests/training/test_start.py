"""A start: what is refused leaves nothing behind, all ranks hear of it, and a run stays what it was begun in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aasist.errors import AasistError
from aasist.training import start as start_module
from aasist.training.distributed import Ranks
from aasist.training.journal import Silent
from aasist.training.precision import Precision
from aasist.training.run import METRICS, recipe_of
from aasist.training.start import by_first, start

from . import small
from .test_loop import Heard


def test_a_folder_for_audio_that_cannot_be_used_is_refused_before_the_run_begins(mini: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AasistError, match="decoded waveforms cannot be kept there"):
        start(small.recipe(mini, loading__disk=str(tmp_path / "file" / "audio")), tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_a_run_stays_in_the_precision_that_auto_was_where_it_was_begun(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_module, "resolved", lambda asked, device: automatic(asked, device, "bf16"))
    start(small.recipe(mini, precision="auto", run__steps=1), tmp_path / "run", Silent())
    assert recipe_of(tmp_path / "run").precision == "bf16"
    monkeypatch.setattr(start_module, "resolved", lambda asked, device: automatic(asked, device, "fp32"))
    with pytest.raises(AasistError, match='another recipe: precision: "bf16" in the run, "fp32" now'):
        start(small.recipe(mini, precision="auto", run__steps=2), tmp_path / "run", Silent(), resume=True)
    for asked, steps in ((recipe_of(tmp_path / "run").precision, 2), ("bf16", 3)):
        end = start(small.recipe(mini, precision=asked, run__steps=steps), tmp_path / "run", Silent(), resume=True)
        assert end.progress.step == steps
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert [one["precision"] for one in starts] == ["bf16"] * 3


def automatic(asked: str, device: torch.device, found: str) -> Precision:
    """What `resolved` gives on a machine where ``auto`` is ``found``."""
    return Precision(found if asked == "auto" else asked, device)


def test_a_log_that_was_shortened_is_told_of(mini: Path, tmp_path: Path) -> None:
    start(small.recipe(mini, run__steps=2), tmp_path / "run", Silent())
    (tmp_path / "run" / METRICS).write_bytes(b"")
    heard = Heard()
    start(small.recipe(mini, run__steps=3), tmp_path / "run", heard, resume=True)
    assert any("metrics.jsonl was shortened: its last " in text for text in heard.said)


class Second(Ranks):
    """The second of two ranks, which hears what the first said."""

    def __init__(self, told: bytes | None) -> None:
        super().__init__(rank=1, world=2)
        object.__setattr__(self, "told", told)

    told: bytes | None

    def shared(self, content: bytes | None) -> bytes | None:
        assert content is None
        return self.told


def test_what_refuses_the_first_rank_refuses_them_all_and_the_others_ask_for_nothing() -> None:
    said: list[Any] = []

    class First(Ranks):
        def shared(self, content: bytes | None) -> bytes | None:
            said.append(content)
            return content

    def refuse() -> None:
        raise AasistError("in_use", "another process trains in it")

    def never() -> None:
        raise AssertionError("only the first rank asks")

    with pytest.raises(AasistError, match="another process trains in it"):
        by_first(First(world=2), refuse)
    with pytest.raises(AasistError, match="another process trains in it") as error:
        by_first(Second(said[0]), never)
    assert error.value.code == "in_use"
    assert by_first(First(world=2), lambda: 3) == 3
    assert by_first(Second(said[1]), never) is None
