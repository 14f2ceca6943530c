"""The race in this process, with a small reference; and a contender alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aasist.bench import alone, machine, race
from aasist.bench.contender import Contender
from aasist.bench.opening import noise, opened
from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.reference import Reference, seeded
from aasist.session import Float32

pytestmark = pytest.mark.usefixtures("same_threads")


class Constant:
    """Scores every window 0 and notes the threads it was told."""

    precision = "fp32"

    def __init__(self) -> None:
        self.threads: list[int] = []

    def use_threads(self, threads: int) -> None:
        self.threads.append(threads)

    def run(self, windows: Float32) -> Float32:
        return np.zeros((len(windows), 2), np.float32)


def loud(path: Path, **changes: Any) -> Contender:
    values = {"runtime": "onnxruntime", "precision": "fp32", "threads": 1, "batch": 1, **changes}
    return Contender("loudness", str(path), window_samples=8_000, **values)


def test_all_take_their_turn_and_the_reference_is_told_its_threads(
    loudness_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = Constant()
    monkeypatch.setattr(race, "_reference", lambda weights: constant)
    said: list[dict[str, Any]] = []
    entrants = [loud(loudness_onnx), loud(loudness_onnx, batch=3), loud(loudness_onnx.with_name("nowhere.onnx"))]
    told = race.run(
        said.append,
        contenders=[entrant.to_json() for entrant in entrants],
        reference={"weights": None, "threads": [1, 2]},
        rounds=4,
        seconds=60.0,
    )
    assert [len(one["seconds"]) for one in told["reference"]] == [4, 4]
    assert [len(one["seconds"]) for one in told["contenders"]] == [4, 4, 0]
    assert "cannot be read" in told["contenders"][2]["failure"]
    assert constant.threads == [1, 2] * 7
    assert [message["round"] for message in said if "round" in message] == [1, 2, 3, 4, 5, 6, 7]
    assert {message["at"] for message in said if "at" in message} == {0, 1, 2, 3, 4}


def test_a_contender_alone_says_what_it_took(loudness_onnx: Path) -> None:
    facts = alone.measure(lambda said: None, contender=loud(loudness_onnx, batch=2).to_json())
    assert set(facts) == {"load_seconds", "peak_memory_mb", "run_seconds"}
    assert all(value >= 0 for value in facts.values())


def test_a_checkpoint_is_run_by_torch(small_model: Aasist, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    entrant = Contender("small", str(path), "torch", "fp32", 1, 2, window_samples=8_000)
    assert opened(entrant).run(noise(2, 8_000)).shape == (2, 2)


def test_noise_is_the_same_every_time_and_of_the_windows_length() -> None:
    assert noise(3).shape == (3, 64_600)
    assert (noise(1, 500) == noise(1, 500)).all()
    assert noise(1).dtype == np.float32


def test_the_reference_is_aasist_with_its_published_weights_or_seeded_ones(reference: Path, tmp_path: Path) -> None:
    windows = noise(1)
    published = np.load(reference / "parity.npz")
    del published  # the parity of the model itself is tests/model/test_parity.py's
    expected = checkpoint.load(reference / "AASIST.pth")
    found = Reference(reference / "AASIST.pth")
    import torch

    with torch.inference_mode():
        np.testing.assert_array_equal(found.run(windows), expected(torch.from_numpy(windows)).numpy())
    with pytest.raises(ModelError, match="the published AASIST was wanted, got aasist-l"):
        Reference(reference / "AASIST-L.pth")
    one, other = seeded(expected.architecture), Reference().model
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not one.training
    assert all(weight.is_contiguous() for weight in other.parameters())  # channels first


def test_a_footer_says_when_by_what_and_on_which_machine(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Fast 9000\n")
    assert machine.processor(cpuinfo) == "Fast 9000"
    assert machine.processor(tmp_path / "nowhere")
    line = machine.measured_by("aasist bench", ["numpy", "no-such-package"])
    assert line.startswith("Measured 20")
    assert "`aasist bench`" in line
    assert f"numpy {np.__version__}" in line
    assert "no-such-package" not in line
