"""Fixtures that several rooms share: folders outside the project, example recordings, small models."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from aasist.model.aasist import Aasist
from aasist.recipe import Architecture
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.threads import available_threads

ROOT = Path(__file__).parents[1]

# A busy machine is no failure.
settings.register_profile("aasist", deadline=None)
settings.load_profile("aasist")


def pytest_configure() -> None:
    """Workers share the processors: threads that wait for each other on the same core take twice as long."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, available_threads() // workers))


SMALL = Architecture(
    name="small",
    window_samples=8_000,
    level="rms",
    bands=12,
    kernel_samples=33,
    sinc_stride=4,
    front_pool=(3, 4),
    compression="log",
    channels=(6, 8),
    time_pools=(3, 3),
    unused_norms=False,
    graph_dims=(8, 6),
)
"""Every part of AASIST in 3,500 weights; 13,000 samples give it 90 temporal nodes, of which 0.7 is kept."""


def outside(variable: str, name: str) -> Path:
    """A folder that is no part of the project, or a visible skip."""
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"the {name} files are not here: set {variable} to the folder that holds them")
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """Published weights, their outputs and score files."""
    return outside("AASIST_REFERENCE", "reference")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Clips of the demo-page corpus, with their manifest."""
    return outside("AASIST_CORPUS", "corpus")


@pytest.fixture(scope="session")
def recording() -> Path:
    """A human recording of about five seconds that the project ships."""
    return ROOT / "examples" / "human-librivox-en.flac"


@pytest.fixture(scope="session")
def seeded() -> Callable[..., Aasist]:
    """Makes a model with seeded weights, in eval mode, whose batch norms have seen something too.

    Weights are twice what they are before training: with less, two inputs differ by 1e-3 in their logits, and a
    comparison to within 1e-4 would let through what ignores half of the model. But not those that score nodes: twice
    as large they give many nodes a score of 1 in float32, and which of them pooling keeps is chance.
    """

    def make(architecture: Architecture, seed: int = 0) -> Aasist:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Aasist(architecture)
            for name, buffer in model.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(0.0, 0.3)
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0)
            for name, weight in model.named_parameters():
                if ".norm." in name or "unused_norm" in name:
                    weight.data.uniform_(0.5, 1.5)
                elif weight.ndim > 1 and not name.endswith(("position", "master", "score.weight")):
                    weight.data *= 2.0
        return model.eval()

    return make


@pytest.fixture(scope="session")
def small_model(seeded: Callable[..., Aasist]) -> Aasist:
    """A model of the ``SMALL`` architecture; treat it as read-only."""
    return seeded(SMALL)


@pytest.fixture(scope="session")
def loudness_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ours that is made in no time: windows of 0.5 s, llr = 10 x mean magnitude - 0.1, louder = bona fide."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from aasist.runtime import modelfile

    constants = {"axes": np.array([1]), "pair": np.array([[0.0, 10.0]], np.float32)}
    nodes = [
        helper.make_node("Abs", ["waveform"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude", "axes"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "pair"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(proto)
    notes = ModelNotes(
        name="loudness", window_samples=8_000, hop_samples=4_000, calibration=Calibration(slope=1.0, offset=-0.1)
    )
    path = tmp_path_factory.mktemp("loudness") / "loudness.onnx"
    modelfile.write(path, proto.SerializeToString(), notes)
    return path


@pytest.fixture(scope="session")
def small_notes() -> ModelNotes:
    """What the small model's file says of itself."""
    return ModelNotes(
        name="small",
        version="7",
        variant=SMALL.to_json(),
        window_samples=SMALL.window_samples,
        hop_samples=4_000,
        calibration=Calibration(slope=2.0, offset=-0.5),
        threshold=0.25,
        training="seeded, not trained",
        licence="MIT",
    )


@pytest.fixture(scope="session")
def small_onnx(small_model: Aasist, small_notes: ModelNotes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model as a file of ours. Made once, for all workers: an export takes half a minute whatever the size."""
    from aasist.export.onnx import export

    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    path = folder / "shared-small.onnx"
    with open(folder / "shared-small.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            assert export(small_model, path, small_notes) <= 1e-4
    return path


@pytest.fixture
def same_threads() -> Iterator[None]:
    """Torch's threads, which trainings and sessions set for the whole process, are afterwards what they were."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus in ASVspoof 2019 LA's layout to train on; treat it as read-only."""
    from .training import small

    return small.corpus(tmp_path_factory.mktemp("la"))
