"""A checkpoint to ONNX: any batch, any length, one file that says what it is."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from aasist.errors import ModelError, one_line
from aasist.export.comparison import CHECKED_LENGTHS, Runs, compare, proof
from aasist.export.folding import folded
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import modelfile
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.models import shipped, shipped_checkpoint, shipped_folder, unknown
from aasist.runtime.onnx import OnnxSession
from aasist.runtime.parity import Case, Parity, graph_sha256, with_parity
from aasist.session import Float32


def export(model: Aasist, path: Path | str, notes: ModelNotes) -> float:
    """Write ``model`` (eval mode) as ONNX: ``waveform`` (B, T) float32 -> ``logits`` (B, 2), with its proof of parity.

    Returns the largest difference from torch over all that was compared; raises ``ModelError`` when it is above
    ``TOLERANCE``, and then writes nothing.
    """
    content, parity = to_file(model)
    modelfile.write(path, content, notes)
    return parity.largest_difference


def to_file(model: Aasist) -> tuple[bytes, Parity]:
    """The bytes of ``model`` as ONNX, with its proof of parity, which is given too; notes are still to be added."""
    encoder = model.speech_encoder
    if encoder is not None and encoder.weight_bytes > modelfile.MOST_BYTES - (1 << 26):
        raise ModelError(
            "export",
            f"the speech encoder {encoder.facts} has {encoder.weight_bytes >> 20:,} MiB of weights, and a model file of ours "
            f"at most {modelfile.MOST_BYTES >> 20:,}: run the checkpoint itself (extra: ssl), or take a smaller encoder",
        )
    content = to_onnx(model).SerializeToString()
    parity = proof(
        differences(model, content),
        reference="torch",
        runtime="onnxruntime",
        graph_sha256=graph_sha256(content),
        packages=("torch", "onnx", "onnxscript", "onnxruntime"),
    )
    return with_parity(content, parity), parity


def weights_of(model: str) -> tuple[Aasist, ModelNotes]:
    """The model of a checkpoint, or of a shipped name, and its notes: of a name those of its file, of a checkpoint new ones.

    Raises ``ModelError`` where there is none.
    """
    if model in shipped():
        notes = modelfile.read(shipped_folder() / shipped()[model]["file"])[1]
        return checkpoint.load(shipped_checkpoint(model)), notes
    path = Path(model)
    if not path.is_file():
        raise unknown(model, what="a checkpoint")
    weights = checkpoint.load(path)
    return weights, ModelNotes.of(weights.architecture)


def to_onnx(model: Aasist) -> onnx.ModelProto:
    """The graph, with dynamic batch and length, no local paths, and node counts of pooling taken in float64."""
    frozen = folded(model)
    whole = frozen if frozen.front is None else _Whole(frozen)
    waveform = torch.zeros(2, model.architecture.window_samples)
    shapes = {
        "waveform": {
            0: torch.export.Dim("batch", min=1, max=1 << 16),
            1: torch.export.Dim("samples", min=model.architecture.shortest_samples, max=_longest(model)),
        }
    }
    try:
        with _quiet():
            program = torch.onnx.export(
                whole,
                (waveform,),
                dynamo=True,
                input_names=["waveform"],
                output_names=["logits"],
                dynamic_shapes=shapes,
                opset_version=modelfile.OPSET,
                verbose=False,
            )
    except Exception as error:  # whatever the exporter meets in code that is not ours
        if model.speech_encoder is None:
            raise
        reason = one_line(error)
        raise ModelError(
            "export",
            f"PyTorch's exporter cannot write the speech encoder {model.speech_encoder.facts}: {reason}; run the checkpoint "
            "itself (extra: ssl)",
        ) from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    _count_nodes_in_float64(proto.graph, model)
    _strip(proto)
    onnx.checker.check_model(proto)
    return proto


class _Whole(nn.Module):
    """A model together with the speech encoder that it holds, whose weights the exporter has to know of."""

    def __init__(self, model: Aasist) -> None:
        super().__init__()
        self.model, self.speech_encoder = model, model.speech_encoder

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(waveform)
        return logits


def _longest(model: Aasist) -> int:
    """Samples that the model takes at the most."""
    return 1 << 26 if model.speech_encoder is None else model.speech_encoder.facts.longest_samples


def largest_difference(model: Aasist, content: bytes, lengths: Sequence[int] = CHECKED_LENGTHS) -> float:
    """Largest difference of a logit between ONNX bytes and torch; NaN where either gives NaN."""
    return float(np.max([case.difference for case in differences(model, content, lengths)]))


def differences(model: Aasist, content: bytes, lengths: Sequence[int] = CHECKED_LENGTHS) -> tuple[Case, ...]:
    """How far ONNX bytes are from torch, on what `compare` makes."""
    session = OnnxSession(content, precision="fp32", threads=torch.get_num_threads())
    return compared_with_torch(model, session, lengths)


def compared_with_torch(model: Aasist, session: Runs, lengths: Sequence[int] = CHECKED_LENGTHS) -> tuple[Case, ...]:
    """How far a session is from torch, at the lengths that the architecture takes."""
    architecture = model.architecture
    return compare(
        by_torch(model),
        session,
        window_samples=architecture.window_samples,
        shortest=architecture.shortest_samples,
        longest=_longest(model),
        lengths=lengths,
    )


def by_torch(model: Aasist) -> Callable[[Float32], Float32]:
    """Waveform (B, T) -> logits (B, 2), by torch."""

    def run(waveform: Float32) -> Float32:
        with torch.inference_mode():
            logits: Float32 = model(torch.from_numpy(waveform)).numpy()
        return logits

    return run


def _count_nodes_in_float64(graph: onnx.GraphProto, model: Aasist) -> None:
    """Graph pooling keeps ``int(nodes * ratio)``; the exporter multiplies in float32, where 90 * 0.7 is 63, not 62."""
    architecture = model.architecture
    ratios = (architecture.spectral_ratio, architecture.temporal_ratio, architecture.heterogeneous_ratio)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    to_int = [n for n in graph.node if n.op_type == "Cast" and n.attribute[0].i == onnx.TensorProto.INT64]
    producers = {output: node for node in graph.node for output in node.output}
    for node in to_int:
        product = producers.get(node.input[0])
        if product is None or product.op_type != "Mul":
            continue
        cast, constant = product.input
        known = constant in constants and cast in producers and producers[cast].op_type == "Cast"
        if not known and model.speech_encoder is not None:
            continue  # something of the encoder's; a count of nodes would show in the comparison with torch
        if not known:
            raise ModelError("export", "the exporter wrote the node count of graph pooling in a form unknown to us")
        value = float(numpy_helper.to_array(constants[constant]))
        ratio = min(ratios, key=lambda one: abs(one - value))
        producers[cast].attribute[0].i = onnx.TensorProto.DOUBLE
        name = f"{constant}_float64"
        if name not in constants:
            constants[name] = numpy_helper.from_array(np.array(ratio, dtype=np.float64), name)
            graph.initializer.append(constants[name])
        product.input[1] = name
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
    # Shapes inferred before the change would claim float32.
    del graph.value_info[:]


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the exporter's notes: stack traces with local paths, and its own metadata."""
    proto.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    proto.graph.doc_string = ""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """Without the exporter's progress lines, and its warnings about packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
