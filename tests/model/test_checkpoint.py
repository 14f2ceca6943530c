"""Checkpoints: what is written is read back, and nothing else is read at all."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.sinc import FoldedBands, PooledBands
from aasist.recipe import AASIST, AASIST_L, Architecture
from aasist.runtime.models import shipped_checkpoint


def refused(path: Path) -> str:
    """The message of the one-line ``ModelError`` that names the file."""
    with pytest.raises(ModelError) as caught:
        checkpoint.load(path)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.fixture
def saved(small_model: Aasist, tmp_path: Path) -> Path:
    """The small model as safetensors."""
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path, trained="never")
    return path


def test_safetensors_come_back_with_their_recipe_weights_and_notes(saved: Path, small_model: Aasist) -> None:
    loaded = checkpoint.load(saved)
    assert loaded.architecture == small_model.architecture
    assert not loaded.training
    assert loaded.state_dict().keys() == small_model.state_dict().keys()
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    with safe_open(saved, framework="pt") as file:
        metadata = file.metadata()
    assert Architecture.from_json(metadata[checkpoint.RECIPE_KEY]) == small_model.architecture
    assert metadata["trained"] == "never"


def test_a_model_loaded_from_safetensors_gives_the_same_logits(saved: Path, small_model: Aasist) -> None:
    waveform = torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(checkpoint.load(saved)(waveform), small_model(waveform))


def with_published_names(model: Aasist) -> dict[str, torch.Tensor]:
    ours = {mine: theirs for theirs, mine in checkpoint.PUBLISHED_NAMES.items()}
    published = {}
    for name, tensor in model.state_dict().items():
        module, _, leaf = name.rpartition(".")
        published[ours[name] if name in ours else f"{ours[module]}.{leaf}"] = tensor
    return published


@pytest.mark.parametrize("architecture", [AASIST, AASIST_L], ids=lambda a: a.name)
def test_a_pth_file_with_published_names_loads_and_its_widths_tell_which_model_it_is(
    architecture: Architecture, seeded: Callable[..., Aasist], tmp_path: Path
) -> None:
    model = seeded(architecture)
    path = tmp_path / "published.pth"
    torch.save(with_published_names(model), path)
    loaded = checkpoint.load(path)
    assert loaded.architecture == architecture
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_the_key_map_gives_no_two_names_one_meaning_and_translates_back(seeded: Callable[..., Aasist]) -> None:
    names = checkpoint.PUBLISHED_NAMES
    assert len(set(names.values())) == len(names)
    model = seeded(AASIST)
    published = with_published_names(model)
    assert len(published) == 229
    translated = checkpoint.translate(published)
    assert translated.keys() == model.state_dict().keys()
    assert all(
        translated[name] is tensor or torch.equal(translated[name], tensor)
        for name, tensor in model.state_dict().items()
    )


def test_a_missing_file_is_an_unknown_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        checkpoint.load(tmp_path / "none.safetensors")
    assert caught.value.code == "unknown_model"
    assert "none.safetensors" in caught.value.message


def test_safetensors_without_our_recipe_are_refused(tmp_path: Path, small_model: Aasist) -> None:
    bare, foreign = tmp_path / "bare.safetensors", tmp_path / "foreign.safetensors"
    save_file(small_model.state_dict(), bare)
    save_file({"weight": torch.zeros(3)}, foreign, metadata={"format": "pt"})
    for path in (bare, foreign):
        assert "not a checkpoint of ours" in refused(path)


@pytest.mark.parametrize(
    "recipe",
    [
        "no json",
        "[1]",
        '{"depth": 3}',
        '{"level": "peak"}',
        '{"bands": "many"}',
        '{"channels": 3}',
        '{"bands": null}',
        '{"bands": -1}',
    ],
)
def test_safetensors_with_a_recipe_that_cannot_be_built_are_refused(
    recipe: str, tmp_path: Path, small_model: Aasist
) -> None:
    path = tmp_path / "odd.safetensors"
    save_file(small_model.state_dict(), path, metadata={checkpoint.RECIPE_KEY: recipe})
    assert refused(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.99])
def test_a_truncated_safetensors_file_is_refused(share: float, saved: Path) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    assert "safetensors" in refused(saved)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_pth_file_is_refused(share: float, tmp_path: Path, seeded: Callable[..., Aasist]) -> None:
    path = tmp_path / "cut.pth"
    torch.save(with_published_names(seeded(AASIST_L)), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert refused(path)


def test_random_bytes_with_either_ending_are_refused(tmp_path: Path) -> None:
    for seed in range(40):
        random = torch.Generator().manual_seed(seed)
        noise = bytes(torch.randint(256, (seed * 7,), generator=random, dtype=torch.uint8).tolist())
        for start in (b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04", b"("):
            for ending in (".pth", ".pt", ".safetensors"):
                path = tmp_path / f"noise{ending}"
                path.write_bytes(start + noise)
                assert refused(path)


class Payload:
    """Unpickled with code allowed, it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_with_code_is_refused_and_its_code_is_not_run(how: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "trap.pth", tmp_path / "was-run"
    trap = {"encoder.0.0.conv1.weight": Payload(mark)}
    if how == "torch":
        torch.save(trap, path)
    else:
        path.write_bytes(pickle.dumps(trap))
    assert "nothing was run" in refused(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(trap))
    assert mark.is_dir(), "the trap must work, or the test shows nothing"


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(2)], {"step": 3}, torch.zeros(3), {1: torch.zeros(2)}],
    ids=lambda value: type(value).__name__,
)
def test_a_pth_file_that_is_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    assert refused(path)


def test_an_unknown_parameter_in_a_pth_file_is_named(tmp_path: Path, seeded: Callable[..., Aasist]) -> None:
    path = tmp_path / "more.pth"
    torch.save(with_published_names(seeded(AASIST_L)) | {"decoder.weight": torch.zeros(2)}, path)
    assert "'decoder.weight'" in refused(path)


@pytest.mark.parametrize("name", ["out_layer.weight", "encoder.5.0.conv2.weight"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 7)])
def test_a_wrong_shape_in_a_pth_file_is_refused(
    name: str, shape: tuple[int, ...], tmp_path: Path, seeded: Callable[..., Aasist]
) -> None:
    path = tmp_path / "bent.pth"
    torch.save(with_published_names(seeded(AASIST_L)) | {name: torch.zeros(shape)}, path)
    assert "do not fit" in refused(path)


def test_missing_and_surplus_weights_in_safetensors_are_refused(tmp_path: Path, small_model: Aasist) -> None:
    state, path = small_model.state_dict(), tmp_path / "odd.safetensors"
    metadata = {checkpoint.RECIPE_KEY: small_model.architecture.to_json()}
    save_file({name: tensor for name, tensor in state.items() if name != "out.bias"}, path, metadata=metadata)
    assert "out.bias" in refused(path)
    save_file(state | {"out.more": torch.zeros(1)}, path, metadata=metadata)
    assert "out.more" in refused(path)
    save_file(state | {"out.bias": torch.zeros(3)}, path, metadata=metadata)
    assert "out.bias" in refused(path)


HUGE: list[dict[str, object]] = [
    {"channels": (1 << 24, 1 << 24)},
    {"graph_dims": (1 << 24, 1 << 24)},
    {"bands": 70, "kernel_samples": 20_001, "front_pool": (2, 5_000), "window_samples": 1 << 20},
]
"""Each alone asks for at least 28 GB: as weights, or as filters folded for the pool."""


@pytest.mark.parametrize("claim", HUGE, ids=lambda claim: next(iter(claim)))
def test_metadata_that_claim_more_than_the_weights_hold_are_refused_without_asking_for_the_memory(
    claim: dict[str, object], tmp_path: Path, small_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, path = replace(small_model.architecture, **claim), tmp_path / "huge.safetensors"  # type: ignore[arg-type]
    save_file(small_model.state_dict(), path, metadata={checkpoint.RECIPE_KEY: recipe.to_json()})
    folded: list[object] = []
    monkeypatch.setattr(FoldedBands, "__init__", lambda self, *given: folded.append(given))
    drawn_bytes: list[int] = []
    really_draw = torch.nn.init._no_grad_uniform_

    def draw(tensor: torch.Tensor, *rest: object, **named: object) -> torch.Tensor:
        if not tensor.is_meta:
            drawn_bytes.append(tensor.nbytes)
        return really_draw(tensor, *rest, **named)

    monkeypatch.setattr(torch.nn.init, "_no_grad_uniform_", draw)
    assert "do not fit" in refused(path)
    assert folded == []
    assert drawn_bytes == [], "a weight was made before it was seen that the file does not hold it"


def test_a_checkpoint_that_fits_but_would_fold_into_gigabytes_is_loaded_unfolded(
    tmp_path: Path, small_model: Aasist
) -> None:
    recipe = replace(small_model.architecture, kernel_samples=20_001, front_pool=(3, 5_000), window_samples=1 << 20)
    path = tmp_path / "slow.safetensors"
    save_file(small_model.state_dict(), path, metadata={checkpoint.RECIPE_KEY: recipe.to_json()})
    loaded = checkpoint.load(path)
    assert isinstance(loaded.sinc, PooledBands)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, small_model: Aasist) -> None:
    path = tmp_path / "nan.safetensors"
    metadata = {checkpoint.RECIPE_KEY: small_model.architecture.to_json()}
    save_file(small_model.state_dict() | {"out.bias": torch.tensor([0.0, float("nan")])}, path, metadata=metadata)
    assert "out.bias" in refused(path)


@pytest.mark.parametrize("name", ["efficient", "small"])
def test_a_checkpoint_from_before_pruning_is_read_and_written_without_what_it_does_not_have(name: str) -> None:
    """The shipped ones are such: their metadata know nothing of inner channels."""
    path = shipped_checkpoint(name)
    model = checkpoint.load(path)
    with safe_open(path, framework="pt") as file:
        recipe = file.metadata()[checkpoint.RECIPE_KEY]
    known, written = json.loads(recipe), json.loads(model.architecture.to_json())
    assert "inner_channels" not in known
    assert "inner_channels" not in written
    assert known == {key: written[key] for key in known}
    assert checkpoint.architecture_of(path) == model.architecture


def test_the_architecture_of_a_file_is_told_without_its_weights_and_refused_as_they_are(
    tmp_path: Path, saved: Path, reference: Path
) -> None:
    assert checkpoint.architecture_of(saved).name == "small"
    assert checkpoint.architecture_of(reference / "AASIST-L.pth") == AASIST_L
    with pytest.raises(ModelError, match="no such checkpoint"):
        checkpoint.architecture_of(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.safetensors: not a safetensors file"):
        checkpoint.architecture_of(tmp_path / "broken.safetensors")


def test_the_metadata_of_a_checkpoint_is_json_of_its_architecture(saved: Path) -> None:
    header_bytes = int.from_bytes(saved.read_bytes()[:8], "little")
    header = json.loads(saved.read_bytes()[8 : 8 + header_bytes])
    assert json.loads(header["__metadata__"][checkpoint.RECIPE_KEY])["name"] == "small"
