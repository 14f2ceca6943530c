"""The walk over an ONNX file's bytes finds weights that lie elsewhere."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aasist import wire
from aasist.errors import ModelError
from aasist.runtime import modelfile
from aasist.runtime.modelfile import ModelNotes


def model_with(*, outside: bool, nested: bool) -> bytes:
    """A graph with one weight, at the top or within a branch of If, kept in the file or in another."""
    weight = numpy_helper.from_array(np.ones(4, np.float32), "weight")
    if outside:
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", "elsewhere.bin"
    value = helper.make_tensor_value_info("out", TensorProto.FLOAT, [4])
    inner = helper.make_graph([helper.make_node("Identity", ["weight"], ["out"])], "inner", [], [value], [weight])
    if not nested:
        return helper.make_model(inner).SerializeToString()
    condition = helper.make_tensor_value_info("yes", TensorProto.BOOL, [])
    node = helper.make_node("If", ["yes"], ["out"], then_branch=inner, else_branch=inner)
    return helper.make_model(helper.make_graph([node], "outer", [condition], [value])).SerializeToString()


@pytest.mark.parametrize("nested", [False, True])
def test_weights_in_another_file_are_found_wherever_they_hang(nested: bool) -> None:
    assert wire.has_external_data(model_with(outside=True, nested=nested))
    assert not wire.has_external_data(model_with(outside=False, nested=nested))


def test_a_model_whose_weights_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    modelfile.write(path, model_with(outside=True, nested=False), ModelNotes(name="outside"))
    with pytest.raises(ModelError, match="another file"):
        modelfile.read(path)


def test_the_fields_of_a_file_joined_are_the_file() -> None:
    content = model_with(outside=False, nested=True)
    assert b"".join(field.raw for field in wire.fields(content)) == content
    graph = next(field.payload for field in wire.fields(content) if field.number == 7)
    assert onnx.GraphProto.FromString(graph).name == "outer"


def varint(value: int) -> bytes:
    """Base 128, the lowest seven bits first."""
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


GRAPH_TAG = 7 << 3 | wire.BYTES


def test_a_field_number_of_more_than_32_bits_is_refused_because_others_would_cut_it() -> None:
    """protobuf keeps the low 32 bits of a tag: to it the field is the graph, to us it would have been none."""
    largest = varint(2**32 - 1 & ~7 | wire.BYTES) + b"\0"
    (field,) = wire.fields(largest)
    assert (field.number, field.payload) == (2**29 - 1, b"")
    for tag in (2**32, 2**32 | GRAPH_TAG, 2**40 | GRAPH_TAG, 2**63 | GRAPH_TAG):
        with pytest.raises(ModelError, match="number that is too large"):
            list(wire.fields(varint(tag) + b"\0"))


def test_a_graph_with_outside_weights_cannot_hide_behind_such_a_number() -> None:
    content = model_with(outside=True, nested=False)
    graph = next(field for field in wire.fields(content) if field.number == 7)
    assert graph.payload is not None
    hidden = content.replace(graph.raw, varint(2**32 | GRAPH_TAG) + graph.raw[1:])
    assert len(hidden) > len(content)
    with pytest.raises(ModelError, match="damaged"):
        wire.has_external_data(hidden)
    with pytest.raises(ModelError, match="damaged"):
        modelfile.with_notes(hidden, ModelNotes(name="hidden"))


@pytest.mark.parametrize(("number", "value"), [(1, 0), (3, 127), (15, 128), (16, 300), (20, 2), (2047, 1 << 40)])
def test_what_is_written_is_read_back(number: int, value: int) -> None:
    (field,) = wire.fields(wire.whole_number(number, value))
    tag = varint(number << 3 | wire.VARINT)
    assert (field.number, field.payload, field.raw) == (number, None, tag + varint(value))
    (field,) = wire.fields(wire.message(number, bytes(value % 1000)))
    assert (field.number, field.payload) == (number, bytes(value % 1000))
