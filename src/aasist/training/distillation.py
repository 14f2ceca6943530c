"""Distillation: a student learns what an ensemble of teachers says (Hinton et al., 2015), beside what the labels say."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from aasist.keys import RecipeError, key
from aasist.session import BONAFIDE, SPOOF
from aasist.training.loss import Loss, Total, class_weights
from aasist.training.precision import Precision
from aasist.training.teachers import Taught, Teacher, read_teachers, shares_of


@dataclass(frozen=True)
class Teaching:
    """Who teaches, and how much it counts (a section of a recipe).

    The teachers themselves are held by the fingerprint of their files, so one that moved is the same.
    """

    models: tuple[str, ...] = key(
        (), "models that teach: checkpoints and ONNX files of ours, and shipped names; several are an ensemble"
    )
    scores: tuple[str, ...] = key(
        (), "score files that teach beside models: what anything says of each whole recording of training, in log-odds of"
        " bona fide"
    )  # fmt: skip
    weights: tuple[float, ...] = key(
        (), "weight of each model, then of each score file, in the mean of their log-odds; empty: equal", low=0.0
    )
    weight: float = key(
        0.0, "weight of the distillation loss beside that of the labels: KL divergence at the temperature, times its"
        " square (Hinton et al., 2015)",
        low=0.0,
    )  # fmt: skip
    pair_weight: float = key(
        0.0, "weight of the same loss of the log-odds between the members of each pair: what the teachers think of the one"
        " against the other",
        low=0.0,
    )  # fmt: skip
    temperature: float = key(
        2.0, "what log-odds of teachers and student are divided by: higher, and more than their sign counts", low=0.1,
        high=100.0,
    )  # fmt: skip
    hint_weight: float = key(
        0.0, "weight of a loss that leads a linear map of the student's pooled encoder to the readout of each teacher that"
        " is a checkpoint; the map is left out of the model",
        low=0.0,
    )  # fmt: skip
    hint: str = key(
        "cosine", "cosine: one less the cosine of map and readout; mse: their squared distance against the readout's own"
        " square",
        choices=("cosine", "mse"),
    )  # fmt: skip
    hear: str = key(
        "augmented",
        "augmented: teachers hear the waveform that the student hears; clean: as it was before augmentation on the batch,"
        " cut alike",
        choices=("augmented", "clean"),
    )

    @property
    def wanted(self) -> bool:
        """Whether anything is to be taught."""
        return bool(self.weight or self.pair_weight or self.hint_weight)

    @property
    def clean(self) -> bool:
        """Whether teachers hear what the student does not."""
        return self.wanted and self.hear == "clean"


class Distillation:
    """Teachers, and what they add to the loss of a batch. Nothing of it is trained: models among them are frozen, and what
    score files say was said before."""

    def __init__(self, keys: Teaching, teachers: tuple[Teacher, ...]) -> None:
        """Raises `RecipeError` for weights that do not fit, and for a hint that no teacher can give."""
        self._keys, self.teachers = keys, teachers
        self._shares = shares_of(keys.weights, len(teachers) + len(keys.scores))
        self.hint_widths = [teacher.readout_width for teacher in teachers if keys.hint_weight and teacher.readout_width]
        """Width of the readout of each teacher that gives a hint."""
        if keys.hint_weight and not self.hint_widths:
            raise RecipeError(
                "teachers.hint_weight wants a teacher that is a checkpoint: ONNX files and score files show no readout"
            )

    def loss(
        self,
        of: Loss,
        heard: Tensor,
        logits: Tensor,
        hints: Tensor | None,
        labels: Tensor,
        pairs: Tensor,
        total: Total,
        told: Tensor | None = None,
    ) -> Tensor:
        """What a batch (or a part of one) adds to the loss of its step ().

        Models hear ``heard`` (B, T); ``told`` (B, files) is what score files say. Of the student are ``logits`` (B, 2) and ``hints`` (B, sum of `hint_widths`), the
        linear map of its pooled encoder. Trials weigh as in the loss ``of`` the labels, and pairs alike.
        """
        keys = self._keys
        taught = [teacher.hear(heard) for teacher in self.teachers]
        said = [*(one.log_odds for one in taught), *(() if told is None else told.unbind(1))]
        theirs = torch.stack([share * one for share, one in zip(self._shares, said, strict=True)]).sum(0)
        ours = (logits[:, BONAFIDE] - logits[:, SPOOF]).float()
        weights = class_weights(of, labels) / total.weight
        value = keys.weight * (weights * divergence(theirs, ours, keys.temperature)).sum()
        if keys.pair_weight and len(pairs):
            bonafide, spoof = pairs.unbind(1)
            apart = divergence(theirs[bonafide] - theirs[spoof], ours[bonafide] - ours[spoof], keys.temperature)
            value = value + keys.pair_weight * apart.sum() / total.pairs
        if hints is not None:
            value = value + keys.hint_weight * (weights * self._apart(hints.float(), taught)).sum()
        return value

    def _apart(self, hints: Tensor, taught: list[Taught]) -> Tensor:
        """How far each row (B,) of the student's map is from the teachers' readouts, by their weights."""
        shares = self._shares[: len(taught)]
        pairs = [(share, one.readout) for share, one in zip(shares, taught, strict=True) if one.readout is not None]
        whole = sum(share for share, _ in pairs) or 1.0
        apart = hints.new_zeros(len(hints))
        for mine, (share, readout) in zip(torch.split(hints, self.hint_widths, dim=1), pairs, strict=True):
            apart = apart + share / whole * distance(self._keys.hint, mine, readout)
        return apart


def divergence(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """Log-odds (N,) of teacher and student -> T^2 KL(teacher || student) (N,) in nats of the two classes at temperature T.

    Its gradient keeps its size whatever T is (Hinton et al., "Distilling the knowledge in a neural network", 2015,
    section 2.1).
    """
    t, s = teacher / temperature, student / temperature
    for_bonafide = torch.sigmoid(t) * (functional.logsigmoid(t) - functional.logsigmoid(s))
    for_spoof = torch.sigmoid(-t) * (functional.logsigmoid(-t) - functional.logsigmoid(-s))
    return temperature**2 * (for_bonafide + for_spoof)


def distance(kind: str, hints: Tensor, readout: Tensor) -> Tensor:
    """Hints and readouts (N, W) -> (N,): one less their cosine, or the squared distance against the readout's square."""
    if kind == "cosine":
        return 1 - functional.cosine_similarity(hints, readout, dim=1)
    return (hints - readout).square().sum(1) / readout.square().sum(1).clamp_min(1e-12)


def distillation_of(keys: Teaching, precision: Precision, *, shortest_samples: int) -> Distillation | None:
    """The distillation that a recipe asks for, None where it asks for none.

    ``shortest_samples``: of the windows that are trained on. Raises `RecipeError` as `read_teachers` does, and where
    there are teachers without a weight, or the other way round.
    """
    named = keys.models or keys.scores
    if keys.wanted and not named:
        raise RecipeError(
            "the recipe is taught, and no teacher is named: name models by --teacher (teachers.models), score files by "
            "--teacher-scores (teachers.scores), or set teachers.weight, teachers.pair_weight and teachers.hint_weight to 0"
        )
    if named and not keys.wanted:
        raise RecipeError(
            "there are teachers, and nothing that they teach: set teachers.weight (1 counts as much as the labels), "
            "teachers.pair_weight or teachers.hint_weight"
        )
    if not keys.wanted:
        return None
    return Distillation(keys, read_teachers(keys.models, precision, shortest_samples=shortest_samples))
