"""Recipes: everything that decides the weights, in one file that names only what differs from its base."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aasist import recipefile
from aasist.errors import ModelError
from aasist.keys import RecipeError, key, section, values_of
from aasist.recipe import ARCHITECTURES, FRONTS, SINC, Architecture
from aasist.recipefile import Shelf, in_toml
from aasist.training.adversarial import Adversarial
from aasist.training.augment.recipe import AugmentRecipe
from aasist.training.averaging import Averaging
from aasist.training.batches import Loading
from aasist.training.distillation import Teaching
from aasist.training.loss import Loss
from aasist.training.plan import Sampling
from aasist.training.schedule import Schedule
from aasist.training.waveforms import Crop

SHIPPED = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with the package, ``NAME.toml`` each."""


@dataclass(frozen=True)
class Model:
    """The architecture: one by name, and what is different in it; what is none or empty is as the one named has it."""

    architecture: str = key("aasist", "architecture to begin with", choices=tuple(ARCHITECTURES))
    name: str | None = key(None, "name that checkpoints carry; none: the architecture's")
    window_samples: int | None = key(None, "window that the model is trained and run on", unit="samples")
    level: str = key(
        "",
        "rms: each window is scaled to a root mean square of 1 first; none; empty: as named",
        choices=("", "none", "rms"),
    )
    bands: int | None = key(None, "sinc band-pass filters, mel-spaced over 0 to 8 kHz")
    kernel_samples: int | None = key(None, "length of the sinc filters, odd", unit="samples")
    sinc_stride: int | None = key(None, "between two outputs of the sinc layer", unit="samples")
    front_pool: tuple[int, int] | None = key(None, "max-pooling of the rectified bands: bands, steps")
    compression: str = key(
        "",
        "of the rectified, pooled bands: log, power (of 0.3) or none; empty: as named",
        choices=("", "none", "log", "power"),
    )
    centring: float | None = key(
        None,
        "share of its mean over the window that is taken off each compressed band: 1 takes away what colours a recording "
        "evenly in time; 0: none",
        low=0.0,
        high=1.0,
    )
    channels: tuple[int, ...] | None = key(None, "output channels of the residual blocks")
    inner_channels: tuple[int, ...] | None = key(
        None, "channels between the two convolutions of each residual block, as a pruned model has them; an empty list: "
        "as many as come out", low=1,
    )  # fmt: skip
    shortcut_blocks: tuple[int, ...] | None = key(
        None, "blocks, from 1 up, with a convolution to the sum though channels stay, as a pruned model may have", low=1
    )
    time_pools: tuple[int, ...] | None = key(None, "max-pooling in time at the end of each residual block")
    squeeze: int | None = key(
        None, "channels to each hidden unit of squeeze-excitation after each residual block; 0: without", low=0
    )
    unused_norms: bool | None = key(None, "keep the batch norms that the published blocks never apply")
    context_blocks: int | None = key(
        None, "blocks of self-attention over the temporal nodes; 0: without", low=0, high=64
    )
    context: str = key(
        "",
        "what those are: transformer, or conformer; empty: as named",
        choices=("", "transformer", "conformer"),
    )
    context_heads: int | None = key(None, "attention heads of each; they must divide the last of channels", low=1)
    context_kernel: int | None = key(None, "what a conformer's convolution sees, odd", unit="nodes", low=1)
    context_dropout: float | None = key(None, "on what each part of those blocks adds", low=0.0, high=0.99)
    graph_dims: tuple[int, int] | None = key(None, "node dimensions: homogeneous, heterogeneous graph layers")
    spectral_ratio: float | None = key(None, "share of the spectral nodes that pooling keeps")
    temporal_ratio: float | None = key(None, "share of the temporal nodes that pooling keeps")
    heterogeneous_ratio: float | None = key(None, "share of the nodes that pooling keeps in the branches")
    temperatures: tuple[float, float, float] | None = key(
        None, "Attention temperatures: spectral, temporal, heterogeneous"
    )
    dropouts: tuple[float, float, float, float] | None = key(
        None, "Nodes before attention, scores of graph pooling, each branch, readout"
    )
    position_std: float | None = key(None, "spread of the spectral positions at the start")
    readout: str | None = key(None, "linear, or cosine: what the last layer sees is scaled to unit length")
    statistics: bool | None = key(
        None, "mean, deviation and maximum in time of the encoder's features go to the last layer too"
    )
    prosody: str = key(
        "",
        "of prosodic frames, nodes (of the graph), fusion (statistics in the readout) or both; none; empty: as named",
        choices=("", "none", "nodes", "fusion", "both"),
    )
    front: str = key(
        "",
        "sinc; speech-encoder: the frames of a frozen encoder (data.encoder) in place of the sinc bands; empty: as named",
        choices=("", *FRONTS),
    )
    projection: int | None = key(None, "bands that the speech encoder's frames are projected to")
    encoder_dim: int | None = key(None, "of the speech encoder's frames; none: as it is")
    encoder_layers: tuple[int, ...] | None = key(
        None, "layers of the speech encoder that are heard, from 1 up, a learnt sum of several; none: all of them"
    )
    encoder_hop_samples: int | None = key(
        None, "between two frames of the speech encoder; none: as it is", unit="samples"
    )
    encoder_frame_samples: int | None = key(
        None, "what a frame of the speech encoder is made of at the least; none: as it is", unit="samples"
    )

    def resolved(self) -> Architecture:
        """The architecture; `ModelError` for numbers that make none."""
        changes = {f.name: getattr(self, f.name) for f in dataclasses.fields(Architecture)}
        changes = {name: value for name, value in changes.items() if value not in (None, "")}
        return dataclasses.replace(ARCHITECTURES[self.architecture], **changes)


@dataclass(frozen=True)
class Data:
    """Which trials; what they are is held by their fingerprint, so a corpus that moved is the same corpus."""

    train: tuple[str, ...] = key((), "where to train: [CORPUS:]PATH each, a manifest without CORPUS")
    dev: tuple[str, ...] = key((), "where to choose the best weights, likewise; none: the dev subsets of data.train")
    noise: tuple[str, ...] = key((), "noise, music and room responses for augmentation: folders or manifests")
    start: str | None = key(
        None, "checkpoint or shipped name whose weights training begins with (fine-tuning); none: drawn by the seed"
    )
    start_partly: bool = key(
        False,
        "also of another architecture: what has the same name and shape there is taken, the rest begins as without it",
    )
    start_architecture: bool = key(
        False, "what the model section leaves open is as data.start has it, such as the widths of a pruned model"
    )
    encoder: str | None = key(None, "folder of the speech encoder, where the model has one in front")
    train_subset: str | None = key(None, "subset to train on; none: the one each corpus has for that")
    dev_subset: str | None = key(None, "subset to choose by; none: the one each corpus has for that")


@dataclass(frozen=True)
class Optimiser:
    """The optimiser and what happens to gradients."""

    kind: str = key("adam", "adam (L2 joins the gradient) or adamw (decoupled decay)", choices=("adam", "adamw"))
    learning_rate: float = key(1e-4, "at its highest; the schedule bends it", low=0.0)
    betas: tuple[float, float] = key((0.9, 0.999), "decay of the first and second moments", low=0.0, high=0.999999)
    weight_decay: float = key(1e-4, "L2 penalty of adam, decay of adamw", low=0.0)
    clip_norm: float | None = key(None, "gradients are scaled down to this norm; none: they are not", low=0.0)
    accumulate: int = key(1, "batches to one step; the loss is weighted over all of them", unit="batches", low=1)
    freeze_norms: bool = key(False, "batch norms stay as they are at the start: neither statistics nor weights move")
    sync_norms: bool = key(False, "batch norms see the batch of all ranks (CUDA only)")
    sharpness: float = key(
        0.0,
        "sharpness-aware minimisation (Foret et al., ICLR 2021): the gradient is that at the worst point so far from the"
        " weights, such as 0.05, by a second pass; 0: off",
        low=0.0,
    )
    sharpness_adaptive: bool = key(
        False, "that distance counts relative to each weight (Kwon et al., ICML 2021), and is larger then, such as 0.5"
    )


@dataclass(frozen=True)
class Running:
    """How to run: no part of what the recipe is, and free to differ on a resume."""

    steps: int | None = key(None, "stop after so many steps; changes neither schedule nor data", unit="steps", low=1)
    checkpoint_minutes: float = key(5.0, "between two saves of the state within an epoch", unit="min", low=0.0)
    log_steps: int = key(20, "between two lines of metrics.jsonl", unit="steps", low=1)
    tensorboard: bool = key(False, "write TensorBoard's events too (extra: tensorboard)")
    threads: int | None = key(None, "of torch, in each process; none: all that it may use", low=1, high=1024)
    nonfinite_limit: int = key(20, "steps in a row that a loss that is not finite may cost before the run stops", low=1)


@dataclass(frozen=True)
class Recipe:
    """A training from the first weight to the last; every default is that of the published AASIST."""

    seed: int = key(1234, "of everything random", low=0)
    epochs: int = key(100, "horizon of the schedule, and where training ends", unit="epochs", low=1)
    batch: int = key(24, "trials in a batch, over all ranks", unit="trials", low=2)
    precision: str = key(
        "auto",
        "auto: bf16 where the processor has it, else fp32; fp16 on CUDA alone",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    model: Model = section(Model)
    data: Data = section(Data)
    sampling: Sampling = section(Sampling)
    crop: Crop = section(Crop)
    augment: AugmentRecipe = section(AugmentRecipe)
    adversarial: Adversarial = section(Adversarial)
    loss: Loss = section(Loss)
    teachers: Teaching = section(Teaching)
    optimiser: Optimiser = section(Optimiser)
    schedule: Schedule = section(Schedule)
    averaging: Averaging = section(Averaging)
    loading: Loading = section(Loading)
    run: Running = section(Running)

    def __post_init__(self) -> None:
        architecture = self.model.resolved()
        if self.loss.kind == "oc-softmax" and architecture.readout != "cosine":
            raise RecipeError("loss.kind oc-softmax compares cosines: set model.readout to cosine too")
        if self.loss.kind == "oc-softmax" and architecture.dropouts[3]:
            *others, last = architecture.dropouts
            raise RecipeError(
                "loss.kind oc-softmax compares cosines, and dropout of the readout makes them more than 1: set "
                f"model.dropouts to {','.join(f'{share:g}' for share in others)},0 (the last is {last:g})"
            )
        if self.loss.rank_weight and self.sampling.mode != "pairs":
            raise RecipeError("loss.rank_weight ranks the members of pairs: set sampling.mode to pairs too")
        if self.teachers.pair_weight and self.sampling.mode != "pairs":
            raise RecipeError("teachers.pair_weight is of the members of pairs: set sampling.mode to pairs too")
        if self.teachers.scores and self.augment.mix.probability and self.augment.mix.spoofs:
            raise RecipeError(
                "augment.mix.spoofs makes spoofs of recordings that teachers.scores were told of as they were: set it to false"
            )
        if self.optimiser.clip_norm == 0:
            raise RecipeError("optimiser.clip_norm must be above 0, or none, got 0")
        if self.optimiser.sharpness_adaptive and not self.optimiser.sharpness:
            raise RecipeError(
                "optimiser.sharpness_adaptive says how optimiser.sharpness counts, which is 0: set it, such as 0.5"
            )
        if not self.loss.bonafide_weight + self.loss.spoof_weight > 0:
            raise RecipeError("loss.bonafide_weight and loss.spoof_weight are both 0: nothing would be learnt")
        if self.schedule.kind == "cosine" and self.schedule.lowest_learning_rate > self.optimiser.learning_rate:
            raise RecipeError(
                f"schedule.lowest_learning_rate must be at most optimiser.learning_rate "
                f"{self.optimiser.learning_rate:g}, got {self.schedule.lowest_learning_rate:g}"
            )
        if architecture.front != SINC and self.augment.bands.probability:
            raise RecipeError(
                "augment.bands silences sinc bands, and a speech encoder has none: set its probability to 0"
            )
        if self.shortest_samples < architecture.shortest_samples:
            raise RecipeError(
                f"crop.lengths must be at least {architecture.shortest_samples:,} samples for this model, got "
                f"{self.shortest_samples:,}"
            )

    @property
    def shortest_samples(self) -> int:
        """Samples of the shortest window that is trained on."""
        return min((*self.crop.lengths, self.model.resolved().window_samples))


OPERATIONAL = (
    "run",
    "loading",
    "data.train",
    "data.dev",
    "data.noise",
    "data.encoder",
    "teachers.models",
    "teachers.scores",
)
"""Sections and keys that say how and where a run runs, not what it is: they may differ on a resume. The trials themselves,
a speech encoder and the teachers are held by their fingerprints."""


def is_identity(name: str) -> bool:
    """Whether the key ``name`` is part of what a recipe is."""
    return name not in OPERATIONAL and name.partition(".")[0] not in OPERATIONAL


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return SHELF.names()


def read_recipe(given: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a file, or the shipped one of that name, on top of its bases, with ``changes`` by dotted name on top.

    Raises `RecipeError` as `Shelf.read` does.
    """
    return with_changes(SHELF.read(given), changes or {})


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipefile.with_changes`; numbers that make no architecture are a `RecipeError` too."""
    try:
        return recipefile.with_changes(recipe, changes)
    except ModelError as error:
        raise RecipeError(f"model: {error.message}") from error


def resolved_text(recipe: Recipe) -> str:
    """The recipe with every key, as TOML that `read_recipe` reads back; the architecture in full, none as ``"none"``.

    Raises `RecipeError` where a value is none that TOML can hold.
    """
    architecture = recipe.model.resolved()
    text = in_toml(
        {
            name: getattr(architecture, name.rpartition(".")[2], value) if name.startswith("model.") else value
            for name, value in values_of(recipe).items()
        }
    )
    try:
        again = SHELF.parsed(text.encode().decode())
    except ValueError as error:
        raise RecipeError(f"the recipe cannot be written as TOML: {error}") from error
    if again != in_full(recipe):
        raise RecipeError("the recipe cannot be written as TOML: it would be read back as another")
    return text


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The keys of identity in which two recipes differ, with the value in each."""
    first, second = (values_of(in_full(recipe)) for recipe in (one, other))
    return {name: (first[name], second[name]) for name in first if is_identity(name) and first[name] != second[name]}


def in_full(recipe: Recipe) -> Recipe:
    """The recipe with every key of its model filled in from the architecture."""
    architecture = dataclasses.asdict(recipe.model.resolved())
    return dataclasses.replace(recipe, model=Model(recipe.model.architecture, **architecture))


SHELF = Shelf(Recipe, SHIPPED)
