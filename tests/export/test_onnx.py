"""Exported files: the logits of torch at every length and batch, and nothing of this machine in their bytes."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import sysconfig
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from aasist.errors import ModelError
from aasist.export import onnx as exporting
from aasist.export.comparison import CHECKED_LENGTHS, TOLERANCE
from aasist.export.onnx import export, largest_difference
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import AASIST_L, Architecture
from aasist.runtime import modelfile
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.onnx import OnnxSession
from aasist.runtime.parity import PARITY_KEY, parity_of
from aasist.session import WINDOW_SAMPLES

LENGTHS = (173, 174, 1_000, 4_001, 7_999, 8_000, 13_000, 24_600, 26_000, 50_003)
"""Samples: the shortest the small model takes, its window, and 90, 170 and 180 temporal nodes, among others."""

NINETY_NODES = 13_000


def noise(batch: int, samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal((batch, samples))).astype(np.float32)


def of_torch(model: Aasist, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return model(torch.from_numpy(waveform)).numpy()


@pytest.fixture(scope="module")
def session(small_onnx: Path) -> OnnxSession:
    """The small model's file, opened."""
    return OnnxSession(small_onnx.read_bytes(), precision="fp32", threads=1)


@pytest.mark.parametrize("length", LENGTHS)
def test_the_file_gives_the_logits_of_torch_at_each_of_ten_lengths(
    length: int, session: OnnxSession, small_model: Aasist
) -> None:
    assert small_model.architecture.shortest_samples == LENGTHS[0]
    waveform = noise(2, length)
    np.testing.assert_allclose(session.run(waveform), of_torch(small_model, waveform), rtol=0, atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 17])
def test_the_file_gives_the_logits_of_torch_for_any_batch(
    batch: int, session: OnnxSession, small_model: Aasist
) -> None:
    waveform = noise(batch, 8_000, seed=batch)
    logits = session.run(waveform)
    np.testing.assert_allclose(logits, of_torch(small_model, waveform), rtol=0, atol=1e-4)
    alone = np.concatenate([session.run(row[None]) for row in waveform])
    np.testing.assert_allclose(alone, logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 1e-30, 1e-7, 1e-5, 1e-3, 1.0, 30.0])
def test_the_file_gives_the_logits_of_torch_at_any_level_and_for_silence(
    level: float, session: OnnxSession, small_model: Aasist
) -> None:
    waveform = np.float32(10 * level) * noise(1, 8_000)
    logits = session.run(waveform)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits, of_torch(small_model, waveform), rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [NINETY_NODES, 24_600, 26_000])
def test_pooling_in_the_file_counts_in_float64_where_float32_would_keep_one_node_more(
    samples: int, small_onnx: Path, session: OnnxSession, small_model: Aasist
) -> None:
    with torch.inference_mode():
        nodes = small_model.features(torch.zeros(1, samples)).shape[3]
    assert nodes in (90, 170, 180)
    proto = onnx.load(str(small_onnx))
    in_float64 = [tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.DOUBLE]
    assert {float(numpy_helper.to_array(tensor)) for tensor in in_float64} == {0.5, 0.7}
    for tensor in in_float64:
        value = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    casts = [node for node in proto.graph.node if node.op_type == "Cast" and node.attribute[0].i == TensorProto.DOUBLE]
    assert casts
    for node in casts:
        node.attribute[0].i = TensorProto.FLOAT
    in_float32 = OnnxSession(proto.SerializeToString(), precision="fp32", threads=1)

    waveform = noise(2, samples)
    expected = of_torch(small_model, waveform)
    np.testing.assert_allclose(session.run(waveform), expected, rtol=0, atol=1e-4)
    # What the exporter writes by itself differs there, and only there.
    assert np.abs(in_float32.run(waveform) - expected).max() > 1e-3
    np.testing.assert_array_equal(in_float32.run(waveform[:, :8_000]), session.run(waveform[:, :8_000]))


def test_input_and_output_have_our_names_types_and_dynamic_dimensions(small_onnx: Path) -> None:
    graph = onnx.load(str(small_onnx)).graph
    (waveform,), (logits,) = graph.input, graph.output
    assert (waveform.name, logits.name) == ("waveform", "logits")
    assert waveform.type.tensor_type.elem_type == logits.type.tensor_type.elem_type == TensorProto.FLOAT
    batch, samples = waveform.type.tensor_type.shape.dim
    assert (batch.dim_param, samples.dim_param) == ("batch", "samples")
    rows, columns = logits.type.tensor_type.shape.dim
    assert (rows.dim_param, columns.dim_value) == ("batch", 2)


def test_the_file_is_one_valid_graph_of_standard_operators_without_outside_data(small_onnx: Path) -> None:
    proto = onnx.load(str(small_onnx), load_external_data=False)
    onnx.checker.check_model(proto)
    assert {node.domain for node in proto.graph.node} <= {"", "ai.onnx"}
    assert not proto.functions
    assert not [tensor.name for tensor in proto.graph.initializer if tensor.external_data]


def strings_that_would_tell() -> list[bytes]:
    here = Path(__file__)
    paths = {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["stdlib"], str(Path.cwd()), str(Path.home())}
    paths |= {str(parent) for parent in here.parents if len(parent.parts) > 1}
    words = {"site-packages", ".py", 'File "', "forward(", "/tmp/", "pkg.torch", "torch.onnx", "stack_trace"}
    user = {getpass.getuser(), platform.node()} if len(platform.node()) > 6 else set()
    return [text.encode() for text in paths | words | {word for word in user if len(word) > 6}]


def test_no_path_and_no_source_file_of_this_machine_is_in_the_bytes(small_onnx: Path) -> None:
    content = small_onnx.read_bytes()
    assert not [text for text in strings_that_would_tell() if text in content]


def test_the_exporter_does_write_such_paths_when_they_are_not_stripped(monkeypatch: pytest.MonkeyPatch) -> None:
    proto = onnx.ModelProto(ir_version=10, doc_string="made in /tmp/ by x.py")
    proto.metadata_props.add(key="pkg.torch.export", value='File "model.py"')
    node = proto.graph.node.add(op_type="Abs", doc_string="x.py")
    node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value='File "aasist.py", line 3, in forward(')
    value = proto.graph.input.add(name="waveform", doc_string="x.py")
    value.metadata_props.add(key="pkg.torch.onnx.original_node_name", value="x.py")
    proto.graph.metadata_props.add(key="source", value="x.py")
    assert [text for text in strings_that_would_tell() if text in proto.SerializeToString()]
    exporting._strip(proto)
    assert not [text for text in strings_that_would_tell() if text in proto.SerializeToString()]


def test_notes_and_a_digest_that_holds_are_in_the_file(small_onnx: Path, small_notes: ModelNotes) -> None:
    content, notes = modelfile.read(small_onnx)
    assert notes == small_notes
    assert Architecture.from_json(notes.variant).name == "small"
    entries = {entry.key: entry.value for entry in onnx.load(str(small_onnx)).metadata_props}
    assert set(entries) == {modelfile.NOTES_KEY, modelfile.DIGEST_KEY, PARITY_KEY}
    assert entries[modelfile.DIGEST_KEY] == modelfile.digest(content)
    told = json.loads(entries[modelfile.NOTES_KEY])
    for key in ("name", "version", "variant", "sample_rate", "window_samples", "calibration", "threshold", "pooling",
                "training", "licence"):  # fmt: skip
        assert told[key] not in (None, ""), key


def test_the_proof_of_parity_is_in_the_file_with_lengths_batches_and_versions(small_onnx: Path) -> None:
    parity = parity_of(small_onnx.read_bytes())
    assert parity is not None
    assert parity.largest_difference <= parity.tolerance == TOLERANCE == 1e-4
    assert {case.samples for case in parity.cases} >= set(CHECKED_LENGTHS)
    assert {case.batch for case in parity.cases} == {1, 2, 5}
    assert {case.level for case in parity.cases} == {0.1, 1e-6, 0.0}
    assert (parity.reference, parity.runtime, parity.opset) == ("torch", "onnxruntime", 20)
    assert parity.versions == {name: metadata.version(name) for name in ("aasist", "torch", "onnx", "onnxscript", "onnxruntime")}  # fmt: skip


def test_the_graph_is_simplified(small_onnx: Path, small_model: Aasist) -> None:
    """One norm, that before the first activation; one node to each SELU; nothing that nobody reads."""
    graph = onnx.load(str(small_onnx)).graph
    produced = {output: node for node in graph.node for output in node.output}
    (norm,) = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert norm.input[1] == "encoder.norm.weight"
    kinds = Counter(node.op_type for node in graph.node)
    blocks = len(small_model.architecture.channels)
    # One opens the encoder, one is in each block, one behind each graph layer.
    assert kinds["Selu"] == 1 + blocks + 2 + 4
    assert not {"Elu", "Identity", "Constant", "Dropout"} & set(kinds)
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert not [node.name for node in graph.node if not read & set(node.output)]
    assert not [tensor.name for tensor in graph.initializer if tensor.name not in read]
    assert not [tensor.name for tensor in graph.initializer if "unused_norm" in tensor.name]
    # Those around the norms of the graph layers went with them.
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        before = produced.get(node.input[0]) if node.op_type == "Transpose" else None
        assert before is None or before.op_type != "Transpose" or readers[node.input[0]] > 1


def test_a_flipped_byte_anywhere_is_never_accepted(small_onnx: Path) -> None:
    content = small_onnx.read_bytes()
    random = np.random.default_rng(0)
    tail = range(len(content) - 200, len(content))
    positions = [*range(64), *random.integers(0, len(content), 200).tolist(), *tail]
    for position in positions:
        altered = bytearray(content)
        altered[position] ^= 1 << int(random.integers(8))
        with pytest.raises(ModelError) as caught:
            modelfile.notes_of(bytes(altered))
        assert caught.value.code in {"altered_model", "foreign_model", "model"}, position


def test_export_reports_the_largest_difference_and_the_hash_is_that_of_the_file(
    small_onnx: Path, small_model: Aasist, small_notes: ModelNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "to_onnx", lambda model: onnx.load(str(small_onnx)))
    again = tmp_path / "again.onnx"
    assert 0 <= export(small_model, again, small_notes) <= 1e-4
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(small_onnx.read_bytes()).digest()


def test_a_graph_that_differs_from_torch_is_refused_and_nothing_is_written(
    small_onnx: Path, small_model: Aasist, small_notes: ModelNotes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = onnx.load(str(small_onnx))
    (bias,) = [tensor for tensor in proto.graph.initializer if tensor.name == "out.bias"]
    for wrong in (numpy_helper.to_array(bias) + np.float32(3e-4), np.full(2, np.nan, np.float32)):
        bias.CopyFrom(numpy_helper.from_array(wrong.astype(np.float32), "out.bias"))
        monkeypatch.setattr(exporting, "to_onnx", lambda model: proto)
        with pytest.raises(ModelError, match=r"differs from torch by .* nothing was written") as caught:
            export(small_model, tmp_path / "wrong.onnx", small_notes)
        assert caught.value.code == "export"
    assert list(tmp_path.iterdir()) == []


class SessionOfTorch:
    """Stands in for the exported file, which takes a quarter of a minute to make: the model itself, run by torch."""

    def __init__(self, model: Aasist) -> None:
        self.model = model
        self.lengths: list[int] = []

    def run(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        self.lengths.append(waveform.shape[1])
        return of_torch(self.model, waveform)


def test_an_architecture_that_takes_no_window_of_a_second_is_checked_at_the_lengths_it_takes(
    seeded: Callable[[Architecture], Aasist], small_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(
        small_model.architecture, name="slow", front_pool=(3, 64), time_pools=(9, 9), window_samples=WINDOW_SAMPLES
    )
    model = seeded(slow)
    assert slow.shortest_samples == 20_765 > min(CHECKED_LENGTHS)
    with pytest.raises(RuntimeError):
        of_torch(model, noise(1, min(CHECKED_LENGTHS)))
    session = SessionOfTorch(model)
    monkeypatch.setattr(exporting, "OnnxSession", lambda content, **options: session)
    assert largest_difference(model, b"") == 0.0
    assert min(session.lengths) == 20_765
    assert set(session.lengths) > set(CHECKED_LENGTHS[1:])


def test_context_blocks_squeeze_excitation_power_and_statistics_export_with_any_batch_and_length(
    seeded: Callable[[Architecture], Aasist], small_model: Aasist, tmp_path: Path
) -> None:
    """A conformer has all operations of a transformer."""
    everything = replace(
        small_model.architecture,
        name="everything",
        compression="power",
        centring=0.75,
        squeeze=2,
        context_blocks=2,
        context_heads=2,
        context_kernel=5,
        statistics=True,
    )
    model = seeded(everything)
    for name, weight in model.context.named_parameters():
        if name.endswith(("scale", "distance_bias")):
            weight.data.normal_(0.5, 0.5, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "everything.onnx"
    assert export(model, path, ModelNotes(name="everything", variant=everything.to_json())) <= 1e-4
    session = OnnxSession(path.read_bytes(), precision="fp32", threads=1)
    for batch, length in [(1, 173), (3, 174), (2, 1_601), (5, 8_000), (1, 13_000), (2, 26_000)]:
        waveform = noise(batch, length, seed=length)
        expected = of_torch(model, waveform)
        np.testing.assert_allclose(session.run(waveform), expected, rtol=0, atol=1e-4)
        if length > 1_000:
            with torch.no_grad():
                without = [weight.detach().clone() for weight in model.context.parameters()]
                for part in model.context:
                    part.scale.zero_()  # type: ignore[union-attr,operator]
                assert np.abs(of_torch(model, waveform) - expected).max() > 1e-3, "logits that ignore the context"
                for weight, kept in zip(model.context.parameters(), without, strict=True):
                    weight.copy_(kept)


def test_prosodic_frames_nodes_and_statistics_export_with_any_batch_and_length(
    seeded: Callable[[Architecture], Aasist], small_model: Aasist, tmp_path: Path
) -> None:
    prosodic = replace(small_model.architecture, name="prosodic", prosody="both")
    model, path = seeded(prosodic), tmp_path / "prosodic.onnx"
    assert model.prosody is not None and model.prosody.nodes is not None
    model.prosody.nodes.norm.weight.data *= 8  # among so many nodes, few would hardly be heard
    assert export(model, path, ModelNotes(name="prosodic", variant=prosodic.to_json())) <= 1e-4
    session = OnnxSession(path.read_bytes(), precision="fp32", threads=1)
    for batch, length in [(1, 480), (3, 640), (2, 1_601), (5, 8_000), (1, 13_000), (2, 26_000), (1, 64_601)]:
        phase = np.cumsum(0.05 * 2 ** np.sin(np.arange(length) / 4_000))
        voice = (0.3 * sum(np.cos(n * phase) / n for n in range(1, 5))).astype(np.float32)
        waveform = noise(batch, length, seed=length) / 3 + voice
        expected = of_torch(model, waveform)
        np.testing.assert_allclose(session.run(waveform), expected, rtol=0, atol=1e-4)
        if length > 1_000:
            torched = torch.from_numpy(waveform)
            with torch.inference_mode():
                frames = model.prosodic(torched)
                assert frames is not None
                without = model.logits(model.features(torched), torch.zeros_like(frames)).numpy()
            assert np.abs(without - expected).max() > 1e-2, "logits that ignore the prosody would agree as well"
            nodes, model.prosody.nodes = model.prosody.nodes, None
            assert np.abs(of_torch(model, waveform) - expected).max() > 1e-3, "logits that ignore the nodes"
            model.prosody.nodes = nodes
    for level in (0.0, 1e-30, 1e-7, 1e-3, 30.0):
        waveform = np.float32(level) * noise(1, 8_000)
        np.testing.assert_allclose(session.run(waveform), of_torch(model, waveform), rtol=0, atol=1e-4)


def test_the_exact_light_model_with_its_published_weights_exports_and_agrees_at_198_000_samples(
    reference: Path, tmp_path: Path
) -> None:
    model = checkpoint.load(reference / "AASIST-L.pth")
    path = tmp_path / "light.onnx"
    # Its own check covers 16,000 to 198,000 samples, alone and in batches of two.
    assert export(model, path, ModelNotes(name="aasist-l", variant=AASIST_L.to_json())) <= 1e-4
    content = path.read_bytes()
    assert largest_difference(model, content, lengths=(2_315, 64_600, 198_000)) <= 1e-4
    assert not [text for text in strings_that_would_tell() if text in content]
    with np.load(reference / "parity.npz") as stored:
        inputs, expected = stored["inputs"], stored["AASIST_L_logits"]
    logits = OnnxSession(content, precision="fp32", threads=1).run(inputs)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
