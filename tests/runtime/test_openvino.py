"""The session on OpenVINO: the same contract as every other, a precision of its own choosing never."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.model.aasist import Aasist
from aasist.runtime.runtimes import installed

from .test_onnx import graph

if "openvino" not in installed():
    pytest.skip("openvino is not installed (extra: openvino)", allow_module_level=True)

from aasist.runtime import openvino
from aasist.runtime.openvino import OTHER_LENGTHS, OpenVinoSession

WINDOW = 400


def loudness(content: bytes, **options: object) -> OpenVinoSession:
    return OpenVinoSession(content, **{"precision": "fp32", "threads": 1, "window_samples": WINDOW, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [WINDOW, WINDOW + 1, 17])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_session_runs_any_batch_length_and_layout_of_memory(batch: int, samples: int, loudness_onnx: Path) -> None:
    session = loudness(loudness_onnx.read_bytes())
    windows = np.random.default_rng(0).standard_normal((batch, samples))
    expected = np.stack([np.zeros(batch), 10 * np.abs(windows).mean(axis=1)], axis=1)
    for given in (windows.astype(np.float32), np.asfortranarray(windows, dtype=np.float32), windows):
        logits = session.run(given)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert session.run(np.zeros((0, WINDOW), np.float32)).shape == (0, 2)


def test_of_whatever_lengths_come_the_last_few_stay_compiled_and_requests_do_not_grow(
    loudness_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []
    real = OpenVinoSession._compiled
    monkeypatch.setattr(
        OpenVinoSession, "_compiled", lambda self, samples: compiled.append(samples) or real(self, samples)
    )
    session = loudness(loudness_onnx.read_bytes(), runs=2)
    lengths = [WINDOW, *range(500, 500 + OTHER_LENGTHS), 500, WINDOW]
    for samples in lengths:
        for batch in (1, 2, 5):
            session.run(np.ones((batch, samples), np.float32))
    assert compiled == lengths[:-2]
    session.run(np.ones((1, 30), np.float32))
    assert len(session._others) == OTHER_LENGTHS
    assert 500 in session._others and 501 not in session._others, "the one that came last before is gone"
    assert session._windows._free.qsize() == 2


@pytest.mark.parametrize("samples", [13_000, 8_000, 8_001])
def test_nodes_are_counted_in_float64_here_too(samples: int, small_onnx: Path, small_model: Aasist) -> None:
    """13,000 samples give 90 temporal nodes, of which float32 would keep 63 and not 62."""
    session = loudness(small_onnx.read_bytes(), window_samples=8_000)
    waveform = (0.1 * np.random.default_rng(0).standard_normal((2, samples))).astype(np.float32)
    with torch.inference_mode():
        expected = small_model(torch.from_numpy(waveform)).numpy()
    np.testing.assert_allclose(session.run(waveform), expected, rtol=0, atol=1e-4)


def test_calls_from_many_threads_each_get_their_own_logits(loudness_onnx: Path) -> None:
    session = loudness(loudness_onnx.read_bytes(), runs=2)

    def ask(number: int) -> float:
        samples = WINDOW if number % 3 else WINDOW + 1 + number % 2
        return float(session.run(np.full((1, samples), number, np.float32))[0, 1])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == pytest.approx([10.0 * number for number in range(200)], rel=1e-5)


def test_precision_and_threads_are_those_that_were_asked_for(loudness_onnx: Path) -> None:
    session = loudness(loudness_onnx.read_bytes(), threads=1, runs=1)
    compiled = session._windows._compiled
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.imported().Type.f32
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("NUM_STREAMS") == 1
    assert session.precision == "fp32"


def test_a_precision_that_openvino_does_not_keep_to_is_an_error(
    loudness_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the processor: asked for bf16, it says that it took float32."""

    class Processor:
        def __init__(self) -> None:
            self.real = openvino.core()

        def read_model(self, *content: bytes) -> object:
            return self.real.read_model(*content)

        def compile_model(self, *given: object) -> object:
            return SimpleNamespace(get_property=lambda name: openvino.imported().Type.f32)

    processor = Processor()
    monkeypatch.setattr(openvino, "core", lambda: processor)
    with pytest.raises(ModelError, match="run it in fp32") as caught:
        loudness(loudness_onnx.read_bytes(), precision="bf16")
    assert caught.value.code == "precision"


@pytest.mark.parametrize(
    "content", [b"", b"no onnx", b"\x08\x0a", b"\x00" * 100, b"<?xml version='1.0'?><net/>"], ids=repr
)
def test_bytes_that_are_no_graph_are_an_error_of_one_line(content: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        loudness(content)
    assert caught.value.code == "model"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("input_name", "output_name"), [("input", "logits"), ("waveform", "output")])
def test_a_graph_with_other_names_is_refused(input_name: str, output_name: str) -> None:
    with pytest.raises(ModelError, match="expected input 'waveform' and output 'logits'"):
        loudness(graph(input_name, output_name))


def test_a_graph_that_gives_other_shapes_is_an_error() -> None:
    session = loudness(graph("waveform", "logits"), window_samples=2)
    assert session.run(np.ones((4, 2), np.float32)).shape == (4, 2)
    with pytest.raises(ModelError, match=r"expected logits of shape \(4, 2\), got \(4, 9\)"):
        session.run(np.ones((4, 9), np.float32))
    with pytest.raises(ModelError, match="cannot run the model"):
        session.run(np.ones((4, 9, 2), np.float32))


def test_a_session_does_not_let_openvino_tell_its_makers_of_it(loudness_onnx: Path) -> None:
    code = (
        "import sys\n"
        "from aasist.runtime.openvino import core\n"
        "core()\n"
        "assert 'openvino' in sys.modules\n"
        "told = [name for name in sys.modules if name.partition('.')[0] == 'openvino_telemetry']\n"
        "assert not told, told\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, capture_output=True)
