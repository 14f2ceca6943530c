"""Which contenders come of models, runtimes, precisions, threads and batches, and why others do not."""

from __future__ import annotations

from dataclasses import replace

from aasist.bench.entries import Entry, Field, Ways, entered

EFFICIENT = Entry("efficient", "efficient.onnx", "efficient.safetensors")
INT8 = Entry("mine", "mine.onnx", precision="int8")
ALL = Ways({"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16"), "torch": ("fp32",)}, usable_threads=4)


def said(field: Field) -> list[tuple[str, str, str]]:
    return [(c.model, c.runtime, c.precision) for c in field.contenders]


def test_a_model_runs_in_every_runtime_and_precision_there_is() -> None:
    field = entered([EFFICIENT], ALL)
    assert [kind[1:] for kind in said(field)] == [
        ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("torch", "fp32"),
    ]  # fmt: skip
    assert [c.path for c in field.contenders] == ["efficient.onnx"] * 3 + ["efficient.safetensors"]
    assert not field.refused


def test_a_file_in_less_runs_as_it_is_and_without_a_checkpoint_not_in_torch() -> None:
    field = entered([INT8], ALL)
    assert said(field) == [("mine", "onnxruntime", "int8"), ("mine", "openvino", "int8")]
    assert not field.refused


def test_threads_and_batches_multiply() -> None:
    field = entered([EFFICIENT], replace(ALL, threads=(1, 4), batches=(1, 8)))
    assert len(field.contenders) == len(set(field.contenders)) == 4 * 2 * 2


def test_what_was_asked_for_and_cannot_be_is_refused_with_its_reason() -> None:
    field = entered([EFFICIENT, INT8], replace(ALL, precisions=("bf16",), insisted=True))
    assert said(field) == [("efficient", "openvino", "bf16")]
    reasons = {(c.model, c.runtime): reason for c, reason in field.refused.items()}
    assert reasons[("efficient", "onnxruntime")].startswith("onnxruntime cannot run in bf16 here: ")
    assert reasons[("efficient", "torch")] == "PyTorch runs checkpoints in fp32"
    assert reasons[("mine", "openvino")] == "its file is in int8"
    assert "no checkpoint" in reasons[("mine", "torch")]


def test_of_runtimes_that_nobody_named_one_with_the_precision_is_enough() -> None:
    field = entered([EFFICIENT], replace(ALL, precisions=("bf16",)))
    assert said(field) == [("efficient", "openvino", "bf16")]
    assert not field.refused
    field = entered([EFFICIENT, INT8], replace(ALL, precisions=("bf16",)))
    assert {(c.model, c.runtime) for c in field.refused} == {("mine", runtime) for runtime in ALL.runtimes}


def test_a_runtime_that_was_named_and_cannot_run_the_model_is_spoken_of() -> None:
    field = entered([INT8], replace(ALL, runtimes={"torch": ("fp32",)}, insisted=True))
    assert not field.contenders
    assert ["no checkpoint" in reason for reason in field.refused.values()] == [True]


def test_openvinos_format_runs_in_openvino_alone() -> None:
    field = entered([Entry("mine", "mine.xml")], ALL)
    assert said(field) == [("mine", "openvino", "fp32"), ("mine", "openvino", "bf16")]


def test_more_threads_than_the_process_may_use_are_refused() -> None:
    field = entered([EFFICIENT], replace(ALL, threads=(4, 5)))
    assert {c.threads for c in field.contenders} == {4}
    assert {c.threads for c in field.refused} == {5}
    assert all("may use 4" in reason for reason in field.refused.values())
