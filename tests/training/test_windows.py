"""Windows of trials: as many of each class as can be, the same for a seed, and without those that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from aasist.errors import AasistError
from aasist.model.aasist import Aasist
from aasist.training import windows as training_windows
from aasist.training.averaging import norms_of
from aasist.training.recordings import gathered
from aasist.training.windows import renormed, windows_of_both_classes
from aasist.trial import Trials, strings

from ..conftest import SMALL


def trials(
    root: Path, bonafide: int, spoofs: int, broken: tuple[int, ...] = (), silent: tuple[int, ...] = ()
) -> Trials:
    """Recordings that are one number throughout, (n + 2) / 1000 of trial n: bona fide first; the ``broken`` are no sound, and the
    ``silent`` have nothing above -60 dBFS."""
    for number in range(bonafide + spoofs):
        path = root / f"{number}.wav"
        if number in broken:
            path.write_bytes(b"nothing")
        elif number in silent:
            soundfile.write(path, np.full(900, 20 / 2**15, np.float32), 16_000)
        else:
            soundfile.write(path, np.full(900 + 200 * number, (number + 2) / 1_000, np.float32), 16_000)
    count = bonafide + spoofs
    table = Trials(
        strings(f"T{n}" for n in range(count)),
        np.arange(count) < bonafide,
        {"path": strings(f"{n}.wav" for n in range(count))},
    )
    return gathered([("made", table, root)])


def of(windows: torch.Tensor) -> list[int]:
    """Which trial each window is of."""
    assert (windows == windows[:, :1]).all()
    return [round(1_000 * float(value)) - 2 for value in windows[:, 0]]


def test_half_are_bona_fide_each_of_another_trial_at_the_length_asked_for(tmp_path: Path) -> None:
    told: list[int] = []
    found = windows_of_both_classes(trials(tmp_path, 6, 9), 7, 1_000, seed=0, progress=told.append)
    assert found.windows.shape == (7, 1_000)
    assert found.windows.dtype == torch.float32
    assert found.labels.sum() == 3
    taken = of(found.windows)
    assert len(set(taken)) == 7
    assert [int(number < 6) for number in taken] == found.labels.tolist()
    assert told == list(range(1, 8))
    assert found.labels.tolist() != sorted(found.labels.tolist(), reverse=True), "an order by class"


def test_of_a_class_with_too_few_all_are_taken_and_more_of_the_other(tmp_path: Path) -> None:
    table = trials(tmp_path, 2, 9)
    assert windows_of_both_classes(table, 8, 500, seed=0).labels.sum() == 2
    assert len(windows_of_both_classes(table, 8, 500, seed=0).labels) == 8
    turned = Trials(table.ids, ~table.bonafide, table.columns)
    assert windows_of_both_classes(turned, 8, 500, seed=0).labels.sum() == 6
    assert len(windows_of_both_classes(table, 100, 500, seed=0).labels) == 11


def test_the_seed_decides_and_the_threads_do_not(tmp_path: Path) -> None:
    table = trials(tmp_path, 8, 8)
    one, threaded, other = (
        windows_of_both_classes(table, 6, 700, seed=seed, threads=threads) for seed, threads in ((1, 1), (1, 3), (2, 1))
    )
    assert torch.equal(one.windows, threaded.windows)
    assert torch.equal(one.labels, threaded.labels)
    assert not torch.equal(one.windows, other.windows)


def test_what_cannot_be_read_gives_its_place_to_another(tmp_path: Path) -> None:
    found = windows_of_both_classes(trials(tmp_path, 4, 4, broken=(0, 5, 6)), 6, 500, seed=3)
    assert found.labels.sum() == 3
    assert not set(of(found.windows)) & {0, 5, 6}
    assert len(found.labels) == 5, "two spoofs can be read"


def test_a_class_of_which_nothing_can_be_heard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AasistError, match="none of its 2 spoofs could be read"):
        windows_of_both_classes(trials(tmp_path, 3, 2, broken=(3, 4)), 4, 500, seed=0)
    with pytest.raises(AasistError, match="training needs trials of both classes, got 3 bona fide and 0 spoofs"):
        windows_of_both_classes(trials(tmp_path, 3, 0), 4, 500, seed=0)


def test_what_is_silent_gives_its_place_to_another(tmp_path: Path) -> None:
    found = windows_of_both_classes(trials(tmp_path, 6, 6, silent=(0, 7, 8)), 6, 500, seed=3)
    assert len(found.labels) == 6
    assert not set(of(found.windows)) & {0, 7, 8}


@pytest.mark.parametrize(("silent", "name"), [((0, 1, 2), "bona fide trials"), ((6, 7, 8), "spoofs")])
def test_a_class_of_silence_is_refused_with_the_count(silent: tuple[int, ...], name: str, tmp_path: Path) -> None:
    table = trials(tmp_path, 6, 6, silent=silent)
    with pytest.raises(
        AasistError, match=f"6 {name} gave 3 windows that are not silent, and 4 is the least; 3 had"
    ) as caught:
        windows_of_both_classes(table, 10, 500, seed=0)
    assert caught.value.code == "calibration"
    assert len(windows_of_both_classes(table, 6, 500, seed=0).labels) == 6, "three of each were wanted, and found"


def test_no_window_of_the_norms_weighs_more_than_another(
    seeded: Callable[..., Aasist], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        training_windows, "estimate_norms", lambda model, batches: sizes.extend(len(part) for part, _ in batches)
    )
    for count, rows, expected in ((17, 8, [9, 8]), (16, 8, [8, 8]), (5, 8, [5]), (9, 4, [5, 4])):
        sizes.clear()
        renormed(seeded(SMALL), torch.zeros(count, 10), rows=rows, seed=0)
        assert sizes == expected


def test_norms_told_anew_are_those_of_what_comes_into_them(seeded: Callable[..., Aasist]) -> None:
    model = seeded(replace(SMALL, dropouts=(0.0,) * 4))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    windows = 0.1 * torch.randn(6, 8_000, generator=torch.Generator().manual_seed(1))
    renormed(model, windows, rows=6, seed=0)
    assert not model.training
    first = model.encoder.blocks[0]
    with torch.no_grad():
        into = first.conv1(model.encoder.opened(model.bands(windows).unsqueeze(1)))
    torch.testing.assert_close(first.norm.running_mean, into.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.norm.running_var, into.var((0, 2, 3)), rtol=1e-2, atol=1e-4)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert len([name for name in changed if name.endswith("running_var")]) == len(norms_of(model))
    again = seeded(replace(SMALL, dropouts=(0.0,) * 4))
    renormed(again, windows, rows=6, seed=0)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
