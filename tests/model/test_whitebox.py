"""A checkpoint with its gradient: pushes go the way they should, no further than the bound, and agree with the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.model import checkpoint, whitebox
from aasist.model.aasist import Aasist
from aasist.model.whitebox import Attack, WhiteBox
from aasist.session import Float32

SNRS_DB = (30.0, 50.0, 40.0)


@pytest.fixture(autouse=True)
def one_thread(same_threads: None) -> Iterator[None]:
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="module")
def box(small_model: Aasist, tmp_path_factory: pytest.TempPathFactory) -> WhiteBox:
    path = tmp_path_factory.mktemp("box") / "small.safetensors"
    checkpoint.save(small_model, path)
    return WhiteBox(path)


def recorded(samples: int, seed: int = 0) -> Float32:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def places(*starts: int) -> np.ndarray:
    return np.array(starts)[:, None] + np.arange(8_000)


def margin_of(model: Aasist, samples: Float32, where: np.ndarray) -> float:
    with torch.inference_mode():
        logits = model(torch.from_numpy(samples[where]))
    return float((logits[:, 1] - logits[:, 0]).mean())


def test_the_clean_margin_is_the_models_mean_over_its_windows(box: WhiteBox, small_model: Aasist) -> None:
    samples, where = recorded(14_000), places(0, 4_000, 6_000)
    pushed = box.pushed(samples, where, [], Attack("fgsm"), up=True, draw=0)
    assert pushed.clean == pytest.approx(margin_of(small_model, samples, where), abs=1e-4)
    assert pushed.attacked == ()
    assert pushed.has_gradient


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
@pytest.mark.parametrize("up", [True, False])
def test_a_stronger_attack_pushes_further_and_always_the_way_that_is_asked(kind: str, up: bool, box: WhiteBox) -> None:
    pushed = box.pushed(recorded(14_000), places(0, 4_000, 6_000), SNRS_DB, Attack(kind, 4), up=up, draw=0)
    sign = 1 if up else -1
    at_30, at_50, at_40 = (sign * margin for margin in pushed.attacked)
    assert sign * pushed.clean < at_50 <= at_40 <= at_30
    assert at_50 < at_30


def test_several_steps_push_further_than_one(box: WhiteBox) -> None:
    rises = {}
    for attack in (Attack("fgsm"), Attack("pgd", 10)):
        for seed in range(4):
            pushed = box.pushed(recorded(8_000, seed), places(0), [40.0], attack, up=True, draw=seed)
            rises.setdefault(attack.kind, []).append(pushed.attacked[0] - pushed.clean)
    assert np.mean(rises["pgd"]) > np.mean(rises["fgsm"])


def test_an_attack_is_a_matter_of_its_seed_and_draw(box: WhiteBox) -> None:
    def pushed(seed: int, draw: int) -> tuple[float, ...]:
        return box.pushed(recorded(8_000), places(0), [40.0], Attack("pgd", 2, seed), up=True, draw=draw).attacked

    assert pushed(0, 1) == pushed(0, 1)
    assert len({pushed(0, 1), pushed(0, 2), pushed(1, 1)}) == 3


def test_the_windows_of_a_recording_are_perturbed_as_one(
    box: WhiteBox, small_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model hears in overlapping windows is one recording, and no further from it than the bound."""
    heard: list[torch.Tensor] = []
    real = box._form.forward
    monkeypatch.setattr(
        box._form, "forward", lambda windows: (heard.append(windows.detach().clone()), real(windows))[1]
    )
    samples, where = recorded(12_000), places(0, 4_000)
    samples[:2_000] *= 0.01
    box.pushed(samples, where, [30.0], Attack("pgd", 3), up=True, draw=0)
    clean, *perturbed = heard
    assert len(perturbed) == 4
    radius = float(np.sqrt(np.mean(samples**2))) * 10 ** (-30 / 20)
    for windows in perturbed:
        assert torch.equal(windows[0, 4_000:], windows[1, :4_000])
        assert float((windows - clean).abs().max()) == pytest.approx(radius, rel=1e-3)


def test_many_windows_are_taken_some_at_a_time_to_the_same_end(box: WhiteBox, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, where = recorded(16_000), places(0, 2_000, 4_000, 6_000, 8_000)
    whole = box.pushed(samples, where, [40.0], Attack("fgsm"), up=False, draw=0)
    monkeypatch.setattr(whitebox, "WINDOWS_AT_ONCE", 2)
    parts = box.pushed(samples, where, [40.0], Attack("fgsm"), up=False, draw=0)
    assert parts.clean == pytest.approx(whole.clean, abs=1e-5)
    assert parts.attacked[0] == pytest.approx(whole.attacked[0], abs=2e-3)


def test_silence_has_nothing_to_push(box: WhiteBox) -> None:
    pushed = box.pushed(np.zeros(8_000, np.float32), places(0), [20.0], Attack("pgd", 2), up=True, draw=0)
    assert pushed.attacked == (pushed.clean,)


def test_a_short_recording_is_attacked_in_all_its_repetitions(box: WhiteBox) -> None:
    samples = recorded(3_000)
    pushed = box.pushed(samples, np.arange(8_000)[None] % 3_000, [40.0], Attack("fgsm"), up=True, draw=0)
    assert pushed.attacked[0] > pushed.clean


def test_what_is_no_checkpoint_and_what_gives_no_number_is_refused(
    tmp_path: Path, small_model: Aasist, box: WhiteBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="not a safetensors file"):
        WhiteBox(tmp_path / "a.safetensors")
    monkeypatch.setattr(box._form, "forward", lambda windows: torch.full((len(windows), 2), torch.inf) + windows.sum())
    with pytest.raises(ModelError, match="not a finite number"):
        box.pushed(recorded(8_000), places(0), [40.0], Attack(), up=True, draw=0)
